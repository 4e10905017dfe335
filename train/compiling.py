"""Compiled pieces, and their compiler cache as a file that can travel to the next machine."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from ..model.attention import ENV_BACKEND, AttentionBackend
from .checkpoints import SHARD_BYTES
from .fused import fuse_norms

CARRIED_BYTES = 60 * 2**20
"""Most that a folder to carry may hold once kernels are in it."""
MOST_SHAPES = 64
"""Versions of one function that may be compiled: widths, clip lengths, with and without gradients."""


def set_up_torch() -> None:
    """Settings of every process that trains or compiles; compiled kernels are found again under equal ones only."""
    # Torch picks the kernel: those that serve have no gradients, or none for the short sequences of the action modules.
    os.environ.setdefault(ENV_BACKEND, AttentionBackend.SDPA)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True


def compile_blocks(blocks: Iterable[nn.Module], device: torch.device) -> None:
    """Compiles each block in place, on GPUs only; every input shape gets its own static kernels."""
    if device.type == "cuda":
        torch._dynamo.config.cache_size_limit = MOST_SHAPES
        for block in blocks:
            block.compile(dynamic=False)


def channels_last(network: nn.Module) -> None:
    """Lays the weights of all convolutions out with channels last, which Hopper's kernels want; outputs follow."""
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    for module in network.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.ndim in formats:
            weight.data = weight.data.to(memory_format=formats[weight.ndim])


def quicken_vae(network: nn.Module, device: torch.device) -> None:
    """Makes a running autoencoder, or half of one, fast on a GPU."""
    if device.type == "cuda":
        torch._dynamo.config.cache_size_limit = MOST_SHAPES
        channels_last(network)
        fuse_norms(network, compiled=True)


@contextmanager
def untuned() -> Iterator[None]:
    """Convolutions take the kernel that is likely good instead of trying all: for shapes that come a few times only."""
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before


def load_kernels(folder: Path) -> None:
    """Makes what an earlier process compiled available, if `folder` has its `kernels-*.bin`."""
    parts = sorted(folder.glob("kernels-*.bin"))
    if parts:
        torch.compiler.load_cache_artifacts(b"".join(part.read_bytes() for part in parts))


def save_kernels(folder: Path) -> None:
    """Writes all that was compiled to `kernels-0.bin` …, in parts small enough to carry; nothing where there is no room
    for it beside what the folder holds."""
    artifacts = torch.compiler.save_cache_artifacts()
    held = sum(path.stat().st_size for path in folder.glob("*") if path.suffix != ".bin")
    if artifacts is None or held + len(artifacts[0]) > CARRIED_BYTES:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for index, start in enumerate(range(0, len(artifacts[0]), SHARD_BYTES)):
        (folder / f"kernels-{index}.bin").write_bytes(artifacts[0][start : start + SHARD_BYTES])
