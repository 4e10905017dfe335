"""The memory-store actor: holds every world, and hands committed chunks to the decoders that wait for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import defaultdict

from ..errors import SessionUnknown, StaleEpoch
from ..memory.records import ChunkRecord, Snapshot, WorldHeader, WorldSummary
from ..memory.store import Store, StoreConfig
from ..model.clip import MemoryQuery, MemoryView
from .chunk_extra import unpack_extra
from .config import ClusterConfig
from .events import ControlState
from .history import memory_of, state_of
from .messages import CommittedChunk, SavedWorld, SessionRecord, SessionSpec

POLL_S = 10.0
"""Who waits for a chunk hears at least this often that there is none yet."""


class StoreActor:
    """A Ray actor over `memory.Store`. Every method may be called again with the same arguments."""

    def __init__(self, config: ClusterConfig) -> None:
        self._store = Store(StoreConfig(budget_bytes=config.store_bytes))
        self._commit_s: dict[str, float] = {}
        self._news: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def create(self, spec: SessionSpec) -> None:
        """Make a world that nobody owns yet. Raises Overloaded past the store's budget."""
        self._store.open(spec.session, 0, header=_header_of(spec))

    async def take_over(self, session: str) -> int:
        """Become the world's only writer. Returns the new epoch; older ones can commit and follow nothing from here."""
        epoch = self._summary(session).epoch + 1
        self._store.open(session, epoch)
        self._tell(session)
        return epoch

    async def load(self, session: str) -> SavedWorld:
        """Where a new owner goes on."""
        return self._saved(self._store.snapshot(session))

    async def rewind(self, session: str, epoch: int, chunk: int, branch: int | None) -> SavedWorld:
        """Go on after the first `chunk` chunks of a branch (None: the one that grows), in a new branch. Called again,
        it opens another one. Raises StaleEpoch, and InputError where there is no such place."""
        return self._saved(self._store.rewind(session, epoch, chunk, branch=branch))

    async def retrieve(self, session: str, branch: int, query: MemoryQuery) -> MemoryView:
        """The past latents that see most of what the query will see. Other calls go on meanwhile."""
        view = await asyncio.to_thread(self._store.retrieve, session, branch, query.query_poses, query.candidate_stop)
        return memory_of(view)

    async def commit(self, session: str, epoch: int, record: ChunkRecord) -> None:
        """Add a chunk. Raises StaleEpoch, CommitConflict, Overloaded."""
        started = time.perf_counter()
        self._store.commit(session, epoch, record)
        self._commit_s[session] = time.perf_counter() - started
        self._tell(session)

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
        summary = self._summary(session)
        for record in self._store.read(session, summary.branch, 0, summary.chunk):
            if frame_id < record.next_frame_id:
                return summary.branch, record.chunk, max(0, frame_id - record.first_frame_id)
        return summary.branch, summary.chunk, 0

    async def last_event_id(self, session: str) -> int:
        """The newest event that a committed chunk has taken."""
        return (await self.load(session)).controls.last_event_id

    async def sessions(self) -> list[SessionRecord]:
        """All worlds, for a directory that restarts."""
        return [_spec_of(summary.header).record(epoch=summary.epoch) for summary in self._store.worlds()]

    async def delete(self, session: str) -> None:
        """Forget a world."""
        self._store.delete(session)
        self._commit_s.pop(session, None)
        self._tell(session)
        del self._news[session]

    def _find(self, session: str, epoch: int, branch: int, chunk: int) -> CommittedChunk | None:
        summary = self._summary(session)
        if epoch < summary.epoch:
            raise StaleEpoch(f"epoch {epoch} of session {session} has been replaced by {summary.epoch}")
        for record in self._store.read(session, branch, chunk, chunk + 1):
            is_newest = chunk + 1 == summary.chunk
            return CommittedChunk(record=record, commit_s=self._commit_s.get(session, 0.0) if is_newest else 0.0)
        return None

    def _saved(self, snapshot: Snapshot) -> SavedWorld:
        return SavedWorld(
            spec=_spec_of(snapshot.header),
            state=state_of(snapshot),
            prompt=snapshot.prompt,
            next_frame_id=snapshot.next_frame_id,
            controls=self._controls(snapshot),
        )

    def _controls(self, snapshot: Snapshot) -> ControlState:
        """What the growing branch's last chunk left. A branch without a chunk of its own begins with nothing held."""
        last = self._store.read(snapshot.header.session, snapshot.branch, snapshot.chunk - 1, snapshot.chunk)
        if snapshot.chunk > 0 and last[0].branch == snapshot.branch:
            return unpack_extra(snapshot.last_extra).controls
        return ControlState(last_event_id=snapshot.last_event_id)

    def _summary(self, session: str) -> WorldSummary:
        for summary in self._store.worlds():
            if summary.header.session == session:
                return summary
        raise SessionUnknown(f"the memory store has no world {session!r}", hint="It was deleted, or has been lost.")

    def _tell(self, session: str) -> None:
        """Wake all who wait for this session now."""
        self._news[session].set()
        self._news[session] = asyncio.Event()


def _header_of(spec: SessionSpec) -> WorldHeader:
    return WorldHeader(
        session=spec.session,
        preset=spec.preset,
        seed=spec.seed,
        prompt=spec.prompt,
        viewpoint=spec.viewpoint,
        image=spec.image,
        created_at=spec.created_at,
        extra=json.dumps({"token_hash": spec.token_hash}).encode(),
    )


def _spec_of(header: WorldHeader) -> SessionSpec:
    return SessionSpec(
        session=header.session,
        preset=header.preset,
        image=header.image,
        prompt=header.prompt,
        seed=header.seed,
        viewpoint=header.viewpoint,
        token_hash=json.loads(header.extra)["token_hash"],
        created_at=header.created_at,
    )
