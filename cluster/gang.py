"""Actors that work as one, each with a device, in their leader's placement group. They are restarted together."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util import get_current_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ..errors import DoesNotFit, RanksLost, WorldloomError
from .config import ClusterConfig
from .member import Meeting, Member

log = logging.getLogger(__name__)

LEADER_CPUS = 0.1
RANK_CPUS = 0.5
FIRST_RANK_BUNDLE = 1
"""Bundle 0 of the placement group is the leader's."""
DEATH_NOTICE_S = 2.0
"""So long after a rank has failed Ray may take to tell that another has died."""


@dataclass(slots=True, eq=False)
class _Team:
    """Ranks that have met."""

    ranks: list[Any]
    pids: tuple[int, ...]
    asked: int = 0
    """Pieces of work so far."""


class Gang:
    """What a lost rank was doing raises RanksLost, and none of the others lives on: the next piece of work waits for
    new ones, which meet elsewhere."""

    def __init__(self, kind: type[Member], config: ClusterConfig, *, size: int, gpu_share: float) -> None:
        """`size` actors of one kind, each with a share of a GPU."""
        self._kind = kind
        self._config = config
        self._size = size
        self._gpu_share = gpu_share
        self._team: _Team | None = None
        self._starting = asyncio.Lock()
        self._mending: asyncio.Task[_Team] | None = None

    @property
    def is_warm(self) -> bool:
        """Whether work begins at once."""
        return self._team is not None

    async def warm(self) -> tuple[int, ...]:
        """Start the ranks unless they run, and wait until they are warm. Returns their process ids.

        Raises ConfigError, CheckpointError or DoesNotFit when the weights cannot be loaded, WorkerLost when a rank died
        of it.
        """
        return (await self._present()).pids

    async def ask(self, method: str, data: Any, *args: Any) -> list[Any]:
        """What `method` of all ranks returns, in their order. It takes the number of the piece of work first: all ranks
        begin work in the order in which it is asked for. Raises WorkerLost when a rank died."""
        team = await self._present()
        number = team.asked
        team.asked += 1
        # What several ranks take is stored once.
        shared = ray.put(data) if self._size > 1 else data
        calls = [partial(getattr(rank, method).remote, number, shared, *args) for rank in team.ranks]
        try:
            # Ray cancels with a request of Serve what that has called, which it knows by the context. But all ranks
            # must do what one has begun, and every number has to come.
            return await _all_of([Context().run(call) for call in calls])
        except RayActorError as error:
            raise self._lost(team.ranks) from error
        except RayTaskError as error:
            if self._size > 1 and not isinstance(error, WorldloomError):
                # Ranks that did not fail alike are out of step.
                self._end(team.ranks)
            raise

    async def check(self) -> None:
        """Notice a rank that has died while nobody asked it for anything, and have others warm before somebody does.
        Does not wait for them. Raises what went wrong with their start, until somebody's work has started some."""
        if self._team is not None:
            await self._look_after(self._team.ranks)
        if self._team is not None:
            return
        if self._mending is not None and self._mending.done():
            self._mending.result()
        if self._mending is None or self._mending.done():
            self._mending = asyncio.ensure_future(self._present())

    async def peak_memory_gb(self) -> list[float]:
        """10⁹ bytes that PyTorch has held at most on each rank's GPU; nothing on the CPU."""
        team = await self._present()
        peaks = await _all_of([rank.peak_memory_gb.remote() for rank in team.ranks])
        return [peak for peak in peaks if peak is not None]

    async def _present(self) -> _Team:
        if self._team is not None:
            return self._team
        async with self._starting:
            if self._team is None:
                ranks = self._start()
                try:
                    meeting = await self._meeting(ranks)
                    pids = await _all_of([rank.load.remote(meeting) for rank in ranks])
                    await _all_of([rank.warm_up.remote() for rank in ranks])
                except RayActorError as error:
                    raise self._lost(ranks) from error
                except (RayError, WorldloomError):
                    self._end(ranks)
                    raise
                self._team = _Team(ranks, tuple(pids))
            return self._team

    async def _look_after(self, ranks: list[Any]) -> None:
        """Let go of ranks of which one is dead. One that takes its time is not."""
        answers = [asyncio.ensure_future(_value(rank.is_alive.remote())) for rank in ranks]
        done, late = await asyncio.wait(answers, timeout=DEATH_NOTICE_S)
        for answer in late:
            answer.cancel()
        if any(isinstance(answer.exception(), RayActorError) for answer in done):
            log.warning("%s while nobody needed it", self._lost(ranks).message)

    async def _meeting(self, ranks: list[Any]) -> Meeting | None:
        """None for a rank that is alone. Raises DoesNotFit where ranks have to share a GPU."""
        if len(ranks) == 1:
            return None
        places = await _all_of([rank.place.remote() for rank in ranks])
        gpus = tuple(gpu for _, gpu in places)
        gpu, count = Counter(gpus).most_common(1)[0]
        if gpu and count > 1:
            raise DoesNotFit(
                f"Ray gave GPU {gpu} to {count} of {len(gpus)} ranks that work together",
                hint="Use fewer ranks, or leave GPUs of this cluster to the service alone.",
            )
        return Meeting(address=places[0][0], gpus=gpus)

    def _lost(self, ranks: list[Any]) -> RanksLost:
        self._end(ranks)
        what = "a rank" if self._size == 1 else f"one of {self._size} ranks that work together"
        return RanksLost(f"{what} has died", hint="Others are started; the world goes on from its last commit.")

    def _end(self, ranks: list[Any]) -> None:
        """These ranks are done for: those that live wait for one that does not."""
        if self._team is not None and self._team.ranks is ranks:
            self._team = None
        for rank in ranks:
            ray.kill(rank)

    def _start(self) -> list[Any]:
        group = get_current_placement_group()
        assert group is not None, "a gang runs in its leader's placement group"
        remote: Any = ray.remote(self._kind)
        return [
            remote.options(
                scheduling_strategy=PlacementGroupSchedulingStrategy(
                    group, placement_group_bundle_index=FIRST_RANK_BUNDLE + rank
                ),
                num_cpus=RANK_CPUS,
                num_gpus=self._gpu_share,
                max_restarts=0,
            ).remote(self._config, rank, self._size)
            for rank in range(self._size)
        ]


def gang_bundles(*, size: int, gpu_share: float) -> list[dict[str, float]]:
    """The placement group of a gang: the leader, then its ranks."""
    rank = {"CPU": RANK_CPUS, **({"GPU": gpu_share} if gpu_share else {})}
    return [{"CPU": LEADER_CPUS}, *(dict(rank) for _ in range(size))]


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
