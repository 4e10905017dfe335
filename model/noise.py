"""The noise a chunk starts from: a function of the world's seed and the chunk's place in its history."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

WORLDS_AHEAD = 16
"""Worlds whose next chunk's noise is kept: 7 MB each at 720p."""


def chunk_noise(shape: tuple[int, ...], *, seed: int, branch: int, chunk: int) -> Tensor:
    """Standard normal noise of `shape`, float32 on the CPU.

    It is drawn on the CPU so that it depends on no device, rank count or placement. Seed, branch and chunk may be any
    integers; they are hashed because generators seeded with neighbouring numbers can be correlated.
    """
    digest = hashlib.blake2b(f"{seed}/{branch}/{chunk}".encode(), digest_size=8).digest()
    generator = torch.Generator(device="cpu").manual_seed(int.from_bytes(digest, "little", signed=True))
    return torch.randn(shape, generator=generator, dtype=torch.float32)


class NoiseAhead:
    """`chunk_noise`, drawn by a thread of its own while the chunk before is denoised: it takes a core some 10 ms."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="noise")
        self._drawn: OrderedDict[tuple[int, int, int], tuple[tuple[int, ...], Future[Tensor]]] = OrderedDict()

    def take(self, shape: tuple[int, ...], *, seed: int, branch: int, chunk: int) -> Tensor:
        """See `chunk_noise`; the next chunk is expected to have the same shape."""
        expected, drawn = self._drawn.pop((seed, branch, chunk), ((), None))
        self._draw(shape, seed, branch, chunk + 1)
        if drawn is None or expected != shape:
            return chunk_noise(shape, seed=seed, branch=branch, chunk=chunk)
        return drawn.result()

    def _draw(self, shape: tuple[int, ...], seed: int, branch: int, chunk: int) -> None:
        future = self._thread.submit(chunk_noise, shape, seed=seed, branch=branch, chunk=chunk)
        self._drawn[seed, branch, chunk] = shape, future
        if len(self._drawn) > WORLDS_AHEAD:
            self._drawn.popitem(last=False)
