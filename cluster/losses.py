"""Chunks that end the worker groups that make them, again and again. Without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

MAX_LOSSES = 3
"""A chunk that has ended so many groups is not tried again."""

Place = tuple[int, int]
"""Branch and chunk."""


@dataclass(slots=True, eq=False)
class _Try:
    """The chunk that a session's owner begins with."""

    place: Place
    losses: int = 0
    """Groups that have died after they had begun with this chunk, and nobody has begun with another one since."""
    is_begun: bool = False


class Losses:
    """Whoever owns a session says with which chunk it begins, once the ranks are warm: what dies then may die of it.

    A group that dies takes sessions with it that have nothing to do with that. So only those count that had begun, and
    those that have been lost so begin one at a time: all but the guilty get on with their chunk, and are cleared.
    """

    def __init__(self) -> None:
        self._tries: dict[str, _Try] = {}
        self._on_trial: str | None = None
        self._changed = asyncio.Event()

    async def begin(self, session: str, place: Place, *, is_owner: Callable[[], bool]) -> bool:
        """The session's owner is about to make its first chunk. True where it was lost with this chunk before: then it
        has the turn, until `passed`, `lost`, `let_go` or `forget`. Who is no owner any more when its turn comes does
        not get it."""
        known = self._tries.get(session)
        if known is None or known.place != place:
            known = self._tries[session] = _Try(place)
        while known.losses and is_owner() and self._on_trial not in (None, session):
            await self._changed.wait()
        if not is_owner():
            return False
        known.is_begun = True
        if known.losses:
            self._on_trial = session
        return known.losses > 0

    def passed(self, session: str) -> None:
        """The chunk is made."""
        self.forget(session)

    def lost(self, session: str) -> Place | None:
        """The session's group has died. Returns its chunk, if that has been tried often enough."""
        known = self._tries.get(session)
        is_begun = known is not None and known.is_begun
        self.let_go(session)
        if known is None or not is_begun:
            return None
        known.losses += 1
        return known.place if known.losses >= MAX_LOSSES else None

    def let_go(self, session: str) -> None:
        """The session has lost its owner, and not with a chunk."""
        if session in self._tries:
            self._tries[session].is_begun = False
        self._end_trial(session)

    def forget(self, session: str) -> None:
        """The session has ended."""
        self._tries.pop(session, None)
        self._end_trial(session)

    def _end_trial(self, session: str) -> None:
        if self._on_trial == session:
            self._on_trial = None
        self._changed.set()
        self._changed = asyncio.Event()
