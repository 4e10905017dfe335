"""The Worlds service's calls beside Play: a session's verbs, for its owner."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from ..cluster.verbs import CreatedSession
from ..model.preset import Preset
from .addresses import Addresses
from .grpc_errors import Context
from .operator_key import bearer_token, check_operator
from .protocol.generated import worlds_pb2 as pb
from .sessions import Sessions
from .tickets import Tickets
from .wire_worlds import limits_of, role_of, session_of, snapshot_of, world_of


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldsConfig:
    """What the verbs are offered for."""

    preset: Preset
    addresses: Addresses
    operator_key: str = field(default="", repr=False)
    """Who creates or imports a world has to know it; empty: anybody may."""


class Worlds:
    """Each method answers one call. They raise what the verbs do, and NotAuthorized."""

    def __init__(self, verbs: Sessions, tickets: Tickets, config: WorldsConfig) -> None:
        self._verbs = verbs
        self._tickets = tickets
        self._config = config

    async def create(self, request: pb.CreateRequest, context: Context) -> pb.Created:
        self._require_operator(context)
        return self._created(await self._verbs.create(await world_of(request, self._config.preset)))

    async def describe(self, request: pb.SessionRef, context: Context) -> pb.Session:
        await self._require_owner(request.session_id, context)
        return session_of(await self._verbs.describe(request.session_id), self._config.preset)

    async def close(self, request: pb.SessionRef, context: Context) -> pb.Closed:
        await self._require_owner(request.session_id, context)
        await self._verbs.close(request.session_id)
        return pb.Closed()

    async def mint_ticket(self, request: pb.TicketRequest, context: Context) -> pb.Ticket:
        await self._require_owner(request.session_id, context)
        minted = self._tickets.mint(
            request.session_id,
            role_of(request.role),
            valid_s=request.valid_s,
            origins=tuple(request.origins),
            max_kbit_per_s=request.max_kbit_per_s,
        )
        addresses = self._config.addresses
        return pb.Ticket(
            ticket=minted.ticket,
            stream_url=addresses.stream_url,
            grpc_target=addresses.grpc_target,
            expires_at_s=minted.expires_at_s,
        )

    async def take_snapshot(self, request: pb.SnapshotRequest, context: Context) -> pb.Snapshot:
        await self._require_owner(request.session_id, context)
        branch, chunk = _place(request)
        return snapshot_of(await self._verbs.take_snapshot(request.session_id, branch=branch, chunk=chunk))

    async def fork(self, request: pb.ForkRequest, context: Context) -> pb.Created:
        await self._require_owner(request.session_id, context)
        branch, chunk = _place(request)
        limits = limits_of(request.limits)
        return self._created(await self._verbs.fork(request.session_id, branch=branch, chunk=chunk, limits=limits))

    async def export(self, request: pb.SessionRef, context: Context) -> AsyncIterator[pb.FilePart]:
        await self._require_owner(request.session_id, context)
        async for data in self._verbs.export_world(request.session_id):
            yield pb.FilePart(data=data)

    async def import_(self, parts: AsyncIterator[pb.FilePart], context: Context) -> pb.Created:
        self._require_operator(context)
        return self._created(await self._verbs.import_world(part.data async for part in parts))

    def _created(self, created: CreatedSession) -> pb.Created:
        addresses = self._config.addresses
        return pb.Created(
            session=session_of(created.info, self._config.preset),
            token=created.token,
            stream_url=addresses.stream_url,
            grpc_target=addresses.grpc_target,
        )

    async def _require_owner(self, session: str, context: Context) -> None:
        await self._verbs.authorize(session, _token(context))

    def _require_operator(self, context: Context) -> None:
        check_operator(self._config.operator_key, _token(context))


def _place(request: pb.SnapshotRequest | pb.ForkRequest) -> tuple[int | None, int | None]:
    branch = request.branch if request.HasField("branch") else None
    return branch, request.chunk if request.HasField("chunk") else None


def _token(context: Context) -> str:
    """What the metadata's authorization holds; empty if there is none."""
    values = [value for name, value in context.invocation_metadata() or () if name == "authorization"]
    return bearer_token(str(values[0])) if values else ""
