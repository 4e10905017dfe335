"""The memory-store actor: holds every world, and hands committed chunks to the decoders that wait for them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import defaultdict
from dataclasses import replace

from ..errors import Overloaded, StaleEpoch
from ..memory.records import ChunkRecord, Snapshot
from ..memory.store import Store, StoreConfig
from ..memory.world import World
from ..model.clip import MemoryQuery, MemoryView
from .camera_origin import placed
from .chunk_extra import bare_extra, pack_extra, unpack_extra
from .config import ClusterConfig
from .copies import Copies
from .events import ControlState, Pose, Rewind
from .history import memory_of, state_of
from .line import Line
from .messages import (
    BranchNote,
    CommittedChunk,
    SavedWorld,
    SessionCopy,
    SessionRecord,
    SessionSpec,
    SnapshotPlace,
    WorldPlace,
)
from .world_header import extra_of, header_of, spec_of

POLL_S = 10.0
"""Who waits for a chunk hears at least this often that there is none yet."""


class StoreActor:
    """A Ray actor over `memory.Store`. Every method may be called again with the same arguments."""

    def __init__(self, config: ClusterConfig) -> None:
        self._store = Store(StoreConfig(budget_bytes=config.store_bytes))
        self._copies = Copies(self._store, config)
        self._line = Line()
        """Sessions whose next chunk does not fit."""
        self._commit_s: dict[str, float] = {}
        self._news: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def create(self, start: SessionSpec | SessionCopy) -> SessionRecord:
        """Make a world that nobody owns yet. Raises Overloaded past the store's budget, or while worlds wait for room
        in it; of a copy, SessionUnknown and InputError where there is no such place."""
        self._copies.drop_old(start.created_at)
        if not self._copies.has(start.session):
            if waiting := len(self._line):
                raise Overloaded(f"{waiting} worlds wait for room in the memory store", hint="Try again later.")
            if isinstance(start, SessionCopy):
                self._copies.make_session(start)
            else:
                self._store.open(start.session, 0, header=header_of(start))
        return _record_of(self._store.world(start.session))

    async def take_over(self, session: str) -> int:
        """Become the world's only writer. Returns the new epoch; older ones can commit and follow nothing from here."""
        epoch = self._store.world(session).epoch + 1
        self._store.open(session, epoch)
        self._tell(session)
        return epoch

    async def load(self, session: str) -> SavedWorld:
        """Where a new owner goes on."""
        return self._saved(self._store.snapshot(session))

    async def rewind(self, session: str, epoch: int, rewind: Rewind, controls: ControlState) -> SavedWorld:
        """Go on after the first chunks of a branch, in a new branch whose first plan starts from `controls`. The same
        event opens no second one. Raises StaleEpoch, and InputError where there is no such place."""
        extra = pack_extra(bare_extra(0, controls))
        return self._saved(
            self._store.rewind(session, epoch, rewind.chunk, branch=rewind.branch, key=rewind.event_id, extra=extra)
        )

    async def place(self, session: str) -> WorldPlace:
        """How far a world is."""
        now = self._store.snapshot(session)
        return WorldPlace(
            prompt=now.prompt,
            branch=now.branch,
            chunk=now.chunk,
            next_frame_id=now.next_frame_id,
            last_event_id=max(now.last_event_id, _controls_of(now).last_event_id),
        )

    async def take_snapshot(
        self, session: str, snapshot: str, created_at: float, branch: int | None, chunk: int | None
    ) -> SnapshotPlace:
        """Keep the first `chunk` chunks (None: all) of a branch (None: the one that grows) under an id of their own.

        Raises InputError where there is no such place, Overloaded past the limits.
        """
        self._copies.drop_old(created_at)
        return self._copies.take_snapshot(session, snapshot, created_at, branch, chunk)

    async def drop_snapshot(self, snapshot: str) -> None:
        """Forget a snapshot, if there is one."""
        self._copies.drop_snapshot(snapshot)

    async def export_world(self, session: str) -> bytes:
        """The whole world as a file; other calls go on meanwhile."""
        return await asyncio.to_thread(self._copies.export_world, session)

    async def import_world(self, snapshot: str, blob: bytes, created_at: float) -> None:
        """Take a file in, as a snapshot. Raises SnapshotInvalid, Overloaded past the store's budget."""
        self._copies.drop_old(created_at)
        await asyncio.to_thread(self._copies.import_world, snapshot, blob, created_at)

    async def retrieve(self, session: str, branch: int, query: MemoryQuery) -> MemoryView:
        """The past latents that see most of what the query will see. Other calls go on meanwhile."""
        view = await asyncio.to_thread(self._store.retrieve, session, branch, query.query_poses, query.candidate_stop)
        return memory_of(view)

    async def commit(self, session: str, epoch: int, record: ChunkRecord) -> int:
        """Add a chunk. Returns 0; where there is no room for it, the session's place among those that wait, who ask
        again until there is. Raises StaleEpoch, CommitConflict."""
        started = time.perf_counter()
        if not self._line.may_go(session):
            self._owned(session, epoch)
            return self._line.ask(session)
        try:
            self._store.commit(session, epoch, record)
        except Overloaded:
            return self._line.ask(session)
        self._line.leave(session)
        self._commit_s[session] = time.perf_counter() - started
        self._tell(session)
        return 0

    async def chunk(self, session: str, epoch: int, branch: int, chunk: int) -> CommittedChunk | None:
        """Wait for a chunk of a branch; None if it has not come for a while. Raises StaleEpoch."""
        found = self._find(session, epoch, branch, chunk)
        if found is None:
            news = self._news[session]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await news.wait()
            found = self._find(session, epoch, branch, chunk)
        return found

    async def place_of_frame(self, session: str, frame_id: int) -> tuple[int, int, int]:
        """(branch, chunk, frame in it) of a frame id in the branch that grows; the next chunk's start for a frame to
        come."""
        world = self._store.world(session)
        chunks = world.branch(None).chunks
        for record in chunks:
            if frame_id < record.next_frame_id:
                return world.head, record.chunk, max(0, frame_id - record.first_frame_id)
        return world.head, len(chunks), 0

    async def last_event_id(self, session: str) -> int:
        """The newest event that a committed chunk has taken."""
        return (await self.load(session)).controls.last_event_id

    async def sessions(self) -> list[SessionRecord]:
        """All worlds, for a directory that restarts."""
        worlds = (self._store.world(summary.header.session) for summary in self._store.worlds())
        return [_record_of(world) for world in worlds if not extra_of(world.header).is_snapshot]

    async def delete(self, session: str) -> None:
        """Forget a world."""
        self._store.delete(session)
        self._line.leave(session)
        self._commit_s.pop(session, None)
        self._tell(session)
        del self._news[session]

    def _find(self, session: str, epoch: int, branch: int, chunk: int) -> CommittedChunk | None:
        world = self._owned(session, epoch)
        for record in world.branch(branch).chunks[chunk : chunk + 1]:
            is_newest = chunk + 1 == len(world.branch(None).chunks)
            commit_s = self._commit_s.get(session, 0.0) if is_newest else 0.0
            return CommittedChunk(record=_shown(record, extra_of(world.header).origin), commit_s=commit_s)
        return None

    def _owned(self, session: str, epoch: int) -> World:
        """The world, for its newest owner. Raises StaleEpoch to others."""
        world = self._store.world(session)
        if epoch < world.epoch:
            raise StaleEpoch(f"epoch {epoch} of session {session} has been replaced by {world.epoch}")
        return world

    def _saved(self, snapshot: Snapshot) -> SavedWorld:
        return SavedWorld(
            spec=spec_of(snapshot.header),
            state=state_of(snapshot),
            prompt=snapshot.prompt,
            next_frame_id=snapshot.next_frame_id,
            controls=_controls_of(snapshot),
            turned=_turned(self._store.world(snapshot.header.session), snapshot),
        )

    def _tell(self, session: str) -> None:
        """Wake all who wait for this session now."""
        self._news[session].set()
        self._news[session] = asyncio.Event()


def _controls_of(snapshot: Snapshot) -> ControlState:
    """What the growing branch's last chunk left, or what the rewind did that opened it. Forks and imports begin with
    nothing held."""
    kept = snapshot.last_extra or snapshot.opening_extra
    return unpack_extra(kept).controls if kept else ControlState(last_event_id=snapshot.last_event_id)


def _turned(world: World, snapshot: Snapshot) -> BranchNote | None:
    branch = world.branch(snapshot.branch)
    if branch.parent is None or len(branch.chunks) > branch.opening.num_chunks:
        return None
    return BranchNote(
        branch=snapshot.branch, parent=branch.parent, chunk=snapshot.chunk, next_frame_id=snapshot.next_frame_id
    )


def _shown(record: ChunkRecord, origin: Pose) -> ChunkRecord:
    """The chunk as clients are told of it: in their coordinates, and complete where it came with a file."""
    extra = record.extra or pack_extra(bare_extra(record.num_frames))
    return replace(record, poses=placed(record.poses, origin), extra=extra)


def _record_of(world: World) -> SessionRecord:
    return spec_of(world.header).record(epoch=world.epoch)
