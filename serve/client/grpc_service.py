"""A service's verbs over gRPC."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Unpack, cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from .address import Address
from .errors import Unreachable, WorldError, error_of
from .grpc_transport import open_channel, reason_of, worlds_of
from .protocol import session_pb2 as pb
from .protocol import worlds_pb2
from .service import OpenedSession, Snapshot, StartRequest, Ticket

CALL_TIMEOUT_S = 60.0
"""Long enough for a service that is still loading its weights."""
PART_BYTES = 1 << 18
"""Of a file that is sent."""
_DETAILS_KEY = "grpc-status-details-bin"


class GrpcService:
    """See `Service`; `call` reaches the verbs that are left out there."""

    def __init__(self, address: Address, *, key: str = "") -> None:
        self._address = address
        self._key = key
        self._channel = open_channel(address)
        self._worlds = worlds_of(self._channel)

    async def create(self, **start: Unpack[StartRequest]) -> OpenedSession:
        return self._opened(await self.call("Create", create_request(**start), token=self._key))

    async def close(self, session_id: str, *, token: str) -> None:
        await self.call("Close", worlds_pb2.SessionRef(session_id=session_id), token=token)

    async def mint_ticket(
        self, session_id: str, *, token: str, is_player: bool, valid_s: int = 0, origins: Sequence[str] = ()
    ) -> Ticket:
        role = pb.ROLE_PLAYER if is_player else pb.ROLE_VIEWER
        request = worlds_pb2.TicketRequest(session_id=session_id, role=role, valid_s=valid_s, origins=origins)
        minted = await self.call("MintTicket", request, token=token)
        return Ticket(ticket=minted.ticket, url=minted.stream_url, expires_at_s=minted.expires_at_s)

    async def take_snapshot(
        self, session_id: str, *, token: str, branch: int | None = None, chunk: int | None = None
    ) -> Snapshot:
        request = worlds_pb2.SnapshotRequest(session_id=session_id, branch=branch, chunk=chunk)
        taken = await self.call("TakeSnapshot", request, token=token)
        return Snapshot(snapshot_id=taken.snapshot_id, branch=taken.branch, chunk=taken.chunk)

    async def fork(
        self, session_id: str, *, token: str, branch: int | None = None, chunk: int | None = None
    ) -> OpenedSession:
        request = worlds_pb2.ForkRequest(session_id=session_id, branch=branch, chunk=chunk)
        return self._opened(await self.call("Fork", request, token=token))

    async def export_world(self, session_id: str, *, token: str) -> bytes:
        parts = self._worlds.Export(
            worlds_pb2.SessionRef(session_id=session_id), metadata=_bearer(token), timeout=CALL_TIMEOUT_S
        )
        try:
            return b"".join([part.data async for part in parts])
        except grpc.aio.AioRpcError as error:
            raise self._reported(error) from error

    async def import_world(self, file: bytes) -> OpenedSession:
        parts = (worlds_pb2.FilePart(data=file[at : at + PART_BYTES]) for at in range(0, len(file), PART_BYTES))
        return self._opened(await self.call("Import", parts, token=self._key))

    async def call(self, verb: str, request: Any, *, token: str) -> Any:
        """A verb of the Worlds service that has one answer, by its name in worlds.proto, with what it takes."""
        try:
            return await getattr(self._worlds, verb)(request, metadata=_bearer(token), timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise self._reported(error) from error

    async def disconnect(self) -> None:
        """Let go of the connection."""
        await self._channel.close()

    def _opened(self, created: worlds_pb2.Created) -> OpenedSession:
        return OpenedSession(
            session_id=created.session.session_id,
            token=created.token,
            url=self._address.url,
            grpc_target=created.grpc_target,
        )

    def _reported(self, error: grpc.aio.AioRpcError) -> WorldError:
        for name, value in error.trailing_metadata() or ():
            if name == _DETAILS_KEY and (reported := _error_in(value)) is not None:
                return error_of(reported)
        return Unreachable(self._address.url, reason_of(error))


def _bearer(token: str) -> list[tuple[str, str]] | None:
    return [("authorization", f"Bearer {token}")] if token else None


def create_request(**start: Unpack[StartRequest]) -> worlds_pb2.CreateRequest:
    """The message of a start request."""
    given: dict[str, Any] = {name: value for name, value in start.items() if value is not None}
    if viewpoint := given.pop("viewpoint", None):
        given["viewpoint"] = f"VIEWPOINT_{viewpoint.upper()}"
    return worlds_pb2.CreateRequest(**given)


def _error_in(details: Any) -> pb.Error | None:
    """The Error that a status's details hold: an Any among those of a google.rpc.Status, whose field 3 they are."""
    try:
        # Any has only fields 1 and 2: of a Status, its details are left over.
        for field in cast(Iterable[Any], UnknownFieldSet(AnyMessage.FromString(details))):
            if field.field_number == 3:
                packed = AnyMessage.FromString(field.data)
                error = pb.Error()
                if packed.Unpack(error):
                    return error
    except DecodeError:
        return None
    return None
