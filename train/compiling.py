"""Compiled pieces, and their compiler cache as a file that can travel to the next machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

from ..model.vae_blocks import ResidualBlock


def compile_blocks(blocks: Iterable[nn.Module], device: torch.device) -> None:
    """Compiles each block in place, on GPUs only; every input shape gets its own static kernels."""
    if device.type == "cuda":
        torch._dynamo.config.cache_size_limit = 64
        for block in blocks:
            block.compile(dynamic=False)


def vae_blocks(network: nn.Module) -> list[nn.Module]:
    """What of an autoencoder is worth compiling: its residual blocks, where norms, activations and sums lie between
    convolutions."""
    return [module for module in network.modules() if isinstance(module, ResidualBlock)]


def load_compile_cache(path: Path) -> None:
    """Makes what an earlier process compiled available, if the file is there."""
    if path.exists():
        torch.compiler.load_cache_artifacts(path.read_bytes())


def save_compile_cache(path: Path) -> None:
    artifacts = torch.compiler.save_cache_artifacts()
    if artifacts is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(artifacts[0])
