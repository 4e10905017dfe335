"""The Worlds service over gRPC, with health and reflection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from ..errors import ConfigError, RequestTooLarge
from .conversation import ConnectionLost, Reception
from .grpc_errors import Context, answering, streaming
from .grpc_worlds import Worlds
from .protocol.generated import worlds_pb2 as pb
from .tls import TlsFiles

SERVICE = pb.DESCRIPTOR.services_by_name["Worlds"].full_name
GRACE_S = 1.0
"""What calls under way may still take when the server stops."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GrpcLimits:
    """Of messages that come in."""

    max_message_bytes: int
    """Of Play."""
    max_request_bytes: int
    """Of other calls."""


class GrpcTransport:
    """See `Transport`. Messages stay bytes: frames are encoded once for all who get them."""

    origin = None
    notices_loss = False

    def __init__(self, context: Context, *, max_message_bytes: int) -> None:
        self._context = context
        self._max_message_bytes = max_message_bytes

    async def receive(self) -> bytes:
        """Raises ConnectionLost, RequestTooLarge. A client that half-closes cannot be told from one that is lost."""
        try:
            data = await self._context.read()
        except grpc.aio.BaseError as error:
            raise ConnectionLost from error
        if not isinstance(data, bytes):
            raise ConnectionLost
        if len(data) > self._max_message_bytes:
            raise RequestTooLarge(f"a message of {len(data)} bytes", hint=f"Send at most {self._max_message_bytes}.")
        return data

    async def send(self, data: bytes | str) -> None:
        """Waits while the client is slow. Raises ConnectionLost."""
        try:
            await self._context.write(data)
        except grpc.aio.BaseError as error:
            raise ConnectionLost from error


class GrpcServer:
    """One server, from `start` to `stop`."""

    def __init__(self, reception: Reception, worlds: Worlds, limits: GrpcLimits) -> None:
        self._reception = reception
        self._limits = limits
        options = [
            ("grpc.max_receive_message_length", limits.max_request_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
        ]
        self._server = grpc.aio.server(options=options)
        self._health = health.aio.HealthServicer()
        self._server.add_generic_rpc_handlers((self._handlers(worlds),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)

    async def start(self, host: str, port: int, *, tls: TlsFiles | None) -> int:
        """Listen. Returns the port, which is a free one for 0. Raises ConfigError when it is taken."""
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if tls is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, tls.credentials())
        except RuntimeError as error:
            raise ConfigError(f"cannot listen on {address}", hint="Choose another port; 0 takes a free one.") from error
        await self._server.start()
        for service in ("", SERVICE):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        return port

    async def stop(self) -> None:
        """Tell health checks, and end what is still open after a moment."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(GRACE_S)

    async def _play(self, _: Any, context: Context) -> None:
        await self._reception.converse(GrpcTransport(context, max_message_bytes=self._limits.max_message_bytes))

    def _handlers(self, worlds: Worlds) -> grpc.GenericRpcHandler:
        unary: dict[str, tuple[Any, Any]] = {
            "Create": (worlds.create, pb.CreateRequest),
            "Describe": (worlds.describe, pb.SessionRef),
            "Close": (worlds.close, pb.SessionRef),
            "MintTicket": (worlds.mint_ticket, pb.TicketRequest),
            "TakeSnapshot": (worlds.take_snapshot, pb.SnapshotRequest),
            "Fork": (worlds.fork, pb.ForkRequest),
        }
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                answering(call), request_deserializer=kind.FromString, response_serializer=_encode
            )
            for name, (call, kind) in unary.items()
        }
        handlers["Play"] = grpc.stream_stream_rpc_method_handler(self._play)
        handlers["Export"] = grpc.unary_stream_rpc_method_handler(
            streaming(worlds.export), request_deserializer=pb.SessionRef.FromString, response_serializer=_encode
        )
        handlers["Import"] = grpc.stream_unary_rpc_method_handler(
            answering(worlds.import_), request_deserializer=pb.FilePart.FromString, response_serializer=_encode
        )
        return grpc.method_handlers_generic_handler(SERVICE, handlers)


def _encode(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data
