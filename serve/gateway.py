"""The gateway: a WebSocket server in a Ray actor. It takes inputs in and fans frames out; worlds live elsewhere."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import deque
from dataclasses import dataclass
from typing import Any

import ray
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from ..cluster.config import DIRECTORY, GATEWAY, ClusterConfig
from ..cluster.messages import FramePacket, InputBatch, Progress, SessionInfo
from ..cluster.peer import Peer
from ..errors import MessageInvalid, Overloaded, PlayerTaken, SessionEnded, WorldloomError
from . import wire
from .channel import Channel
from .protocol import session_pb2 as pb
from .rate_limit import RateLimit

log = logging.getLogger(__name__)

MAX_ENDED = 256
CLOSE_DONE = 1000
CLOSE_REFUSED = 1008


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayConfig:
    """Where the gateway listens and what a connection may send."""

    host: str = "127.0.0.1"
    port: int
    max_message_bytes: int = 1 << 20
    messages_per_s: float = 200.0
    """Sustained; five seconds' worth may come at once."""
    hello_timeout_s: float = 5.0
    heartbeat_s: float = 10.0
    """A connection that does not answer a WebSocket ping within this time is closed."""


class Gateway:
    """One player a session. Other processes call the public methods; players come in by WebSocket."""

    def __init__(self, cluster: ClusterConfig, config: GatewayConfig) -> None:
        self._cluster = cluster
        self._config = config
        self._id = uuid.uuid4().hex
        self._directory = Peer(DIRECTORY, namespace=cluster.name, patience_s=cluster.patience_s)
        self._channels: dict[str, Channel] = {}
        self._connections: dict[str, ServerConnection] = {}
        self._ended: deque[str] = deque(maxlen=MAX_ENDED)
        """The last sessions that ended: their owners may not have heard of it yet."""
        self._server: asyncio.Task[Server] = asyncio.ensure_future(self._listen())

    async def _listen(self) -> Server:
        return await serve(
            self._serve_connection,
            self._config.host,
            self._config.port,
            max_size=self._config.max_message_bytes,
            compression=None,
            ping_interval=self._config.heartbeat_s,
            ping_timeout=self._config.heartbeat_s,
            write_limit=1 << 20,
            close_timeout=2.0,
        )

    async def ready(self) -> int:
        """The port, once the gateway listens."""
        server = await self._server
        return int(next(iter(server.sockets)).getsockname()[1])

    async def collect(self, session: str, epoch: int, after_event: int, next_frame_id: int) -> InputBatch:
        """See `Channel.collect`."""
        return await self._channel(session).collect(epoch, after_event=after_event, next_frame_id=next_frame_id)

    async def push(self, session: str, packets: tuple[FramePacket, ...]) -> None:
        """See `Channel.push`. Frames that nobody has ever asked for are dropped."""
        if session in self._channels:
            await self._channels[session].push(packets)

    async def report(self, session: str, progress: Progress) -> None:
        """See `Channel.report`."""
        if session in self._channels:
            await self._channels[session].report(progress)

    async def next_frame_id(self, session: str) -> int | None:
        """Frame ids below this have been sent; None if this gateway has sent none of the session."""
        return self._channels[session].next_frame_id if session in self._channels else None

    async def end_session(self, session: str, error: WorldloomError | None) -> None:
        """Tell the player that the session is over, and why if that is an error, and forget it."""
        self._ended.append(session)
        channel = self._channels.pop(session, None)
        if channel is None:
            return
        channel.close()
        if error is not None:
            await channel.send(wire.error_of(error))
        await channel.send(pb.ServerMessage(bye=pb.Bye(reason="the session has ended")))
        connection = self._connections.pop(session, None)
        if connection is not None:
            await connection.close(CLOSE_DONE)

    async def stop(self) -> None:
        """Say goodbye to everybody and stop listening."""
        for session in list(self._channels):
            await self.end_session(session, None)
        (await self._server).close()

    def _channel(self, session: str) -> Channel:
        if session in self._ended:
            raise SessionEnded(f"session {session} has ended")
        if session not in self._channels:
            self._channels[session] = Channel(session, frame_rate=self._cluster.preset.video.frame_rate)
        return self._channels[session]

    async def _serve_connection(self, connection: ServerConnection) -> None:
        """One connection, from Hello to its end. A client's mistake ends in an Error, never in a traceback."""
        try:
            await self._converse(connection)
        except WorldloomError as error:
            await _send(connection, wire.error_of(error))
            await connection.close(CLOSE_REFUSED, error.code)
        except ConnectionClosed:
            log.debug("a connection closed before its Hello was answered")

    async def _converse(self, connection: ServerConnection) -> None:
        hello = await self._receive_hello(connection)
        connection_id = uuid.uuid4().hex
        info: SessionInfo = await self._directory.call("attach_player", hello.token, self._id, connection_id)
        try:
            channel = self._channel(info.session)
            if info.session in self._connections:
                # A directory that has restarted knows of no players.
                raise PlayerTaken("this session has a player", hint="Close the other page or client first.")
            self._connections[info.session] = connection
            message = wire.welcome(info, self._cluster.preset, channel.next_frame_id or 0)
            message.welcome.last_event_id = max(info.last_event_id, channel.last_event_id())
            await _send(connection, message)
            channel.connect(lambda message: _send(connection, message))
            await self._read(connection, channel)
        finally:
            self._leave(info.session, connection)
            await self._directory.call("detach_player", info.session, connection_id)

    def _leave(self, session: str, connection: ServerConnection) -> None:
        if self._connections.get(session) is connection:
            del self._connections[session]
            self._channels[session].disconnect()

    async def _receive_hello(self, connection: ServerConnection) -> pb.Hello:
        try:
            async with asyncio.timeout(self._config.hello_timeout_s):
                message = wire.parse(await connection.recv())
        except TimeoutError:
            raise MessageInvalid(
                f"no Hello came within {self._config.hello_timeout_s:g} s", hint="Send Hello with the token first."
            ) from None
        if message.WhichOneof("body") != "hello":
            raise MessageInvalid("the first message is no Hello", hint="Send Hello with the token first.")
        wire.check_version(message.hello)
        return message.hello

    async def _read(self, connection: ServerConnection, channel: Channel) -> None:
        limit = RateLimit(per_s=self._config.messages_per_s, burst=5 * self._config.messages_per_s)
        async for data in connection:
            if not limit.admits():
                raise Overloaded(
                    f"more than {self._config.messages_per_s:g} messages a second", hint="Send fewer, larger messages."
                )
            message = wire.parse(data)
            if message.WhichOneof("body") == "bye":
                return
            try:
                await self._handle(connection, channel, message)
            except WorldloomError as error:
                await _send(connection, wire.error_of(error))

    async def _handle(self, connection: ServerConnection, channel: Channel, message: pb.ClientMessage) -> None:
        match message.WhichOneof("body"):
            case "controls":
                await self._take(connection, channel, message.controls)
            case "script":
                await self._take(connection, channel, message.script)
            case "ack":
                channel.acknowledge(message.ack.frame_id)
            case "ping":
                await _send(connection, pb.ServerMessage(pong=pb.Pong(client_time_us=message.ping.client_time_us)))
            case _:
                raise MessageInvalid("a second Hello", hint="Say Hello once a connection.")

    async def _take(self, connection: ServerConnection, channel: Channel, message: pb.Controls | pb.Script) -> None:
        channel.offer(wire.event_of(message))
        accepted = pb.Accepted(event_id=message.event_id, client_time_us=message.client_time_us)
        await _send(connection, pb.ServerMessage(accepted=accepted))


async def _send(connection: ServerConnection, message: pb.ServerMessage) -> None:
    """Send, and wait while the client is slow. What a closed connection misses is lost: its client comes again."""
    try:
        await connection.send(message.SerializeToString())
    except ConnectionClosed:
        log.debug("a message of type %s met a closed connection", message.WhichOneof("body"))


def start_gateway(cluster: ClusterConfig, config: GatewayConfig) -> Any:
    """The gateway actor; it restarts by itself. Returns its handle."""
    actor = ray.remote(Gateway)
    return actor.options(
        name=GATEWAY, namespace=cluster.name, num_cpus=0, max_restarts=-1, max_concurrency=10_000
    ).remote(cluster, config)
