"""One rank of a worker group. Importable without torch, which only its process needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..model.clip import Array, OnStep
from ..parallel.planner import Layout
from .config import ClusterConfig
from .engine import ChunkJob, ChunkResult
from .engines import make_engine
from .gateways import ProgressTeller
from .member import Member
from .messages import Phase, Progress

if TYPE_CHECKING:
    from ..parallel.ranks import Ranks

Launch = Callable[[ChunkJob, OnStep | None], Callable[[], ChunkResult]]
"""Sets a chunk going; what it returns waits for it."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RankShare:
    """What one rank has made of a chunk."""

    latents: Array | None
    """The new latents, on the one rank that gives them away."""
    timings: dict[str, float]
    """Of this rank's stages."""


class Rank(Member):
    """One device, and an engine on it that the other ranks of the group share."""

    def __init__(self, config: ClusterConfig, rank: int, size: int) -> None:
        super().__init__(config, rank, size)
        self._teller = ProgressTeller(config)
        self._answers = True

    async def step(self, number: int, job: ChunkJob, gateway: str) -> RankShare:
        """See `Engine.step`. The gateway hears of each denoising step where all ranks share it. The next chunk may be
        launched before this one is done."""
        wait = await self._in_turn(number, self._begin, job, gateway)
        result = await asyncio.to_thread(wait)
        return RankShare(latents=result.latents if self._answers else None, timings=result.timings)

    def _load(self, ranks: Ranks | None) -> None:
        """See `Member`."""
        if self._config.layout is None:
            self._take_alone()
        else:
            self._take_share(self._config.layout, ranks)

    def _warm_up(self) -> None:
        """See `Member`."""
        self._prepare()

    def _take_alone(self) -> None:
        engine = make_engine(self._config.preset, self._config.device)

        def launch(job: ChunkJob, on_step: OnStep | None) -> Callable[[], ChunkResult]:
            result = engine.step(job, on_step=on_step)
            return lambda: result

        self._launch: Launch = launch
        self._prepare = engine.warm_up

    def _take_share(self, layout: Layout, ranks: Ranks | None) -> None:
        from ..parallel.ranks import Ranks
        from .shared_engine import make_shared_engine

        engine = make_shared_engine(self._config.preset, ranks or Ranks.alone(self.device), layout)
        self._answers = engine.answers
        self._launch = lambda job, on_step: engine.launcher.launch(job, on_step=on_step).wait
        self._prepare = lambda: engine.warm_up(self._config.preset)

    def _begin(self, job: ChunkJob, gateway: str) -> Callable[[], ChunkResult]:
        clip = job.clip

        def report(step: int, num_steps: int) -> None:
            self._teller.tell(
                gateway,
                job.session,
                Progress(phase=Phase.PLAYING, branch=clip.branch, chunk=clip.chunk, step=step, num_steps=num_steps),
            )

        return self._launch(job, report if self._rank == 0 else None)
