"""A worker group's ranks, as its sessions use them."""

from __future__ import annotations

from collections.abc import Sequence

from .config import ClusterConfig
from .engine import ChunkJob, ChunkResult
from .gang import Gang
from .rank import Rank, RankShare


class Denoisers:
    """A gang that makes chunks: one at a time, or with experts on ranks of their own one on each side."""

    def __init__(self, config: ClusterConfig) -> None:
        self.gang = Gang(Rank, config, size=config.group_ranks, gpu_share=config.rank_share)

    @property
    def is_warm(self) -> bool:
        """See `Gang`."""
        return self.gang.is_warm

    async def warm(self) -> None:
        """See `Gang`."""
        await self.gang.warm()

    async def step(self, job: ChunkJob, *, gateway: str) -> ChunkResult:
        """Denoise one chunk; this gateway hears of its steps. Raises WorkerLost when a rank died."""
        return joined(await self.gang.ask("step", job, gateway))


def joined(shares: Sequence[RankShare]) -> ChunkResult:
    """A chunk from what its ranks have made: a stage takes as long as on the slowest of them."""
    (latents,) = (share.latents for share in shares if share.latents is not None)
    names = dict.fromkeys(name for share in shares for name in share.timings)
    return ChunkResult(
        latents=latents,
        timings={name: max(share.timings.get(name, 0.0) for share in shares) for name in names},
    )
