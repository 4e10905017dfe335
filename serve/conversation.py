"""One connection from Hello to its end, over any transport: WebSocket and gRPC share all of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Protocol

from ..errors import MessageInvalid, Overloaded, WorldloomError
from . import wire
from .protocol.generated import session_pb2 as pb
from .rate_limit import RateLimit
from .seat import Seat

log = logging.getLogger(__name__)

SILENT_HEARTBEATS = 3
BURST_S = 5.0
"""So many seconds' worth of messages may come at once."""


class ConnectionLost(Exception):
    """A transport's connection is closed: nothing more goes in or out."""


class Transport(Protocol):
    """Carries whole messages. One `receive` and one `send` at a time."""

    @property
    def origin(self) -> str | None:
        """The web origin of the page that has connected; None where no browser tells one."""

    @property
    def notices_loss(self) -> bool:
        """Whether it finds out by itself that the other side is gone, though nobody sends."""

    async def receive(self) -> bytes | str:
        """The next message: protobuf, or its JSON. Raises ConnectionLost."""

    async def send(self, data: bytes | str) -> None:
        """Wait until the message is on its way. Raises ConnectionLost."""


class Host(Protocol):
    """Where connections are seated: `Hall`, with what only tests replace."""

    async def enter(self, hello: pb.Hello, *, origin: str | None) -> tuple[str, Seat]: ...

    async def left(self, connection: str) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversationConfig:
    """What a connection may do."""

    messages_per_s: float = 200.0
    """Sustained."""
    hello_timeout_s: float = 5.0
    heartbeat_s: float = 10.0
    """A connection that is silent for three times as long is closed."""
    max_connections: int = 1024
    """At a time."""


class Reception:
    """Takes connections in, but not too many at a time."""

    def __init__(self, host: Host, config: ConversationConfig) -> None:
        self._host = host
        self._config = config
        self._open = 0

    async def converse(self, transport: Transport) -> WorldloomError | None:
        """One connection's whole life. Returns when it is to be closed, with the error that the client was told, if
        that is why."""
        if self._open >= self._config.max_connections:
            error = Overloaded(f"{self._open} connections are open", hint="Come again later, or to another gateway.")
            with contextlib.suppress(ConnectionLost):
                await transport.send(wire.error_of(error).SerializeToString())
            return error
        self._open += 1
        try:
            return await Conversation(transport, self._host, self._config).run()
        finally:
            self._open -= 1


class Conversation:
    """A client's mistake ends in an Error, never in a traceback; and a Bye or the loss of the connection ends all."""

    def __init__(self, transport: Transport, host: Host, config: ConversationConfig) -> None:
        self._transport = transport
        self._host = host
        self._config = config
        self._speaks_json = False
        """Hello was JSON: so are the answers."""
        self._sending = asyncio.Lock()
        self._said_bye = False

    async def run(self) -> WorldloomError | None:
        """See `Reception.converse`."""
        hello: pb.Hello | None = None
        try:
            hello = await self._receive_hello()
            await self._play(hello)
        except ConnectionLost:
            log.debug("a connection was lost")
        except WorldloomError as error:
            with contextlib.suppress(ConnectionLost):
                await self._send(wire.error_of(error, hello=hello).SerializeToString())
            return error
        return None

    async def _play(self, hello: pb.Hello) -> None:
        connection, seat = await self._host.enter(hello, origin=self._transport.origin)
        reading = asyncio.create_task(self._read(seat))
        writing = asyncio.create_task(self._write(seat))
        try:
            done, _ = await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (reading, writing):
                task.cancel()
            await asyncio.gather(reading, writing, return_exceptions=True)
            with contextlib.suppress(WorldloomError):
                await seat.leave(is_bye=self._said_bye)
            await self._host.left(connection)

    async def _receive_hello(self) -> pb.Hello:
        hint = "Send Hello with a token, a ticket or a resume token first."
        try:
            async with asyncio.timeout(self._config.hello_timeout_s):
                data = await self._transport.receive()
        except TimeoutError:
            raise MessageInvalid(f"no Hello came within {self._config.hello_timeout_s:g} s", hint=hint) from None
        self._speaks_json = isinstance(data, str)
        message = wire.parse(data)
        if message.WhichOneof("body") != "hello":
            raise MessageInvalid("the first message is no Hello", hint=hint)
        return message.hello

    async def _read(self, seat: Seat) -> None:
        """Until the client says Bye or falls silent."""
        config = self._config
        limit = RateLimit(per_s=config.messages_per_s, burst=BURST_S * config.messages_per_s)
        silence_s = None if self._transport.notices_loss else SILENT_HEARTBEATS * config.heartbeat_s
        while True:
            try:
                async with asyncio.timeout(silence_s):
                    data = await self._transport.receive()
            except TimeoutError:
                await self._send(wire.bye(f"silent for {silence_s:g} s", reconnect=True).SerializeToString())
                return
            if not limit.admits():
                raise Overloaded(
                    f"more than {config.messages_per_s:g} messages a second", hint="Send fewer, larger messages."
                )
            message = wire.parse(data)
            match message.WhichOneof("body"):
                case "bye":
                    self._said_bye = True
                    return
                case "heartbeat":
                    await self._send(pb.ServerMessage(heartbeat=message.heartbeat).SerializeToString())
                case _:
                    await seat.take(message)

    async def _write(self, seat: Seat) -> None:
        """Until the service has no more to say."""
        while batch := await seat.outgoing():
            for data in batch:
                await self._send(data)

    async def _send(self, data: bytes) -> None:
        async with self._sending:
            await self._transport.send(wire.to_json(pb.ServerMessage.FromString(data)) if self._speaks_json else data)
