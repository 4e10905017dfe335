"""Data parallelism: every rank trains on its own samples and the gradients are averaged.

One process is the ordinary case and needs nothing. Under `torchrun` the ranks find each other through the environment.
Gradients are averaged by hand, as the optimizer's one flat buffer, because a step may run several networks and several
backward passes, which a wrapper around one module would not see.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranks:
    """This process among those that train together."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def average(self, gradient: Tensor) -> None:
        """Replaces a flat gradient by its mean over the ranks."""
        if self.size > 1:
            dist.all_reduce(gradient)
            gradient.div_(self.size)

    def agree(self, value: float) -> float:
        """The first rank's number, so that all ranks stop at the same step."""
        if self.size == 1:
            return value
        # On the CPU, so that nobody waits for a device.
        shared = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(shared, src=0)
        return float(shared.item())

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Overwrites tensors with the first rank's."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor.data, src=0)

    def wait(self) -> None:
        """Until all ranks have come here."""
        if self.size > 1:
            dist.all_reduce(torch.zeros(1))


@contextmanager
def join(device: str) -> Iterator[Ranks]:
    """Joins the group that `torchrun` described, if any, on `device` ('cpu' or 'cuda')."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    place = torch.device("cuda", local) if device == "cuda" else torch.device(device)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if size == 1:
        yield Ranks(rank=0, size=1, device=place)
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo")
    try:
        yield Ranks(rank=rank, size=size, device=place)
    finally:
        dist.destroy_process_group()
