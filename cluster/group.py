"""The worker-group deployment: each replica leads one gang of ranks and plays the sessions that it owns."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from typing import Any

from ray import serve
from ray.serve import Application

from ..errors import Overloaded, ServiceError, WorldloomError
from .clients import DirectoryClient
from .config import ClusterConfig
from .denoisers import Denoisers
from .gang import LEADER_CPUS, gang_bundles
from .messages import GroupBeat
from .peer import plain
from .session_loop import SessionLoop

log = logging.getLogger(__name__)


class WorkerGroup:
    """The leader of one gang. It touches no tensor and loads no torch: its ranks are child actors."""

    async def __init__(self, config: ClusterConfig) -> None:  # type: ignore[misc]  # Serve awaits it
        """Returns when the ranks are warm: only then does Serve send sessions here."""
        self._config = config
        self._group = uuid.uuid4().hex[:8]
        self._directory = DirectoryClient(config)
        self._ranks = Denoisers(config)
        # Handed on in order of asking, and a session asks once a chunk: those in flight are of different sessions.
        self._turn = asyncio.Semaphore(config.chunks_in_flight)
        self._loops: dict[str, SessionLoop] = {}
        warming = asyncio.ensure_future(self._beat(is_warm=False))
        try:
            await self._ranks.warm()
        except WorldloomError as error:
            await self._directory.start_failed(plain(error))
            raise
        finally:
            warming.cancel()
        self._beating = asyncio.ensure_future(self._beat(is_warm=True))

    async def play(self, session: str) -> None:
        """Own the session until it ends, another group takes it, or a rank dies, which raises WorkerLost.

        Raises Overloaded when the group has no room.
        """
        if len(self._loops) >= self._config.sessions_per_group and session not in self._loops:
            raise Overloaded(f"worker group {self._group} has its {len(self._loops)} sessions", hint="Try again later.")
        loop = SessionLoop(session, group=self._group, config=self._config, ranks=self._ranks, turn=self._turn)
        self._loops[session] = loop
        try:
            await loop.run()
        finally:
            if self._loops.get(session) is loop:
                del self._loops[session]

    async def check_health(self) -> None:
        """For Serve: ranks that have died while they had nothing to do are started again at once. Raises where they
        cannot be: after a few times Serve starts another group."""
        await self._ranks.gang.check()

    async def pids(self) -> tuple[int, ...]:
        """Process ids of the leader and of the ranks, for tests that kill them."""
        return os.getpid(), *await self._ranks.gang.warm()

    async def _beat(self, *, is_warm: bool) -> None:
        while True:
            # A loop that waits for its first epoch is no owner yet.
            epochs = {session: loop.epoch for session, loop in self._loops.items() if loop.epoch > 0}
            beat = GroupBeat(
                group=self._group, capacity=self._config.sessions_per_group, epochs=epochs, is_warm=is_warm
            )
            try:
                lost = await self._directory.beat(beat)
            except ServiceError as error:
                log.warning("group %s: %s", self._group, error.message)
                lost = ()
            for session in lost:
                if session in self._loops:
                    self._loops[session].leave()
            await asyncio.sleep(self._config.beat_s)


def groups_app(config: ClusterConfig) -> Application:
    """The Serve application of the worker groups."""
    deployment: Any = serve.deployment(
        WorkerGroup,
        name="groups",
        num_replicas=config.groups,
        # Room for a session that comes back while its old call still ends.
        max_ongoing_requests=2 * config.sessions_per_group + 1,
        ray_actor_options={"num_cpus": LEADER_CPUS},
        placement_group_bundles=gang_bundles(size=config.group_ranks, gpu_share=config.rank_share),
        placement_group_strategy="STRICT_PACK",
        max_constructor_retry_count=config.start_tries,
        health_check_period_s=config.health_check_s,
        graceful_shutdown_timeout_s=config.shutdown_s,
        graceful_shutdown_wait_loop_s=0.1,
    )
    application: Application = deployment.bind(config)
    return application
