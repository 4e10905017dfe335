"""Bytes that a store holds, with what worlds share counted once."""

from __future__ import annotations

from collections import Counter

from ..errors import Overloaded
from .world import World


class Ledger:
    """Counts the arrays of worlds against a budget. Not thread-safe: the store's lock guards it."""

    def __init__(self, budget_bytes: int) -> None:
        self.bytes_used = 0
        self._budget_bytes = budget_bytes
        self._holders: Counter[int] = Counter()
        """Worlds that hold an array, by the array's identity."""

    def replace(self, old: World | None, new: World | None) -> None:
        """Count `new` instead of `old` (None: no world). Raises Overloaded past the budget, and then counts nothing."""
        before, after = _arrays(old), _arrays(new)
        added = [key for key in after if key not in before and key not in self._holders]
        removed = [key for key in before if key not in after and self._holders[key] == 1]
        growth = sum(after[key] for key in added) - sum(before[key] for key in removed)
        if growth > 0 and self.bytes_used + growth > self._budget_bytes:
            raise Overloaded(
                f"the memory store holds {self.bytes_used} of {self._budget_bytes} bytes, {growth} more do not fit",
                hint="End or export worlds that are not played, or give the store a larger budget.",
            )
        self.bytes_used += growth
        self._holders.update(after.keys() - before.keys())
        self._holders.subtract(before.keys() - after.keys())
        for key in removed:
            del self._holders[key]


def _arrays(world: World | None) -> dict[int, int]:
    """Identity → bytes of a world's arrays, which live as long as the world does."""
    if world is None:
        return {}
    arrays = [world.header.image, *(array for record in world.records() for array in record.arrays())]
    return {id(array): array.nbytes for array in arrays}
