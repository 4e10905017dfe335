"""The ranks of one worker group: actors in the leader's placement group, restarted together when one is lost."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import ray
from ray.exceptions import RayActorError
from ray.util import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ..errors import WorkerLost
from .config import ClusterConfig
from .engine import ChunkJob, ChunkResult
from .engines import make_engine
from .gateways import ProgressTeller
from .messages import Phase, Progress
from .threads import use_all_cores

LEADER_CPUS = 0.1
RANK_CPUS = 0.5
RANK_BUNDLE = 1
"""Bundle 0 of the placement group is the leader's."""


class Rank:
    """A Ray actor: one engine on one device."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._teller = ProgressTeller(config)

    def load(self) -> int:
        """Load and warm the engine. Returns the process id. Not part of the constructor, whose errors would reach the
        leader as the actor's death and not as what they are."""
        config = self._config
        if config.preset.engine != "mock":
            use_all_cores()
        self._engine = make_engine(config.preset, config.device)
        self._engine.warm_up()
        return os.getpid()

    def step(self, job: ChunkJob, gateway: str) -> ChunkResult:
        """See `Engine.step`. The gateway hears of each denoising step."""

        def report(step: int, num_steps: int) -> None:
            clip = job.clip
            self._teller.tell(
                gateway,
                job.session,
                Progress(phase=Phase.PLAYING, branch=clip.branch, chunk=clip.chunk, step=step, num_steps=num_steps),
            )

        return self._engine.step(job, on_step=report)


class Gang:
    """One rank today. What a lost rank was doing raises WorkerLost; the next step waits for the restarted gang."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._rank: Any = None
        self._pid = 0
        self._starting = asyncio.Lock()

    async def warm(self) -> int:
        """Start the ranks unless they run, and wait until they are warm. Returns rank 0's process id.

        Raises ConfigError or CheckpointError when the weights cannot be loaded, WorkerLost when a rank died of it.
        """
        async with self._starting:
            if self._rank is None:
                rank = self._start()
                try:
                    self._pid = await rank.load.remote()
                except RayActorError as error:
                    raise self._lost() from error
                self._rank = rank
        return self._pid

    async def step(self, job: ChunkJob, *, gateway: str) -> ChunkResult:
        """Denoise one chunk; this gateway hears of each step. Raises WorkerLost when a rank died."""
        if self._rank is None:
            await self.warm()
        rank = self._rank
        try:
            result: ChunkResult = await rank.step.remote(job, gateway)
        except RayActorError as error:
            raise self._lost() from error
        return result

    def _lost(self) -> WorkerLost:
        self._rank = None
        return WorkerLost("a rank of the worker group has died", hint="The group restarts; the world goes on.")

    def _start(self) -> Any:
        group = get_current_placement_group()
        assert group is not None, "a gang runs in its leader's placement group"
        remote: Any = ray.remote(Rank)
        actor = remote.options(
            scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=RANK_BUNDLE),
            num_cpus=RANK_CPUS,
            num_gpus=self._config.rank_gpus if self._config.uses_gpus else 0,
            max_restarts=0,
        )
        return actor.remote(self._config)


def gang_bundles(config: ClusterConfig) -> list[dict[str, float]]:
    """The placement group of one worker group: the leader, then its ranks."""
    rank = {"CPU": RANK_CPUS, **({"GPU": config.rank_gpus} if config.uses_gpus else {})}
    return [{"CPU": LEADER_CPUS}, rank]
