"""The benchmark's work in this process with the mock: an engine and a decoder, a thread each."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...cluster.engine import ChunkResult, Decoder
from ...cluster.engines import make_decoder, make_engine
from ...cluster.history import memory_of
from ...cluster.pieces import pieces_of
from ...memory.records import ChunkRecord, WorldHeader
from ...memory.store import Store, StoreConfig
from ...model.clip import Array, ClipInputs, MemoryQuery, MemoryView
from ...model.preset import Preset
from .driver import DecodedAt, clock, job_of
from .setting import PIECE_LATENTS, PROMPT, STORE_BYTES, VIEWPOINT, start_image


class ThreadBackend:
    """See `Backend`."""

    in_flight = 1

    def __init__(self, preset: Preset) -> None:
        self._preset = preset
        self._engine = make_engine(preset)
        self._decoder = make_decoder(preset)
        self._store = Store(StoreConfig(budget_bytes=STORE_BYTES))
        self._states: dict[str, Any] = {}
        self._engine_thread = ThreadPoolExecutor(1, "engine")
        self._decoder_thread = ThreadPoolExecutor(1, "decoder")

    async def open(self, session: str, seed: int) -> None:
        header = WorldHeader(
            session=session,
            preset=self._preset.name,
            seed=seed,
            prompt=PROMPT,
            viewpoint=VIEWPOINT,
            image=start_image(self._preset),
            created_at=time.time(),
        )
        self._store.open(session, 0, header=header)
        self._states[session] = None

    async def retrieve(self, session: str, query: MemoryQuery) -> MemoryView:
        view = await asyncio.to_thread(self._store.retrieve, session, 0, query.query_poses, query.candidate_stop)
        return memory_of(view)

    async def denoise(self, session: str, clip: ClipInputs) -> ChunkResult:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._engine_thread, self._engine.step, job_of(session, clip))

    async def commit(self, session: str, record: ChunkRecord) -> None:
        await asyncio.to_thread(self._store.commit, session, 0, record)

    async def decode(self, session: str, chunk: int, latents: Array) -> DecodedAt:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._decoder_thread, self._decode, session, chunk, latents)

    def peak_memory_gb(self) -> None:
        """The mock uses no GPU."""

    def sharing(self) -> None:
        """One engine."""

    def close(self) -> None:
        """End the threads."""
        self._engine_thread.shutdown()
        self._decoder_thread.shutdown()

    def _decode(self, session: str, chunk: int, latents: Array) -> DecodedAt:
        decoded, self._states[session] = decode_pieces(self._decoder, chunk, latents, self._states[session])
        return decoded


def decode_pieces(decoder: Decoder, chunk: int, latents: Array, state: Any) -> tuple[DecodedAt, Any]:
    """Decode a chunk piece by piece, as a decoder replica does. Returns the stream's next state too."""
    started = clock()
    moments = []
    for piece in pieces_of(chunk, PIECE_LATENTS):
        _, state = decoder.decode(latents[:, piece.start : piece.stop], state)
        moments.append(clock())
    stages = {"decode": moments[-1] - started}
    return DecodedAt(first_frame_s=moments[0], last_frame_s=moments[-1], stages=stages), state
