"""A connection to a service: messages up, messages down. WebSocket and gRPC carry the same ones."""

from __future__ import annotations

from typing import Protocol

from .address import parse_address
from .protocol import session_pb2 as pb

CONNECT_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 2.0
MAX_MESSAGE_BYTES = 16 * 2**20


class Lost(Exception):
    """The connection is gone, or never came about; the text says why."""


class Transport(Protocol):
    """One connection."""

    async def send(self, message: pb.ClientMessage) -> None:
        """Raises Lost."""
        ...

    async def receive(self) -> pb.ServerMessage:
        """The next message. Raises Lost when there will be none, ProtocolError when it is none."""
        ...

    async def close(self) -> None:
        """Let go of the connection; what has been sent still arrives."""
        ...

    def abort(self) -> None:
        """Break the connection."""
        ...


async def dial(url: str) -> Transport:
    """Connect to a stream: ws://, wss://, grpc:// or grpcs://. Raises Lost, or Unreachable for another kind of URL."""
    address = parse_address(url, "ws", "wss", "grpc", "grpcs")
    # Each brings a library that the other does not need.
    if address.scheme in ("ws", "wss"):
        from .websocket_transport import WebSocketTransport

        return await WebSocketTransport.dial(address)
    from .grpc_transport import GrpcTransport

    return await GrpcTransport.dial(address)
