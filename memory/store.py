"""The store of worlds: the only copy of each, here in RAM.

    open       become a world's writer, or create the world        retrieve   past latents that look at the same place
    commit     add a chunk; from then on it has happened            read       chunks as they were committed
    rewind     go on from an earlier chunk, in a new branch         snapshot   what a new owner goes on from
    fork       go on as another world that shares the past          export / import / delete a world; list them

Every verb is atomic and safe to call from many threads: a world is an immutable value, a change makes another one, and
the lock is held only to swap them. Verbs take and return plain values, so that an actor can offer them as they are.

Writers are fenced: each brings the epoch that it opened the world with, and is refused once a higher one has opened
it. Readers need no epoch.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

from ..errors import CommitConflict, SessionUnknown, StaleEpoch
from .archive import pack_world, unpack_world
from .ledger import Ledger
from .records import (
    ChunkRecord,
    Float64,
    Receipt,
    RetrievedView,
    Snapshot,
    WorldHeader,
    WorldSummary,
    same_content,
)
from .view import retrieve_from
from .world import World, committed, forked, new_world, rewound, snapshot_of, summary_of


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreConfig:
    budget_bytes: int
    """Of the arrays of all worlds. A minute of world at 720p takes 0.2 GB."""


class Store:
    """See the module. A verb raises SessionUnknown where its session has no world here."""

    def __init__(self, config: StoreConfig) -> None:
        self._lock = threading.Lock()
        self._worlds: dict[str, World] = {}
        self._ledger = Ledger(config.budget_bytes)

    def open(self, session: str, epoch: int, *, header: WorldHeader | None = None) -> Snapshot:
        """Become a world's writer and learn where to go on. Writers of lower epochs are refused from now on.

        A `header` creates the world, or must be what it was created from. Raises StaleEpoch where a higher epoch has
        opened the world, CommitConflict on another header, Overloaded past the budget.
        """
        if header is not None:
            if header.session != session:
                raise ValueError(f"the header of session {header.session!r} cannot open session {session!r}")
            header = header.owned()
        with self._lock:
            if header is not None and session not in self._worlds:
                world = new_world(header, epoch=epoch)
            else:
                world = self._world(session)
                if header is not None and not same_content(header, world.header):
                    raise _taken(session)
            if epoch < world.epoch:
                raise _stale(world, epoch)
            self._put(session, replace(world, epoch=epoch))
        return snapshot_of(world, None)

    def commit(self, session: str, epoch: int, record: ChunkRecord) -> Receipt:
        """Add a chunk to the branch that grows. The same chunk again changes nothing and gives the same receipt.

        Raises StaleEpoch unless `epoch` is the one that opened the world last; CommitConflict where other content is
        there, chunks before it are missing, the branch no longer grows or frame ids go back; Overloaded past the
        budget; ValueError on arrays that do not fit each other.
        """
        record = record.owned()
        with self._lock:
            self._put(session, committed(self._world(session, epoch), record))
        return Receipt(session=session, branch=record.branch, chunk=record.chunk, next_frame_id=record.next_frame_id)

    def retrieve(self, session: str, branch: int, query_poses: Float64, candidate_stop: int) -> RetrievedView:
        """Past latents whose views overlap most with those of `query_poses` (M, 5), from frames 1 … candidate_stop - 1
        of a branch, which begins with the chunks of the branch it grew from. Raises InputError on an unknown branch."""
        return retrieve_from(self._reading(session).branch(branch).chunks, query_poses, candidate_stop)

    def read(self, session: str, branch: int, start: int, stop: int) -> tuple[ChunkRecord, ...]:
        """Chunks `start` … `stop` - 1 of a branch, fewer at its end. Raises InputError on an unknown branch."""
        return self._reading(session).branch(branch).chunks[start:stop]

    def snapshot(self, session: str, branch: int | None = None) -> Snapshot:
        """What goes on with a branch; None is the one that grows. Raises InputError on an unknown branch."""
        return snapshot_of(self._reading(session), branch)

    def rewind(
        self,
        session: str,
        epoch: int,
        chunk: int,
        *,
        branch: int | None = None,
        key: int = 0,
        extra: bytes = b"",
    ) -> Snapshot:
        """Go on after the first `chunk` chunks of a branch (None: the one that grows), in a new branch.

        With a `key` (> 0, above those of all events in the world), asking again changes nothing. `extra` is given back
        until the branch has a chunk of its own.

        Raises StaleEpoch like `commit`, InputError on an unknown branch or a chunk past its end.
        """
        with self._lock:
            world = self._put(session, rewound(self._world(session, epoch), branch, chunk, key=key, extra=extra))
        return snapshot_of(world, None)

    def fork(
        self,
        session: str,
        new_session: str,
        *,
        created_at: float,
        branch: int | None = None,
        chunk: int | None = None,
        prompt: str | None = None,
        extra: bytes | None = None,
    ) -> Snapshot:
        """Make another world of the first `chunk` chunks (None: all) of a branch (None: the one that grows), with a
        prompt and a header's `extra` of its own where they are given.

        The worlds share what they have in common and nothing that comes later. Raises CommitConflict where
        `new_session` exists, InputError on an unknown branch or a chunk past its end.
        """
        with self._lock:
            source = self._world(session)
            header = _renamed(source.header, new_session, created_at=created_at, extra=extra)
            world = self._add(forked(source, header, branch, chunk, prompt=prompt))
        return snapshot_of(world, None)

    def rename(self, session: str, new_session: str, *, created_at: float, extra: bytes) -> Snapshot:
        """Give a world another name and nobody as its owner. Raises CommitConflict where `new_session` exists."""
        with self._lock:
            world = self._world(session)
            header = _renamed(world.header, new_session, created_at=created_at, extra=extra)
            if new_session in self._worlds:
                raise _taken(new_session)
            world = self._worlds[new_session] = replace(world, header=header, epoch=0)
            del self._worlds[session]
        return snapshot_of(world, None)

    def world(self, session: str) -> World:
        """All of a world, as it is now."""
        return self._reading(session)

    def add(self, world: World) -> None:
        """Take a whole world in. Raises CommitConflict where its session exists, Overloaded past the budget."""
        with self._lock:
            self._add(world)

    def export_world(self, session: str) -> bytes:
        """The whole world with all its branches as one safetensors file, checked by a digest when it is read."""
        return pack_world(self._reading(session))

    def import_world(self, blob: bytes, *, session: str | None = None) -> Snapshot:
        """Add an exported world, under another session id if one is given. Nobody owns it until it is opened.

        Raises SnapshotInvalid on damage, CommitConflict where the session exists, Overloaded past the budget.
        """
        world = unpack_world(blob)
        if session is not None:
            world = replace(world, header=replace(world.header, session=session))
        self.add(world)
        return snapshot_of(world, None)

    def delete(self, session: str) -> bool:
        """Forget a world. Returns whether there was one, so that asking twice is no error."""
        with self._lock:
            world = self._worlds.pop(session, None)
            self._ledger.replace(world, None)
        return world is not None

    def worlds(self) -> tuple[WorldSummary, ...]:
        """All worlds, in the order in which they came."""
        with self._lock:
            worlds = tuple(self._worlds.values())
        return tuple(map(summary_of, worlds))

    @property
    def bytes_used(self) -> int:
        """Bytes of all worlds' arrays, with those that forks share counted once."""
        with self._lock:
            return self._ledger.bytes_used

    def _reading(self, session: str) -> World:
        """A world as it is now; being immutable, it can be read without the lock."""
        with self._lock:
            return self._world(session)

    def _world(self, session: str, epoch: int | None = None) -> World:
        """Under the lock. With an epoch: for its writer only."""
        if session not in self._worlds:
            raise SessionUnknown(
                f"the memory store has no world {session!r}", hint="It was deleted or lives in another store."
            )
        world = self._worlds[session]
        if epoch is not None and epoch != world.epoch:
            raise _stale(world, epoch)
        return world

    def _add(self, world: World) -> World:
        if world.header.session in self._worlds:
            raise _taken(world.header.session)
        return self._put(world.header.session, world)

    def _put(self, session: str, world: World) -> World:
        self._ledger.replace(self._worlds.get(session), world)
        self._worlds[session] = world
        return world


def _renamed(header: WorldHeader, session: str, *, created_at: float, extra: bytes | None) -> WorldHeader:
    kept = header.extra if extra is None else extra
    return replace(header, session=session, created_at=created_at, extra=kept)


def _stale(world: World, epoch: int) -> StaleEpoch:
    return StaleEpoch(
        f"epoch {epoch} does not own world {world.header.session!r}, epoch {world.epoch} opened it",
        hint="Another owner has taken over: stop, or open the world with a higher epoch.",
    )


def _taken(session: str) -> CommitConflict:
    return CommitConflict(f"a world {session!r} is there already", hint="Choose another session id.")
