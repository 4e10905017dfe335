"""Worlds on one device, or on several ranks that all run this, without Ray and without a network: plan, retrieve,
denoise, commit, decode, to frames on the host. It is the service's way of a chunk, as fast as one process can go it.

On a GPU a chunk is decoded on a stream of its own while the next one is denoised, and the host only waits where it
needs a result: for latents to commit, and for frames to give away.

        host   plan 1 · launch denoise 1 │ wait 1 · commit 1 · plan 2 · launch denoise 2 │ yield frames 1 │ wait 2 …
        GPU    ──────── denoise 1 ───────┤ ──────────────── denoise 2 ─────────────────── …
        GPU                              └─ decode 1, copy 1 ─┘
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ..memory.records import WorldHeader
from ..memory.store import Store, StoreConfig
from ..model.clip import FIRST_CLIP_FRAMES, NEW_FRAMES, ClipInputs, Float32, MemoryQuery, MemoryView, plan_clip
from ..model.preset import Preset
from ..model.vae import DecoderState
from .engine import ChunkJob, ChunkResult
from .history import memory_of, record_of, state_of
from .pieces import pieces_of
from .rollout_engine import LaunchedChunk, LaunchedFrames
from .shared_pipeline import PipelineParts, parts_alone

EPOCH = 0
"""A world in this process has one writer."""
WARM_UP_CHUNKS = 3


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ChunkActions:
    """What a session does in its next chunk."""

    session: str
    keyboard: Float32
    """(F, 6) rows of the new frames: 57, later 40."""
    mouse: Float32
    """(F, 2) likewise."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DecodedChunk:
    """A chunk's frames on the host. Moments are readings of `time.perf_counter`.

    Where another rank decodes the session there are no frames, and the moments of frames are that of the commit.
    """

    session: str
    chunk: int
    frames: tuple[npt.NDArray[np.uint8], ...]
    """RGB (f, H, W, 3) of each piece, in order; they are the caller's."""
    planned_s: float
    """When the chunk's planning began."""
    first_frame_s: float
    """When its first piece was on the host."""
    last_frame_s: float
    """When its last piece was."""
    stages: dict[str, float]
    """Seconds of plan, retrieve, launch, prepare, step0, step1, …, commit, decode, copy. In 'launch' the host tells a
    GPU all that it has to do; a CPU does it then."""


@dataclass(kw_only=True, slots=True, eq=False)
class _Flight:
    """A chunk on its way."""

    session: str
    clip: ClipInputs
    planned_s: float
    stages: dict[str, float]
    launched: LaunchedChunk
    pieces: list[LaunchedFrames]
    landing: Future[_Landing]
    committed_s: float = 0.0


@dataclass(kw_only=True, slots=True, eq=False)
class _Stream:
    """A session's frames so far."""

    seat: int
    """The lowest number that no other session has."""
    state: DecoderState | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Landing:
    """A chunk's pieces on the host, and when each came."""

    frames: tuple[npt.NDArray[np.uint8], ...]
    moments_s: tuple[float, ...]


class LocalPipeline:
    """Sessions on one device, whose chunks are made in the order in which they are asked for."""

    def __init__(
        self,
        preset: Preset,
        *,
        device: str = "auto",
        parts: PipelineParts | None = None,
        piece_latents: int = 2,
        store_bytes: int = 8 << 30,
    ) -> None:
        """Loads the weights, unless `parts` have them. `piece_latents` are decoded at a time: fewer let a chunk's first
        frames come earlier.

        Raises ConfigError or CheckpointError.
        """
        self.preset = preset
        self._parts = parts or parts_alone(preset, device)
        self.device = self._parts.device
        self._piece_latents = piece_latents
        self._store = Store(StoreConfig(budget_bytes=store_bytes))
        self._streams: dict[str, _Stream] = {}
        self._decoding = _stream(self.device)
        # Sees frames arrive while the host launches what comes next.
        self._landing = ThreadPoolExecutor(1, "landing")

    def warm_up(self) -> None:
        """Play a world in which nothing happens, so that later ones do not wait for kernels and memory."""
        video, session = self.preset.video, "warm-up"
        if not self._parts.decodes(0):
            self._parts.decoder.warm_up()
        self.start(session, np.full((video.height, video.width, 3), 128, np.uint8))
        for _ in self.play(still_actions(session, chunk) for chunk in range(WARM_UP_CHUNKS)):
            pass
        self.end(session)

    def start(
        self,
        session: str,
        image: npt.NDArray[np.uint8],
        *,
        prompt: str = "",
        seed: int = 0,
        viewpoint: str = "first_person",
    ) -> None:
        """Begin a world from an RGB image (H, W, 3) of the preset's size. Raises CommitConflict on a known session."""
        header = WorldHeader(
            session=session,
            preset=self.preset.name,
            seed=seed,
            prompt=prompt,
            viewpoint=viewpoint,
            image=image,
            created_at=time.time(),
        )
        self._store.open(session, EPOCH, header=header)
        taken = {stream.seat for stream in self._streams.values()}
        self._streams[session] = _Stream(seat=min(set(range(len(taken) + 1)) - taken))

    def end(self, session: str) -> None:
        """Forget a world."""
        self._store.delete(session)
        del self._streams[session]

    def num_new_frames(self, session: str) -> int:
        """Action rows that a session's next chunk needs; changes when its last one is committed."""
        return state_of(self._store.snapshot(session)).num_new_frames

    def play(self, chunks: Iterable[ChunkActions]) -> Iterator[DecodedChunk]:
        """The chunks' frames, in the same order. Actions of a chunk are asked for before the frames of the one before
        it are given; where several are denoised at a time, that one may not be committed yet. Raises ActionError, or
        SessionUnknown for a session that has not been started."""
        flying: deque[_Flight] = deque()
        landing: deque[_Flight] = deque()

        def commit() -> None:
            self._commit(flying[0])
            landing.append(flying.popleft())

        for actions in chunks:
            while any(flight.session == actions.session for flight in flying):
                commit()
            flying.append(self._launch(actions))
            if landing:
                yield _landed(landing.popleft())
            while len(flying) >= self._parts.in_flight:
                commit()
        while flying:
            commit()
        while landing:
            yield _landed(landing.popleft())

    def _launch(self, actions: ChunkActions) -> _Flight:
        """Plan a chunk, and launch its denoising and decoding."""
        stages: dict[str, float] = {}
        planned_s = time.perf_counter()
        clip = self._plan(actions, stages)
        began = time.perf_counter()
        launched = self._parts.engine.launch(ChunkJob(session=actions.session, epoch=EPOCH, clip=clip))
        pieces = self._decode(actions.session, clip.chunk, launched)
        stages["launch"] = time.perf_counter() - began
        return _Flight(
            session=actions.session,
            clip=clip,
            planned_s=planned_s,
            stages=stages,
            launched=launched,
            pieces=pieces,
            landing=self._landing.submit(_land, pieces),
        )

    def _plan(self, actions: ChunkActions, stages: dict[str, float]) -> ClipInputs:
        session, started = actions.session, time.perf_counter()
        now = self._store.snapshot(session)

        def retrieve(query: MemoryQuery) -> MemoryView:
            began = time.perf_counter()
            view = self._store.retrieve(session, now.branch, query.query_poses, query.candidate_stop)
            stages["retrieve"] = time.perf_counter() - began
            return memory_of(view)

        stages["retrieve"] = 0.0
        clip = plan_clip(
            state_of(now),
            actions.keyboard,
            actions.mouse,
            prompt=now.prompt,
            viewpoint=now.header.viewpoint,
            image=now.header.image,
            retrieve=retrieve,
        )
        stages["plan"] = time.perf_counter() - started - stages["retrieve"]
        return clip

    def _decode(self, session: str, chunk: int, launched: LaunchedChunk) -> list[LaunchedFrames]:
        """Launch the decoding of a chunk, behind its denoising and beside what comes after it."""
        latents, stream = launched.latents, self._streams[session]
        pieces: list[LaunchedFrames] = []
        if not self._parts.decodes(stream.seat):
            return pieces
        assert latents is not None, "only ranks that have the latents decode"
        with self._beside_denoising():
            if self._decoding is not None:
                # The allocator must not hand the latents' memory to the denoising stream while this one reads them.
                latents.record_stream(self._decoding)
            for piece in pieces_of(chunk, self._piece_latents):
                frames = self._parts.decoder.launch(latents[:, piece.start : piece.stop], stream.state)
                stream.state = frames.state
                pieces.append(frames)
        return pieces

    def _beside_denoising(self) -> AbstractContextManager[object]:
        if self._decoding is None:
            return nullcontext()
        self._decoding.wait_stream(torch.cuda.current_stream(self.device))
        return torch.cuda.stream(self._decoding)

    def _commit(self, flight: _Flight) -> None:
        """Wait for a chunk's latents and put them into the store: from here on it has happened."""
        result: ChunkResult = flight.launched.wait()
        began = time.perf_counter()
        first_frame_id = self._store.snapshot(flight.session).next_frame_id
        self._store.commit(flight.session, EPOCH, record_of(flight.clip, result.latents, first_frame_id=first_frame_id))
        flight.committed_s = time.perf_counter()
        flight.stages |= {**result.timings, "commit": flight.committed_s - began}


def still_actions(session: str, chunk: int) -> ChunkActions:
    """Nothing held and nothing moved."""
    rows = FIRST_CLIP_FRAMES if chunk == 0 else NEW_FRAMES
    return ChunkActions(
        session=session, keyboard=np.zeros((rows, 6), np.float32), mouse=np.zeros((rows, 2), np.float32)
    )


def _land(pieces: list[LaunchedFrames]) -> _Landing:
    """Wait for a chunk's pieces, one after the other."""
    frames, moments_s = [], []
    for piece in pieces:
        frames.append(piece.wait())
        moments_s.append(time.perf_counter())
    return _Landing(frames=tuple(frames), moments_s=tuple(moments_s))


def _landed(flight: _Flight) -> DecodedChunk:
    """Wait for a chunk's frames."""
    landing = flight.landing.result()
    moments_s = landing.moments_s or (flight.committed_s,)
    stages = dict(flight.stages)
    for piece in flight.pieces:
        for name, seconds in piece.stages.seconds.items():
            stages[name] = stages.get(name, 0.0) + seconds
    return DecodedChunk(
        session=flight.session,
        chunk=flight.clip.chunk,
        frames=landing.frames,
        planned_s=flight.planned_s,
        first_frame_s=moments_s[0],
        last_frame_s=moments_s[-1],
        stages=stages,
    )


def _stream(device: torch.device) -> torch.cuda.Stream | None:
    """A stream whose work goes first: frames that are late are seen, latents that are late are not."""
    if device.type != "cuda":
        return None
    return torch.cuda.Stream(device, priority=-1)  # type: ignore[no-untyped-call]
