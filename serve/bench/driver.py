"""Plays worlds as fast as a backend makes them: plan, retrieve, denoise, commit, decode.

session 0   plan·retrieve │ denoise │ commit │ plan·retrieve │ denoise │ …
                                    └─ decode ──────┐   └ one chunk may wait for the decoder
session 1        … takes its turn at denoising when session 0 gives it back …
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ...cluster.engine import ChunkJob, ChunkResult
from ...cluster.history import record_of
from ...memory.records import ChunkRecord
from ...model.clip import Array, ClipInputs, MemoryQuery, MemoryView, advance, initial_state, plan_clip
from ...model.preset import Preset
from ..actions import Actions
from .figures import ChunkTimes, OnChunk
from .setting import PROMPT, VIEWPOINT, start_image
from .sharing import Sharing
from .walk import chunk_actions

clock = time.monotonic
"""The same in all processes of a machine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedAt:
    """When a chunk's frames lay in host memory, on this module's clock."""

    first_frame_s: float
    last_frame_s: float
    stages: dict[str, float]
    """Seconds of decoding, the copy to the host included."""


class Backend(Protocol):
    """Where a benchmark's work is done."""

    in_flight: int
    """Chunks of different sessions that are denoised at a time."""

    async def open(self, session: str, seed: int) -> None:
        """Make a world, under a name that is new."""
        ...

    async def retrieve(self, session: str, query: MemoryQuery) -> MemoryView: ...

    async def denoise(self, session: str, clip: ClipInputs) -> ChunkResult: ...

    async def commit(self, session: str, record: ChunkRecord) -> None: ...

    async def decode(self, session: str, chunk: int, latents: Array) -> DecodedAt:
        """Make the frames of a session's next chunk, in the order of asking."""
        ...

    def peak_memory_gb(self) -> float | None:
        """10⁹ bytes of GPU memory that were held at most."""
        ...

    def sharing(self) -> Sharing | None:
        """What is known of the ranks that share the denoising; None where it is one."""
        ...

    def close(self) -> None:
        """End what the backend started."""
        ...


class BackendRunner:
    """See `Runner`: all sessions at once, which take turns at denoising."""

    def __init__(self, preset: Preset, backend: Backend) -> None:
        self._preset = preset
        self._backend = backend

    def play(self, name: str, actions: list[Actions], chunks: int, on_chunk: OnChunk) -> None:
        """See `Runner`."""
        asyncio.run(self._play(name, actions, chunks, on_chunk))

    def peak_memory_gb(self) -> float | None:
        """See `Runner`."""
        return self._backend.peak_memory_gb()

    def sharing(self, chunks: Sequence[ChunkTimes]) -> Sharing | None:
        """See `Runner`. What messages cost cannot be seen from here."""
        return self._backend.sharing()

    def close(self) -> None:
        """See `Runner`."""
        self._backend.close()

    async def _play(self, name: str, actions: list[Actions], chunks: int, on_chunk: OnChunk) -> None:
        turn = asyncio.Semaphore(self._backend.in_flight)
        image = start_image(self._preset)
        players = [_Player(self._backend, f"{name}-{index}", image, turn) for index in range(len(actions))]
        await asyncio.gather(
            *(player.play(index, actions[index], chunks, on_chunk) for index, player in enumerate(players))
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Made:
    """A chunk that is committed and not decoded yet."""

    chunk: int
    latents: Array
    planned_s: float
    stages: dict[str, float]


class _Player:
    """One session."""

    def __init__(self, backend: Backend, session: str, image: npt.NDArray[np.uint8], turn: asyncio.Semaphore) -> None:
        self._backend = backend
        self._session = session
        self._image = image
        self._turn = turn
        self._state = initial_state(seed=0)
        self._next_frame_id = 0

    async def play(self, index: int, actions: Actions, chunks: int, on_chunk: OnChunk) -> None:
        self._state = initial_state(seed=index)
        await self._backend.open(self._session, seed=index)

        async def show(made: _Made) -> None:
            decoded = await self._backend.decode(self._session, made.chunk, made.latents)
            on_chunk(
                ChunkTimes(
                    session=index,
                    chunk=made.chunk,
                    planned_s=made.planned_s,
                    first_frame_s=decoded.first_frame_s,
                    last_frame_s=decoded.last_frame_s,
                    stages=made.stages | decoded.stages,
                )
            )

        decoding: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        decoding.set_result(None)
        for chunk in range(chunks):
            made = await self._make(chunk_actions(actions, chunk))
            await decoding
            decoding = asyncio.ensure_future(show(made))
        await decoding

    async def _make(self, actions: Actions) -> _Made:
        planned_s = clock()
        clip, stages = await self._plan(actions)
        async with self._turn:
            result = await self._backend.denoise(self._session, clip)
        committing = clock()
        record = record_of(clip, result.latents, first_frame_id=self._next_frame_id)
        await self._backend.commit(self._session, record)
        self._state = advance(self._state, clip, result.latents)
        self._next_frame_id = record.next_frame_id
        stages |= {**result.timings, "commit": clock() - committing}
        return _Made(chunk=clip.chunk, latents=result.latents, planned_s=planned_s, stages=stages)

    async def _plan(self, actions: Actions) -> tuple[ClipInputs, dict[str, float]]:
        """The next clip, and the seconds of planning and retrieving."""
        loop = asyncio.get_running_loop()
        retrieve_s = 0.0

        def retrieve(query: MemoryQuery) -> MemoryView:
            nonlocal retrieve_s
            started = clock()
            view = asyncio.run_coroutine_threadsafe(self._backend.retrieve(self._session, query), loop).result()
            retrieve_s = clock() - started
            return view

        def plan() -> ClipInputs:
            return plan_clip(
                self._state,
                actions.keyboard,
                actions.mouse,
                prompt=PROMPT,
                viewpoint=VIEWPOINT,
                image=self._image,
                retrieve=retrieve,
            )

        started = clock()
        clip = await asyncio.to_thread(plan)
        return clip, {"plan": clock() - started - retrieve_s, "retrieve": retrieve_s}


def job_of(session: str, clip: ClipInputs) -> ChunkJob:
    """The clip as an engine takes it."""
    return ChunkJob(session=session, epoch=0, clip=clip)
