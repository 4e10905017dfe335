"""Ranks that say nothing: the computation of one share of the work, without its messages.

What a silent run takes less than a real one is the communication that nothing hides; and one GPU can time its share of
a group that is not there. Results are meaningless, for what others would have sent is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from .ranks import Ranks


class _Done(dist.Work):
    def wait(self, timeout: object = None) -> bool:
        return True


@dataclass(frozen=True, kw_only=True, slots=True)
class SilentRanks(Ranks):
    """One of `size` ranks, the others of which are not there."""

    def all_to_all(self, received: Tensor, sent: Tensor, *, counts: Sequence[int], sends: Sequence[int]) -> dist.Work:
        return _Done()

    def gather(self, part: Tensor) -> list[Tensor]:
        return [part] * self.size

    def share(self, compute: Callable[[], Tensor]) -> Tensor:
        return compute().to(self.device)


def silenced(ranks: Ranks) -> SilentRanks:
    """The same rank of a group that does not talk."""
    return SilentRanks(rank=ranks.rank, size=ranks.size, device=ranks.device)


def share_of(size: int, device: torch.device) -> SilentRanks:
    """The first rank of a group of `size`, alone on `device`."""
    return SilentRanks(rank=0, size=size, device=device)
