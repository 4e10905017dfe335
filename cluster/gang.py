"""The ranks of one worker group: actors in the leader's placement group, restarted together when one is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ..errors import WorkerLost, WorldloomError
from .config import ClusterConfig
from .engine import ChunkJob, ChunkResult
from .rank import Meeting, Rank

LEADER_CPUS = 0.1
RANK_CPUS = 0.5
FIRST_RANK_BUNDLE = 1
"""Bundle 0 of the placement group is the leader's."""
DEATH_NOTICE_S = 2.0
"""So long after a rank has failed Ray may take to tell that another has died."""


class Gang:
    """The ranks of a group. What a lost rank was doing raises WorkerLost, and none of the others lives on: the next
    step waits for new ones, which meet elsewhere."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._ranks: list[Any] = []
        self._pids: tuple[int, ...] = ()
        self._starting = asyncio.Lock()

    async def warm(self) -> tuple[int, ...]:
        """Start the ranks unless they run, and wait until they are warm. Returns their process ids.

        Raises ConfigError, CheckpointError or DoesNotFit when the weights cannot be loaded, WorkerLost when a rank died
        of it.
        """
        async with self._starting:
            if not self._ranks:
                ranks = self._start()
                try:
                    meeting = await self._meeting(ranks)
                    self._pids = tuple(await _all_of([rank.load.remote(meeting) for rank in ranks]))
                except RayActorError as error:
                    raise self._lost(ranks) from error
                except RayError:
                    self._end(ranks)
                    raise
                self._ranks = ranks
        return self._pids

    async def step(self, job: ChunkJob, *, gateway: str) -> ChunkResult:
        """Denoise one chunk; this gateway hears of each step. Raises WorkerLost when a rank died."""
        if not self._ranks:
            await self.warm()
        ranks = self._ranks
        # What several ranks take is stored once.
        shared = ray.put(job) if len(ranks) > 1 else job
        try:
            result, *_ = await _all_of([rank.step.remote(shared, gateway) for rank in ranks])
        except RayActorError as error:
            raise self._lost(ranks) from error
        except RayTaskError as error:
            if len(ranks) > 1 and not isinstance(error, WorldloomError):
                # Ranks that did not fail alike are out of step.
                self._end(ranks)
            raise
        return cast(ChunkResult, result)

    async def peak_memory_gb(self) -> list[float]:
        """10⁹ bytes that PyTorch has held at most on each rank's GPU; nothing on the CPU."""
        peaks = await _all_of([rank.peak_memory_gb.remote() for rank in self._ranks])
        return [peak for peak in peaks if peak is not None]

    async def _meeting(self, ranks: list[Any]) -> Meeting | None:
        """None for a rank that is alone."""
        if len(ranks) == 1:
            return None
        places = await _all_of([rank.place.remote() for rank in ranks])
        return Meeting(address=places[0][0], gpus=tuple(gpu for _, gpu in places))

    def _lost(self, ranks: list[Any]) -> WorkerLost:
        self._end(ranks)
        return WorkerLost("a rank of the worker group has died", hint="The group restarts; the world goes on.")

    def _end(self, ranks: list[Any]) -> None:
        """These ranks are done for: those that live wait for one that does not."""
        if self._ranks is ranks:
            self._ranks = []
        for rank in ranks:
            ray.kill(rank)

    def _start(self) -> list[Any]:
        group = get_current_placement_group()
        assert group is not None, "a gang runs in its leader's placement group"
        remote: Any = ray.remote(Rank)
        return [
            remote.options(
                scheduling_strategy=PlacementGroupSchedulingStrategy(
                    group, placement_group_bundle_index=FIRST_RANK_BUNDLE + rank
                ),
                num_cpus=RANK_CPUS,
                num_gpus=self._config.rank_gpus if self._config.uses_gpus else 0,
                max_restarts=0,
            ).remote(self._config, rank)
            for rank in range(self._config.group_ranks)
        ]


def gang_bundles(config: ClusterConfig) -> list[dict[str, float]]:
    """The placement group of one worker group: the leader, then its ranks."""
    rank = {"CPU": RANK_CPUS, **({"GPU": config.rank_gpus} if config.uses_gpus else {})}
    return [{"CPU": LEADER_CPUS}, *(dict(rank) for _ in range(config.group_ranks))]


async def _all_of(refs: Sequence[Any]) -> list[Any]:
    """The values of all references, unless one has failed: then the others have a moment to fail too, and the death of
    a rank is raised before what the others met because of it."""
    waiting = [asyncio.ensure_future(_value(ref)) for ref in refs]
    _, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_EXCEPTION)
    if pending:
        _, pending = await asyncio.wait(pending, timeout=DEATH_NOTICE_S)
    for task in pending:
        task.cancel()
    errors = [task.exception() for task in waiting if task not in pending]
    failed = sorted((error for error in errors if error), key=lambda error: not isinstance(error, RayActorError))
    if failed:
        raise failed[0]
    return [task.result() for task in waiting]


async def _value(ref: Any) -> Any:
    return await ref
