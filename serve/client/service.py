"""Sessions from outside: opened, closed, and lent to others by ticket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypedDict, Unpack

from .address import parse_address


class StartRequest(TypedDict, total=False):
    """What a world starts from. What is left out or None is up to the service."""

    sample: str | None
    """Name of one of the service's start images."""
    image: bytes | None
    """An image file, instead of a sample."""
    prompt: str | None
    """Left out: the sample's own."""
    seed: int | None
    preset: str | None
    viewpoint: str | None
    """'first_person' or 'third_person'."""
    snapshot_id: str | None
    """A snapshot, instead of a sample or an image; seed and viewpoint are its own then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenedSession:
    """A session that has been created. Its token is the right to it."""

    session_id: str
    token: str
    url: str
    """Of the stream."""
    grpc_target: str = ""
    """Host and port of the same over gRPC; empty: not told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """Lets one player or viewer in, once and soon."""

    ticket: str
    url: str
    """Of the WebSocket, for a browser."""
    expires_at_s: int
    """Since the Unix epoch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A place that worlds can start from. It outlives its session, for a while."""

    snapshot_id: str
    branch: int
    chunk: int
    """Chunks before it."""


class Service(Protocol):
    """What can be asked of a service. Everything raises what the service reports, or Unreachable."""

    async def create(self, **start: Unpack[StartRequest]) -> OpenedSession:
        """A new session."""
        ...

    async def close(self, session_id: str, *, token: str) -> None:
        """End a session and its world."""
        ...

    async def mint_ticket(
        self, session_id: str, *, token: str, is_player: bool, valid_s: int = 0, origins: Sequence[str] = ()
    ) -> Ticket:
        """A ticket for a player, or for a viewer; 0 seconds: as long as the service finds right. `origins` are the web
        origins that may use it; none: any."""
        ...

    async def take_snapshot(
        self, session_id: str, *, token: str, branch: int | None = None, chunk: int | None = None
    ) -> Snapshot:
        """Keep the first `chunk` chunks (None: all) of a branch (None: the one that grows)."""
        ...

    async def fork(
        self, session_id: str, *, token: str, branch: int | None = None, chunk: int | None = None
    ) -> OpenedSession:
        """Another session, from such a place of this one."""
        ...

    async def export_world(self, session_id: str, *, token: str) -> bytes:
        """The world with all its branches, as a file."""
        ...

    async def import_world(self, file: bytes) -> OpenedSession:
        """A new session, which goes on where an exported world was."""
        ...


@asynccontextmanager
async def open_service(url: str, *, key: str = "") -> AsyncIterator[Service]:
    """The service at http://, https://, grpc:// or grpcs://. `key` is the operator's, where one is needed."""
    address = parse_address(url, "http", "https", "grpc", "grpcs")
    if address.scheme in ("http", "https"):
        from .http_service import HttpService

        yield HttpService(address, key=key)
        return
    # A library that HTTP does not need.
    from .grpc_service import GrpcService

    service = GrpcService(address, key=key)
    try:
        yield service
    finally:
        await service.disconnect()
