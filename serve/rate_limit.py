"""A token bucket."""

from __future__ import annotations

import time
from collections.abc import Callable


class RateLimit:
    """Admits `per_s` things a second, and up to `burst` at once after a rest."""

    def __init__(self, *, per_s: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._left = burst
        self._filled_at = clock()

    def admits(self) -> bool:
        """Whether one more may pass now; counts it if so."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._filled_at) * self._per_s)
        self._filled_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
