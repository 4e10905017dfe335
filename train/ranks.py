"""Data parallelism: every rank trains on its own samples and the gradients are averaged.

One process is the ordinary case and needs nothing. Under `torchrun` the ranks find each other through the environment.
Gradients are averaged by hand, as the optimizer's one flat buffer, because a step may run several networks and several
backward passes, which a wrapper around one module would not see.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from ..parallel.ranks import join_launched

TIMEOUT_S = 1800.0
"""Ranks render and compile for minutes without a word to each other."""


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
    """Joins the group that `torchrun` described, if any, on `device` ('cpu' or 'cuda'). Raises ConfigError."""
    with join_launched(device, timeout_s=TIMEOUT_S, also_on_host=True) as ranks:
        yield Ranks(rank=ranks.rank, size=ranks.size, device=ranks.device)
