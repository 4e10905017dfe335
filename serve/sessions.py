"""What HTTP can do with sessions, over the cluster's directory."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Protocol

from ..cluster.clients import DirectoryClient
from ..cluster.config import ClusterConfig
from ..cluster.directory import hash_token
from ..cluster.messages import ClusterHealth, SessionInfo, SessionSpec
from .session_requests import SessionRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class CreatedSession:
    """A new session, and the token that lets its player in."""

    info: SessionInfo
    token: str


class Sessions(Protocol):
    """The verbs."""

    async def create(self, request: SessionRequest) -> CreatedSession: ...

    async def describe(self, session: str) -> SessionInfo: ...

    async def end(self, session: str) -> None: ...

    async def health(self) -> ClusterHealth: ...


class ClusterSessions:
    """The verbs on a Ray cluster."""

    def __init__(self, config: ClusterConfig) -> None:
        self._preset = config.preset.name
        self._directory = DirectoryClient(config)

    async def create(self, request: SessionRequest) -> CreatedSession:
        """Raises Overloaded when there is no room."""
        token = secrets.token_urlsafe(32)
        spec = SessionSpec(
            session=secrets.token_hex(16),
            preset=self._preset,
            image=request.image,
            prompt=request.prompt,
            seed=request.seed,
            viewpoint=request.viewpoint,
            token_hash=hash_token(token),
            created_at=time.time(),
        )
        return CreatedSession(info=await self._directory.create(spec), token=token)

    async def describe(self, session: str) -> SessionInfo:
        """Raises SessionUnknown."""
        return await self._directory.describe(session)

    async def end(self, session: str) -> None:
        """Raises SessionUnknown."""
        await self._directory.describe(session)
        await self._directory.end(session)

    async def health(self) -> ClusterHealth:
        """What the cluster can admit."""
        return await self._directory.health()
