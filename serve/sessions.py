"""What HTTP and gRPC can do with sessions: `worldloom.cluster.verbs.Verbs`, and fakes of it in tests."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Protocol

from ..cluster.limits import SERVICE_LIMITS, SessionLimits
from ..cluster.messages import ClusterHealth, SessionInfo, SnapshotPlace
from ..cluster.verbs import CreatedSession, FromSnapshot, NewWorld


class Sessions(Protocol):
    """See `Verbs` for what each returns and raises."""

    async def create(self, start: NewWorld | FromSnapshot) -> CreatedSession: ...

    async def authorize(self, session: str, token: str) -> None: ...

    async def describe(self, session: str) -> SessionInfo: ...

    async def close(self, session: str) -> None: ...

    async def take_snapshot(
        self, session: str, *, branch: int | None = None, chunk: int | None = None
    ) -> SnapshotPlace: ...

    async def drop_snapshot(self, snapshot: str) -> None: ...

    async def fork(
        self,
        session: str,
        *,
        branch: int | None = None,
        chunk: int | None = None,
        limits: SessionLimits = SERVICE_LIMITS,
    ) -> CreatedSession: ...

    def export_world(self, session: str) -> AsyncIterator[bytes]: ...

    async def import_world(
        self, parts: AsyncIterable[bytes], *, limits: SessionLimits = SERVICE_LIMITS
    ) -> CreatedSession: ...

    async def health(self) -> ClusterHealth: ...
