"""Messages over a binary WebSocket."""

from __future__ import annotations

import asyncio
from typing import Self

from google.protobuf.message import DecodeError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from .address import Address
from .errors import ProtocolError
from .protocol import session_pb2 as pb
from .transport import CLOSE_TIMEOUT_S, CONNECT_TIMEOUT_S, MAX_MESSAGE_BYTES, Lost


class WebSocketTransport:
    """See `Transport`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    @classmethod
    async def dial(cls, address: Address) -> Self:
        """Raises Lost."""
        try:
            socket = await connect(
                address.url,
                open_timeout=CONNECT_TIMEOUT_S,
                close_timeout=CLOSE_TIMEOUT_S,
                max_size=MAX_MESSAGE_BYTES,
                compression=None,
                proxy=None if address.is_loopback else True,
            )
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
            raise Lost(str(error) or type(error).__name__) from error
        return cls(socket)

    async def send(self, message: pb.ClientMessage) -> None:
        """Raises Lost."""
        try:
            await self._socket.send(message.SerializeToString())
        except ConnectionClosed as error:
            raise Lost(str(error)) from error

    async def receive(self) -> pb.ServerMessage:
        """Raises Lost, ProtocolError."""
        try:
            data = await self._socket.recv()
        except ConnectionClosed as error:
            raise Lost(str(error)) from error
        try:
            return pb.ServerMessage.FromString(data.encode() if isinstance(data, str) else data)
        except DecodeError as error:
            raise ProtocolError(
                "the service sent something else than a ServerMessage",
                hint="Is it a worldloom service?",
            ) from error

    async def close(self) -> None:
        # Frames that nobody takes any more would keep the answer to the closing handshake waiting.
        await asyncio.gather(self._socket.close(), self._drain())

    def abort(self) -> None:
        self._socket.transport.abort()

    async def _drain(self) -> None:
        try:
            async for _ in self._socket:
                continue
        except ConnectionClosed:
            return
