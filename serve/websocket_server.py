"""The stream protocol over WebSocket: a binary message is protobuf, a text one its JSON."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from .conversation import ConnectionLost, Reception

CLOSE_DONE = 1000
CLOSE_REFUSED = 1008
WRITE_BYTES = 256 << 10
"""What may wait in the socket: the rest waits where it can still be dropped."""


class WebSocketTransport:
    """See `Transport`. The library's pings find out that the other side is gone."""

    notices_loss = True

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket

    @property
    def origin(self) -> str | None:
        """The Origin header, which every browser sends."""
        request = self._socket.request
        return None if request is None else request.headers.get("Origin")

    async def receive(self) -> bytes | str:
        """Raises ConnectionLost."""
        try:
            return await self._socket.recv()
        except ConnectionClosed as error:
            raise ConnectionLost from error

    async def send(self, data: bytes | str) -> None:
        """Waits while the client is slow. Raises ConnectionLost."""
        try:
            await self._socket.send(data)
        except ConnectionClosed as error:
            raise ConnectionLost from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Listen:
    """Where a server listens."""

    host: str
    port: int
    """0 takes a free one."""
    max_message_bytes: int
    """Of a client's message."""
    heartbeat_s: float
    """How often a client is asked whether it lives."""
    tls: ssl.SSLContext | None = None


async def serve_websocket(reception: Reception, listen: Listen) -> Server:
    """Start the server. Raises OSError when the port is taken."""

    async def converse(socket: ServerConnection) -> None:
        error = await reception.converse(WebSocketTransport(socket))
        if error is None:
            await socket.close(CLOSE_DONE)
        else:
            await socket.close(CLOSE_REFUSED, error.code)

    return await serve(
        converse,
        listen.host,
        listen.port,
        ssl=listen.tls,
        max_size=listen.max_message_bytes,
        compression=None,
        ping_interval=listen.heartbeat_s,
        ping_timeout=2 * listen.heartbeat_s,
        write_limit=WRITE_BYTES,
        close_timeout=2.0,
    )
