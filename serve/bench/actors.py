"""The benchmark's work in Ray actors: a rank, a decoder and the memory store, each a process, without a gateway."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, Self

import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from ...cluster.config import ClusterConfig
from ...cluster.denoisers import Denoisers
from ...cluster.engine import ChunkJob, ChunkResult
from ...cluster.engines import make_decoder
from ...cluster.gang import LEADER_CPUS, RANK_CPUS, gang_bundles
from ...cluster.lay_out import Machine, Wish, lay_out, shares_work
from ...cluster.machine import ray_machine
from ...cluster.messages import SessionSpec
from ...cluster.peer import plain
from ...cluster.service import check_gpus
from ...cluster.store import StoreActor
from ...cluster.threads import use_all_cores
from ...errors import WorldloomError
from ...memory.records import ChunkRecord
from ...model.clip import Array, ClipInputs, MemoryQuery, MemoryView
from ...model.preset import Preset
from ..ray_start import start_ray
from .driver import DecodedAt, job_of
from .machine import peak_memory_gb
from .setting import PROMPT, STORE_BYTES, VIEWPOINT, start_image
from .sharing import Sharing
from .threads import decode_pieces

BENCH_NAMESPACE = "worldloom-bench"
STORE_CALLS = 100


class BenchLeader:
    """Leads the ranks as a worker group does."""

    def __init__(self, config: ClusterConfig) -> None:
        self._ranks = Denoisers(config)

    async def load(self) -> None:
        await self._ranks.gang.warm()

    async def step(self, job: ChunkJob) -> ChunkResult:
        return await self._ranks.step(job, gateway="")

    async def rank_memory_gb(self) -> list[float]:
        return await self._ranks.gang.peak_memory_gb()


class BenchDecoder:
    """Decodes streams as a replica does, and keeps the frames to itself."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._states: dict[str, Any] = {}

    def load(self) -> None:
        if self._config.preset.engine != "mock":
            use_all_cores()
        self._decoder = make_decoder(self._config.preset, self._config.device)
        self._decoder.warm_up()

    def open(self, session: str) -> None:
        self._states[session] = None

    def decode(self, session: str, chunk: int, latents: Array) -> DecodedAt:
        decoded, self._states[session] = decode_pieces(self._decoder, chunk, latents, self._states[session])
        return decoded

    def peak_memory_gb(self) -> float | None:
        return peak_memory_gb()


class RayBackend:
    """See `Backend`."""

    def __init__(self, config: ClusterConfig) -> None:
        """Starts the actors on the Ray cluster that this process is connected to. Raises DoesNotFit."""
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        check_gpus(config, available=resources.get("GPU", 0.0))
        self._config = config
        self.in_flight = config.chunks_in_flight
        bundles = gang_bundles(size=config.group_ranks, gpu_share=config.rank_share)
        self._ranks = placement_group(bundles, "STRICT_PACK")
        in_group = PlacementGroupSchedulingStrategy(self._ranks, placement_group_bundle_index=0)
        self._store = _start(StoreActor, config, num_cpus=0, max_concurrency=STORE_CALLS)
        self._leader = _start(BenchLeader, config, num_cpus=LEADER_CPUS, scheduling_strategy=in_group)
        self._decoder = _start(BenchDecoder, config, num_cpus=RANK_CPUS, num_gpus=config.decoder_share)
        self._epochs: dict[str, int] = {}

    @classmethod
    def load(cls, preset: Preset, wish: Wish) -> Self:
        """With the preset's networks loaded and warm, and one decoder; starts Ray for this process alone unless it is
        connected."""
        if not ray.is_initialized():
            start_ray("local", verbose=False)
        config = ClusterConfig(preset=preset, name=BENCH_NAMESPACE, store_bytes=STORE_BYTES)
        if shares_work(config, wish):
            machine = ray_machine() if config.uses_gpus else Machine.cpu(wish.gpus or 1)
            config = lay_out(config, wish, machine).config
        backend = cls(replace(config, decoders=1, decoder_ranks=1))
        try:
            ray.get([backend._leader.load.remote(), backend._decoder.load.remote()])
        except WorldloomError as error:
            raise plain(error) from error
        return backend

    async def open(self, session: str, seed: int) -> None:
        preset = self._config.preset
        spec = SessionSpec(
            session=session,
            preset=preset.name,
            image=start_image(preset),
            prompt=PROMPT,
            seed=seed,
            viewpoint=VIEWPOINT,
            token_hash="",
            created_at=time.time(),
        )
        await self._store.create.remote(spec)
        self._epochs[session] = await self._store.take_over.remote(session)
        await self._decoder.open.remote(session)

    async def retrieve(self, session: str, query: MemoryQuery) -> MemoryView:
        view: MemoryView = await self._store.retrieve.remote(session, 0, query)
        return view

    async def denoise(self, session: str, clip: ClipInputs) -> ChunkResult:
        result: ChunkResult = await self._leader.step.remote(job_of(session, clip))
        return result

    async def commit(self, session: str, record: ChunkRecord) -> None:
        await self._store.commit.remote(session, self._epochs[session], record)

    async def decode(self, session: str, chunk: int, latents: Array) -> DecodedAt:
        decoded: DecodedAt = await self._decoder.decode.remote(session, chunk, latents)
        return decoded

    def peak_memory_gb(self) -> float | None:
        """Of the fullest rank and the decoder together, which may share a GPU."""
        ranks: list[float] = self.rank_memory_gb()
        decoder: float | None = ray.get(self._decoder.peak_memory_gb.remote())
        return max(ranks) + (decoder or 0.0) if ranks else decoder

    def rank_memory_gb(self) -> list[float]:
        """Of each rank; nothing on the CPU."""
        ranks: list[float] = ray.get(self._leader.rank_memory_gb.remote())
        return ranks

    def sharing(self) -> Sharing | None:
        """See `Backend`."""
        layout = self._config.layout
        if layout is None or layout.gpus == 1:
            return None
        memory_gb = tuple(round(value, 2) for value in self.rank_memory_gb())
        return Sharing(placement=layout.placement, rank_memory_gb=memory_gb, exposed_step_s=None)

    def close(self) -> None:
        """End the actors. Ray ends with the process that started it."""
        for actor in (self._store, self._leader, self._decoder):
            ray.kill(actor)
        remove_placement_group(self._ranks)


def _start(kind: type, config: ClusterConfig, **options: Any) -> Any:
    remote: Any = ray.remote(kind)
    return remote.options(**options).remote(config)
