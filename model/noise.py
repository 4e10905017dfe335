"""The noise a chunk starts from: a function of the world's seed and the chunk's place in its history."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def chunk_noise(shape: tuple[int, ...], *, seed: int, branch: int, chunk: int) -> Tensor:
    """Standard normal noise of `shape`, float32 on the CPU.

    It is drawn on the CPU so that it depends on no device, rank count or placement. Seed, branch and chunk may be any
    integers; they are hashed because generators seeded with neighbouring numbers can be correlated.
    """
    digest = hashlib.blake2b(f"{seed}/{branch}/{chunk}".encode(), digest_size=8).digest()
    generator = torch.Generator(device="cpu").manual_seed(int.from_bytes(digest, "little", signed=True))
    return torch.randn(shape, generator=generator, dtype=torch.float32)
