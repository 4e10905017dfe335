"""Worlds that are made of other worlds: snapshots, forks and imports. Over `memory.Store`, without Ray.

A snapshot is a world in the store that no session has. It shares what it has in common with its session, outlives it,
and is dropped after a while.
"""

from __future__ import annotations

from dataclasses import replace

from ..errors import Overloaded, SessionUnknown
from ..memory.store import Store
from ..memory.world import World
from .config import ClusterConfig
from .messages import CopyKind, SessionCopy, SnapshotPlace
from .world_file import pack_file, unpack_file
from .world_header import HeaderExtra, extra_of, pack_header_extra


class Copies:
    """Every method may be called again with the same arguments. Moments are seconds since the Unix epoch."""

    def __init__(self, store: Store, config: ClusterConfig) -> None:
        self._store = store
        self._config = config

    def has(self, world: str) -> bool:
        """Whether the store has a session or snapshot of this id."""
        return any(summary.header.session == world for summary in self._store.worlds())

    def make_session(self, copy: SessionCopy) -> None:
        """Raises SessionUnknown without the source, InputError where there is no such place in it."""
        source = self._source(copy)
        chunks = source.branch(copy.branch).chunks[: copy.chunk]
        is_import = copy.kind is CopyKind.IMPORT
        shared_frames = chunks[-1].next_frame_id if chunks else 0
        extra = HeaderExtra(
            token_hash=copy.token_hash,
            origin=extra_of(source.header).origin,
            limits=copy.limits,
            first_frame_id=source.next_frame_id if is_import else shared_frames,
        )
        header_extra = pack_header_extra(extra)
        if is_import:
            self._store.rename(copy.source, copy.session, created_at=copy.created_at, extra=header_extra)
        else:
            self._store.fork(
                copy.source,
                copy.session,
                created_at=copy.created_at,
                branch=copy.branch,
                chunk=copy.chunk,
                prompt=copy.prompt,
                extra=header_extra,
            )

    def take_snapshot(
        self, session: str, snapshot: str, created_at: float, branch: int | None, chunk: int | None
    ) -> SnapshotPlace:
        """Keep the first `chunk` chunks (None: all) of a branch (None: the one that grows) under an id of their own.

        Raises InputError where there is no such place, Overloaded past the limits.
        """
        if not self.has(snapshot):
            extra = extra_of(self._store.world(session).header)
            taken = sum(extra_of(summary.header).source == session for summary in self._store.worlds())
            if taken >= self._config.snapshots_per_session:
                raise Overloaded(f"the session has {taken} snapshots", hint="Drop one of them first.")
            kept = pack_header_extra(HeaderExtra(origin=extra.origin, source=session))
            self._store.fork(session, snapshot, created_at=created_at, branch=branch, chunk=chunk, extra=kept)
        place = self._store.snapshot(snapshot)
        return SnapshotPlace(snapshot=snapshot, branch=place.branch, chunk=place.chunk)

    def drop_snapshot(self, snapshot: str) -> None:
        """Forget a snapshot, if there is one."""
        if self.has(snapshot) and extra_of(self._store.world(snapshot).header).is_snapshot:
            self._store.delete(snapshot)

    def drop_old(self, now: float) -> None:
        """Forget the snapshots that have been kept for long enough."""
        for summary in self._store.worlds():
            if summary.header.created_at + self._config.snapshot_keep_s < now:
                self.drop_snapshot(summary.header.session)

    def export_world(self, session: str) -> bytes:
        """The whole world as a file; see `world_file`."""
        world = self._store.world(session)
        return pack_file(world, extra_of(world.header).origin)

    def import_world(self, snapshot: str, blob: bytes, created_at: float) -> None:
        """Take a file in, as a snapshot. Raises SnapshotInvalid, Overloaded past the store's budget."""
        world, origin = unpack_file(blob, self._config.preset)
        if not self.has(snapshot):
            extra = pack_header_extra(HeaderExtra(origin=origin))
            header = replace(world.header, session=snapshot, created_at=created_at, extra=extra)
            self._store.add(replace(world, header=header))

    def _source(self, copy: SessionCopy) -> World:
        wants_snapshot = copy.kind is not CopyKind.SESSION
        if self.has(copy.source):
            source = self._store.world(copy.source)
            if extra_of(source.header).is_snapshot == wants_snapshot:
                return source
        raise SessionUnknown(
            f"there is no {copy.kind.value} {copy.source!r}", hint="It has been dropped, or its service was restarted."
        )
