"""Keeps one session on some worker group."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from ray import serve
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import RayServeException

from ..errors import Overloaded, RanksLost, ServiceError, WorldloomError

log = logging.getLogger(__name__)

PLACE_AGAIN_S = 0.25


async def play_on_some_group(app: str, session: str) -> None:
    """`WorkerGroup.play`: Serve's router picks a group that has room, and the call fails as soon as the group does."""
    response: Any = serve.get_app_handle(app).play.remote(session)
    try:
        await response
    except asyncio.CancelledError:
        response.cancel()
        raise


class Placement:
    """One long call to some group after the other."""

    def __init__(
        self,
        session: str,
        play: Callable[[str], Awaitable[None]],
        *,
        queue_s: float,
        on_lost: Callable[[str, bool], bool],
        on_full: Callable[[str], int],
        on_failed: Callable[[str, WorldloomError], None],
    ) -> None:
        """`play` is the call, which returns when the session has ended. `on_lost` hears when the session has no group
        for a while, and whether that has died; it returns whether to look for another one. `on_full` hears when no
        group has room for it, and returns its place among those that wait, from 1: they do so for `queue_s`.
        `on_failed` hears of the end of that, and of an error that no other group would mend.
        """
        self._session = session
        self._play = play
        self._queue_s = queue_s
        self._on_lost = on_lost
        self._on_full = on_full
        self._on_failed = on_failed
        self._full_since: float | None = None
        self._claimed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether anybody looks after the session."""
        return self._task is not None

    def claimed(self) -> None:
        """A group has taken the session."""
        self._full_since = None
        self._claimed.set()

    async def start(self) -> None:
        """Returns once a group has claimed the session; raises Overloaded if there is none that has room."""
        task = self._task = asyncio.ensure_future(self._keep())
        claimed = asyncio.ensure_future(self._claimed.wait())
        await asyncio.wait({task, claimed}, return_when=asyncio.FIRST_COMPLETED)
        claimed.cancel()
        if task.done():
            task.result()

    def restart(self) -> None:
        """Give up the present call, and place the session again."""
        self.stop()
        self._claimed.set()
        if self._on_lost(self._session, True):
            self._task = asyncio.ensure_future(self._keep())

    def stop(self) -> None:
        """Let the session go."""
        if self._task is not None:
            self._task.cancel()

    async def _keep(self) -> None:
        while True:
            has_died = False
            try:
                await self._play(self._session)
                log.info("session %s has been let go", self._session)
            except Overloaded:
                if not self._claimed.is_set():
                    raise
                if not await self._wait_in_line():
                    return
                continue
            except (RayActorError, RayServeException, ServiceError) as error:
                log.warning("session %s needs another group: %s", self._session, type(error).__name__)
                has_died = isinstance(error, (RayActorError, RanksLost))
            except WorldloomError as error:
                self._on_failed(self._session, error)
                return
            except RayTaskError as error:
                log.error("session %s failed", self._session, exc_info=error)
                failure = WorldloomError("the session failed", hint="Create a new one; the service's log says more.")
                self._on_failed(self._session, failure)
                return
            if not self._on_lost(self._session, has_died):
                return
            await asyncio.sleep(PLACE_AGAIN_S)

    async def _wait_in_line(self) -> bool:
        """Until the session is the next one to ask for a group. False: it has waited for too long."""
        if self._full_since is None:
            self._full_since = time.monotonic()
        give_up = self._full_since + self._queue_s
        while time.monotonic() < give_up:
            place = self._on_full(self._session)
            await asyncio.sleep(PLACE_AGAIN_S)
            if place == 1:
                return True
        full = Overloaded(
            f"no worker group had room for this world for {self._queue_s:g} s",
            hint="Create another session later, when other worlds have ended.",
        )
        self._on_failed(self._session, full)
        return False
