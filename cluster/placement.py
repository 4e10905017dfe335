"""Keeps one session on some worker group."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from ray import serve
from ray.exceptions import RayActorError, RayTaskError
from ray.serve.exceptions import RayServeException

from ..errors import Overloaded, ServiceError, WorldloomError
from .config import ClusterConfig

log = logging.getLogger(__name__)

PLACE_AGAIN_S = 0.25


class Placement:
    """One long call to Serve's router after the other: `WorkerGroup.play`. The router picks a group that has room, and
    the call fails as soon as the group does."""

    def __init__(
        self,
        session: str,
        config: ClusterConfig,
        *,
        on_lost: Callable[[str], None],
        on_failed: Callable[[str, WorldloomError], None],
    ) -> None:
        """`on_lost` hears when the session has no group for a while, `on_failed` of an error that no other group would
        mend."""
        self._session = session
        self._app = config.groups_app
        self._on_lost = on_lost
        self._on_failed = on_failed
        self._claimed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_running(self) -> bool:
        """Whether anybody looks after the session."""
        return self._task is not None

    def claimed(self) -> None:
        """A group has taken the session."""
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
        self._on_lost(self._session)
        self._task = asyncio.ensure_future(self._keep())

    def stop(self) -> None:
        """Let the session go."""
        if self._task is not None:
            self._task.cancel()

    async def _keep(self) -> None:
        while True:
            try:
                await self._play()
                log.info("session %s has been let go", self._session)
            except (RayActorError, RayServeException, ServiceError) as error:
                if isinstance(error, Overloaded) and not self._claimed.is_set():
                    raise
                log.warning("session %s needs another group: %s", self._session, type(error).__name__)
            except WorldloomError as error:
                self._on_failed(self._session, error)
                return
            except RayTaskError as error:
                log.error("session %s failed", self._session, exc_info=error)
                failure = WorldloomError("the session failed", hint="Create a new one; the service's log says more.")
                self._on_failed(self._session, failure)
                return
            self._on_lost(self._session)
            await asyncio.sleep(PLACE_AGAIN_S)

    async def _play(self) -> None:
        response: Any = serve.get_app_handle(self._app).play.remote(self._session)
        try:
            await response
        except asyncio.CancelledError:
            response.cancel()
            raise
