"""The memory-store actor: holds every world, and hands committed chunks to whoever waits for them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import CommitConflict, SessionUnknown, StaleEpoch
from ..memory.retrieval import select_frames
from ..model.clip import MemoryQuery, MemoryView, WorldState, advance, initial_state
from .config import ClusterConfig
from .controls import ControlState
from .messages import ChunkCommit, CommittedChunk, SavedWorld, SessionRecord, SessionSpec

POLL_S = 10.0
"""Who waits for a chunk hears at least this often that there is none yet."""


@dataclass(slots=True, eq=False)
class _World:
    spec: SessionSpec
    state: WorldState
    epoch: int = 0
    chunks: list[CommittedChunk] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class StoreActor:
    def __init__(self, config: ClusterConfig) -> None:
        self._worlds: dict[str, _World] = {}

    async def open(self, spec: SessionSpec) -> None:
        self._worlds.setdefault(spec.session, _World(spec, initial_state(spec.seed)))

    async def take_over(self, session: str) -> int:
        world = self._world(session)
        world.epoch += 1
        self._wake(world)
        return world.epoch

    async def load(self, session: str) -> SavedWorld:
        world = self._world(session)
        last = world.chunks[-1].notice if world.chunks else None
        return SavedWorld(
            spec=world.spec,
            state=world.state,
            next_frame_id=last.first_frame_id + last.frames if last else 0,
            controls=last.controls if last else ControlState(),
        )

    async def retrieve(self, session: str, query: MemoryQuery) -> MemoryView:
        world = self._world(session)
        found = select_frames(query.query_poses, world.state.poses, query.candidate_stop)
        latents = np.concatenate([c.latents for c in world.chunks], axis=1)
        return MemoryView(
            latents=latents[:, found.latent_idx],
            frame_idx=found.frame_idx,
            frame_idx_raw=found.frame_idx_raw,
            latent_idx=found.latent_idx,
            overlap=found.overlap,
            poses=world.state.poses[found.pose_idx],
        )

    async def commit(self, commit: ChunkCommit) -> None:
        world = self._world(commit.notice.session)
        self._fence(world, commit.epoch)
        if commit.notice.chunk != world.state.chunk:
            raise CommitConflict("gap")
        world.state = advance(world.state, commit.clip, commit.latents)
        world.chunks.append(CommittedChunk(notice=commit.notice, latents=commit.latents))
        self._wake(world)

    async def chunk(self, session: str, epoch: int, chunk: int) -> CommittedChunk | None:
        world = self._world(session)
        self._fence(world, epoch)
        if chunk >= len(world.chunks):
            try:
                async with asyncio.timeout(POLL_S):
                    await world.changed.wait()
            except TimeoutError:
                pass
            self._world(session)
            self._fence(world, epoch)
        return world.chunks[chunk] if chunk < len(world.chunks) else None

    async def place_of_frame(self, session: str, frame_id: int | None) -> tuple[int, int]:
        world = self._world(session)
        if frame_id is None:
            return max(0, len(world.chunks) - 1), 0
        for c in world.chunks:
            if frame_id < c.notice.first_frame_id + c.notice.frames:
                return c.notice.chunk, frame_id - c.notice.first_frame_id
        return len(world.chunks), 0

    async def records(self) -> list[SessionRecord]:
        return [replace(w.spec.record, epoch=w.epoch) for w in self._worlds.values()]

    async def delete(self, session: str) -> None:
        world = self._worlds.pop(session, None)
        if world:
            self._wake(world)

    def _wake(self, world: _World) -> None:
        world.changed.set()
        world.changed = asyncio.Event()

    def _fence(self, world: _World, epoch: int) -> None:
        if epoch < world.epoch:
            raise StaleEpoch(f"epoch {epoch} of session {world.spec.session} has been replaced by {world.epoch}")

    def _world(self, session: str) -> _World:
        if session not in self._worlds:
            raise SessionUnknown(f"the store has no session {session!r}")
        return self._worlds[session]
