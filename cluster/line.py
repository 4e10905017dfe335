"""A line of sessions that wait for room: first come, first served."""

from __future__ import annotations

import time
from collections.abc import Callable

FORGET_S = 5.0
"""Who has not asked for so long does not wait any more."""


class Line:
    """Who waits asks again and again. Times are seconds of `clock`."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked_at: dict[str, float] = {}
        """Session → when it asked last, in the order in which they came."""

    def ask(self, session: str) -> int:
        """The session's place, from 1; at the end for one that is new."""
        self._asked_at[session] = self._clock()
        return list(self._waiting()).index(session) + 1

    def may_go(self, session: str) -> bool:
        """Whether nobody else is before the session, which need not have asked yet."""
        return next(iter(self._waiting()), session) == session

    def leave(self, session: str) -> None:
        """The session has room, or wants none any more."""
        self._asked_at.pop(session, None)

    def __len__(self) -> int:
        return len(self._waiting())

    def _waiting(self) -> dict[str, float]:
        oldest = self._clock() - FORGET_S
        self._asked_at = {session: at for session, at in self._asked_at.items() if at >= oldest}
        return self._asked_at
