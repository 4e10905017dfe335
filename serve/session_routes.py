"""The session verbs over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ..cluster.attendance import Role
from ..cluster.limits import SessionLimits
from ..cluster.verbs import CreatedSession
from ..model.preset import Preset
from .http_models import CreatedOut, ErrorOut, SessionOut, SnapshotOut, TicketOut, inlined
from .operator_key import check_operator
from .session_requests import ForkAsked, NewSession, PlaceAsked, Seconds, TicketAsked, read_session_request
from .sessions import Sessions
from .tickets import Tickets

IMPORT_PATH = "/v1/sessions/import"
WORLD_FILE = "application/x-worldloom-world"

_CREDENTIALS = HTTPBearer(
    auto_error=False, description="The session's token; the operator's key where a session is created."
)
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_CREDENTIALS)]
_ERRORS: dict[int | str, dict[str, Any]] = {"4XX": {"model": ErrorOut}, "5XX": {"model": ErrorOut}}
_CREATE_BODY = {
    "requestBody": {
        "content": {kind: {"schema": inlined(NewSession)} for kind in ("application/json", "multipart/form-data")}
    }
}
_IMPORT_BODY = {
    "requestBody": {"required": True, "content": {WORLD_FILE: {"schema": {"type": "string", "format": "binary"}}}}
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entrance:
    """Where players go, and who lets them."""

    stream_port: int
    """Of the WebSocket."""
    grpc_port: int = 0
    """0: no gRPC."""
    is_secure: bool = False
    """Whether both speak TLS."""
    ticket_secret: str
    """Of all gateways."""
    operator_key: str = ""
    """Without it, nobody creates or imports worlds; empty: everybody may."""

    def addresses(self, request: Request) -> dict[str, str]:
        """As the client finds them that has sent this request."""
        host, scheme = request.url.hostname or "localhost", "wss" if self.is_secure else "ws"
        name = f"[{host}]" if ":" in host else host
        return {
            "stream_url": f"{scheme}://{name}:{self.stream_port}/",
            "grpc_target": f"{name}:{self.grpc_port}" if self.grpc_port else "",
        }


def session_routes(preset: Preset, sessions: Sessions, entrance: Entrance) -> APIRouter:
    """Routes under /v1. Every one of a session needs its token."""
    routes = APIRouter(responses=_ERRORS)
    tickets = Tickets(entrance.ticket_secret)

    async def is_owner(session: str, credentials: _Credentials) -> None:
        await sessions.authorize(session, credentials.credentials if credentials else "")

    async def is_operator(credentials: _Credentials) -> None:
        check_operator(entrance.operator_key, credentials.credentials if credentials else "")

    owner, operator = [Depends(is_owner)], [Depends(is_operator)]

    def created(new: CreatedSession, request: Request) -> CreatedOut:
        return CreatedOut.of_created(new, preset, entrance.addresses(request))

    @routes.post("/v1/sessions", status_code=201, dependencies=operator, openapi_extra=_CREATE_BODY)
    async def create_session(request: Request) -> CreatedOut:
        """Create a world: JSON, or a form with an image file, whose camera and limits are JSON in its fields."""
        return created(await sessions.create(await read_session_request(request, preset)), request)

    @routes.post(IMPORT_PATH, status_code=201, dependencies=operator, openapi_extra=_IMPORT_BODY)
    async def import_session(
        request: Request,
        play_s: Annotated[Seconds, Query()] = 0.0,
        idle_s: Annotated[Seconds, Query()] = 0.0,
        grace_s: Annotated[Seconds, Query()] = 0.0,
        viewers: Annotated[int, Query(ge=0)] = 0,
    ) -> CreatedOut:
        """Create a world from an exported file."""
        limits = SessionLimits(play_s=play_s, idle_s=idle_s, grace_s=grace_s, viewers=viewers)
        return created(await sessions.import_world(request.stream(), limits=limits), request)

    @routes.get("/v1/sessions/{session}", dependencies=owner)
    async def get_session(session: str) -> SessionOut:
        """How far a session is."""
        return SessionOut.of_session(await sessions.describe(session), preset)

    @routes.delete("/v1/sessions/{session}", status_code=204, dependencies=owner)
    async def close_session(session: str) -> None:
        """End a session and forget its world. Its snapshots stay."""
        await sessions.close(session)

    @routes.post("/v1/sessions/{session}/tickets", status_code=201, dependencies=owner)
    async def mint_ticket(session: str, asked: TicketAsked, request: Request) -> TicketOut:
        """A ticket for one player or viewer, to be used once and soon."""
        role = Role.PLAYER if asked.role == "ROLE_PLAYER" else Role.VIEWER
        minted = tickets.mint(
            session, role, valid_s=asked.valid_s, origins=tuple(asked.origins), max_kbit_per_s=asked.max_kbit_per_s
        )
        return TicketOut(ticket=minted.ticket, expires_at_s=minted.expires_at_s, **entrance.addresses(request))

    @routes.post("/v1/sessions/{session}/snapshots", status_code=201, dependencies=owner)
    async def take_snapshot(session: str, place: PlaceAsked | None = None) -> SnapshotOut:
        """Keep a place of the world to start others from. It outlives the session, for a while."""
        asked = place or PlaceAsked()
        taken = await sessions.take_snapshot(session, branch=asked.branch, chunk=asked.chunk)
        return SnapshotOut(snapshot_id=taken.snapshot, branch=taken.branch, chunk=taken.chunk)

    @routes.delete("/v1/snapshots/{snapshot}", status_code=204)
    async def drop_snapshot(snapshot: str) -> None:
        """Forget a snapshot. Its id is the right to it."""
        await sessions.drop_snapshot(snapshot)

    @routes.post("/v1/sessions/{session}/fork", status_code=201, dependencies=owner)
    async def fork_session(session: str, request: Request, place: ForkAsked | None = None) -> CreatedOut:
        """Another session that shares the past, with nothing held."""
        asked = place or ForkAsked()
        limits = asked.limits.limits()
        return created(await sessions.fork(session, branch=asked.branch, chunk=asked.chunk, limits=limits), request)

    @routes.get(
        "/v1/sessions/{session}/export",
        dependencies=owner,
        response_class=StreamingResponse,
        responses={200: {"content": {WORLD_FILE: {}}}},
    )
    async def export_session(session: str) -> StreamingResponse:
        """The world with all its branches, as one file."""
        parts = sessions.export_world(session)
        # The first part decides whether this is a file or an error.
        first = await anext(parts)
        headers = {"Content-Disposition": f'attachment; filename="{session[:32]}.world"'}
        return StreamingResponse(_chain(first, parts), media_type=WORLD_FILE, headers=headers)

    return routes


async def _chain(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for part in rest:
        yield part
