"""What can be done with sessions from outside their streams: HTTP and gRPC offer these verbs as they are.

create      a world from an image, or from a snapshot      export, import   a world as a file
fork        another session that shares the past           describe, close
snapshot    a place to start from, which outlives its session
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..errors import RequestTooLarge
from .clients import DirectoryClient, StoreClient
from .config import ClusterConfig
from .directory import hash_token
from .events import ORIGIN, Pose
from .limits import SERVICE_LIMITS, SessionLimits
from .messages import ClusterHealth, CopyKind, SessionCopy, SessionInfo, SessionSpec, SnapshotPlace

PART_BYTES = 1 << 20
"""Of each part of an exported file."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NewWorld:
    """A world to create, checked."""

    image: npt.NDArray[np.uint8]
    """(H, W, 3) RGB at the preset's size."""
    prompt: str
    seed: int
    """In [0, 2^63)."""
    viewpoint: str
    """'first_person' or 'third_person'."""
    camera: Pose = ORIGIN
    """Where the first frame is seen from, in the game's own coordinates."""
    limits: SessionLimits = SERVICE_LIMITS


@dataclass(frozen=True, kw_only=True, slots=True)
class FromSnapshot:
    """A session to create where a snapshot was taken."""

    snapshot: str
    prompt: str | None = None
    """None: the snapshot's."""
    limits: SessionLimits = SERVICE_LIMITS


@dataclass(frozen=True, kw_only=True, slots=True)
class CreatedSession:
    """A new session, and the token that owns it: it is kept nowhere else."""

    info: SessionInfo
    token: str


class Verbs:
    """The verbs on a Ray cluster, from any of its processes. Calls are typed, patient and safe to repeat inside."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._directory = DirectoryClient(config)
        self._store = StoreClient(config)

    async def create(self, start: NewWorld | FromSnapshot) -> CreatedSession:
        """Raises Overloaded when there is no room, InputError on limits, SessionUnknown on an unknown snapshot."""
        limits = start.limits.within(self._config.limits)
        if isinstance(start, FromSnapshot):
            return await self._copy(CopyKind.SNAPSHOT, start.snapshot, prompt=start.prompt, limits=limits)
        token = secrets.token_urlsafe(32)
        spec = SessionSpec(
            session=secrets.token_hex(16),
            preset=self._config.preset.name,
            image=start.image,
            prompt=start.prompt,
            seed=start.seed,
            viewpoint=start.viewpoint,
            token_hash=hash_token(token),
            created_at=time.time(),
            origin=start.camera,
            limits=limits,
        )
        return CreatedSession(info=await self._directory.create(spec), token=token)

    async def authorize(self, session: str, token: str) -> None:
        """Raises NotAuthorized unless the token is the session's own, SessionUnknown."""
        await self._directory.authorize(session, token)

    async def describe(self, session: str) -> SessionInfo:
        """Raises SessionUnknown."""
        info = await self._directory.describe(session)
        place = await self._store.place(session)
        return replace(
            info,
            prompt=place.prompt,
            branch=place.branch,
            chunk=place.chunk,
            next_frame_id=place.next_frame_id,
            last_event_id=place.last_event_id,
        )

    async def close(self, session: str) -> None:
        """End a session and forget its world; its snapshots stay. Raises SessionUnknown."""
        await self._directory.describe(session)
        await self._directory.end(session)

    async def take_snapshot(
        self, session: str, *, branch: int | None = None, chunk: int | None = None
    ) -> SnapshotPlace:
        """Keep the first `chunk` chunks (None: all) of a branch (None: the one that grows) to start from.

        Raises SessionUnknown, InputError where there is no such place, Overloaded past the service's limits.
        """
        await self._directory.describe(session)
        return await self._store.take_snapshot(session, secrets.token_hex(16), time.time(), branch, chunk)

    async def drop_snapshot(self, snapshot: str) -> None:
        """Forget a snapshot. Whoever knows its id may; one that is gone is no error."""
        await self._store.drop_snapshot(snapshot)

    async def fork(
        self,
        session: str,
        *,
        branch: int | None = None,
        chunk: int | None = None,
        limits: SessionLimits = SERVICE_LIMITS,
    ) -> CreatedSession:
        """Another session that shares the first `chunk` chunks of a branch, with nothing held.

        Raises SessionUnknown, InputError where there is no such place, Overloaded when there is no room.
        """
        await self._directory.describe(session)
        limits = limits.within(self._config.limits)
        return await self._copy(CopyKind.SESSION, session, branch=branch, chunk=chunk, limits=limits)

    async def export_world(self, session: str) -> AsyncIterator[bytes]:
        """The session's world with all its branches, as the parts of one file. Raises SessionUnknown before the first.

        See `memory.archive` for the file.
        """
        await self._directory.describe(session)
        blob = await self._store.export_world(session)
        for start in range(0, len(blob), PART_BYTES):
            yield blob[start : start + PART_BYTES]

    async def import_world(
        self,
        parts: AsyncIterable[bytes],
        *,
        limits: SessionLimits = SERVICE_LIMITS,
    ) -> CreatedSession:
        """A new session from an exported file, with nothing held.

        Raises RequestTooLarge, SnapshotInvalid on a file that is damaged, not a world or of another preset, Overloaded.
        """
        limits = limits.within(self._config.limits)
        blob = bytearray()
        async for part in parts:
            blob += part
            if len(blob) > self._config.import_bytes:
                raise RequestTooLarge(
                    f"the file has more than {self._config.import_bytes} bytes",
                    hint="Fork a shorter world and export it.",
                )
        staged = secrets.token_hex(16)
        await self._store.import_world(staged, bytes(blob), time.time())
        try:
            return await self._copy(CopyKind.IMPORT, staged, limits=limits)
        finally:
            await self._store.drop_snapshot(staged)

    async def health(self) -> ClusterHealth:
        """What the cluster can admit."""
        return await self._directory.health()

    async def _copy(
        self,
        kind: CopyKind,
        source: str,
        *,
        branch: int | None = None,
        chunk: int | None = None,
        prompt: str | None = None,
        limits: SessionLimits,
    ) -> CreatedSession:
        token = secrets.token_urlsafe(32)
        copy = SessionCopy(
            session=secrets.token_hex(16),
            kind=kind,
            source=source,
            branch=branch,
            chunk=chunk,
            prompt=prompt,
            token_hash=hash_token(token),
            created_at=time.time(),
            limits=limits,
        )
        return CreatedSession(info=await self._directory.create(copy), token=token)
