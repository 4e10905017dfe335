"""The gateway: a WebSocket server in a Ray actor. It takes inputs in and fans frames out; worlds live elsewhere."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from dataclasses import dataclass

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from ..cluster.config import DIRECTORY, ClusterConfig
from ..cluster.events import Pause, Play
from ..cluster.messages import BranchNote, InputBatch, Phase, Progress, SessionInfo
from ..cluster.peer import Peer
from ..cluster.video import Rung, RungWish, VideoPiece
from ..errors import MessageInvalid, Overloaded, PlayerTaken, SessionEnded, WorldloomError
from . import wire
from .channel import MAX_PENDING_EVENTS, Channel
from .metrics import StreamMetrics
from .protocol.generated import session_pb2 as pb
from .rate_limit import RateLimit
from .watching import Watching
from .wire_events import event_of
from .wire_frames import format_of, rungs_of

log = logging.getLogger(__name__)

MAX_ENDED = 256
WATCH_S = 0.05
"""A decoder that nobody watches asks again after this."""
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
        self._metrics = StreamMetrics(cluster.preset.name)
        self._directory = Peer(DIRECTORY, namespace=cluster.name, patience_s=cluster.patience_s)
        self._channels: dict[str, Channel] = {}
        self._connections: dict[str, _Connection] = {}
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

    async def wanted_video(self, session: str, epoch: int) -> tuple[RungWish, ...]:
        """What to encode of the session's next piece. Where nobody watches, waits for a while, and returns nothing.
        Raises StaleEpoch to an owner that has been replaced, SessionEnded when there is no session."""
        self._channel(session).admit(epoch)
        if session not in self._connections:
            await asyncio.sleep(WATCH_S)
        connection = self._connections.get(session)
        return connection.watching.wishes() if connection and connection.watching else ()

    async def push(self, session: str, pieces: tuple[VideoPiece, ...]) -> None:
        """See `Channel.push`. Each client gets the rung that it watches; nobody, nothing."""
        channel = self._channels.get(session)
        connection = self._connections.get(session)
        if channel is None or connection is None or connection.watching is None:
            return
        rung, packets = connection.watching.take(pieces)
        if rung is not None:
            video = format_of(rung, self._cluster.preset.video.frame_rate)
            await connection.send(pb.ServerMessage(format=video))
        if not packets:
            return
        if channel.created_at is not None and channel.next_frame_id is None and packets[0].frame_id == 0:
            self._metrics.create_to_frame(time.time() - channel.created_at)
        await channel.push(packets)

    async def report(self, session: str, progress: Progress) -> None:
        """See `Channel.report`."""
        if session in self._channels:
            await self._channels[session].report(progress)

    async def branched(self, session: str, note: BranchNote) -> None:
        """See `Channel.branched`."""
        if session in self._channels:
            await self._channels[session].branched(note)

    async def refuse(self, session: str, event_id: int, error: WorldloomError) -> None:
        """See `Channel.refuse`."""
        if session in self._channels:
            await self._channels[session].refuse(event_id, error)

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
            await connection.socket.close(CLOSE_DONE)

    async def stop(self) -> None:
        """Say goodbye to everybody and stop listening."""
        for session in list(self._channels):
            await self.end_session(session, None)
        (await self._server).close()

    def _channel(self, session: str) -> Channel:
        if session in self._ended:
            raise SessionEnded(f"session {session} has ended")
        if session not in self._channels:
            rate = self._cluster.preset.video.frame_rate
            self._channels[session] = Channel(session, frame_rate=rate, on_latency=self._metrics.action_to_frame)
        return self._channels[session]

    async def _serve_connection(self, socket: ServerConnection) -> None:
        """One connection, from Hello to its end. A client's mistake ends in an Error, never in a traceback."""
        connection = _Connection(socket)
        try:
            await self._converse(connection)
        except WorldloomError as error:
            await connection.send(wire.error_of(error, hello=connection.hello))
            await socket.close(CLOSE_REFUSED, error.code)
        except ConnectionClosed:
            log.debug("a connection closed before its Hello was answered")

    async def _converse(self, connection: _Connection) -> None:
        hello = await self._receive_hello(connection)
        connection_id = uuid.uuid4().hex
        info: SessionInfo = await self._directory.call("attach_player", hello.token, self._id, connection_id)
        try:
            channel = self._channel(info.session)
            if info.session in self._connections:
                # A directory that has restarted knows of no players.
                raise PlayerTaken("this session has a player", hint="Close the other page or client first.")
            rungs = rungs_of(hello.video, self._cluster.preset.video)
            connection.watching = Watching(rungs[0])
            self._connections[info.session] = connection
            channel.created_at = info.created_at
            await connection.send(self._welcome(info, channel, rungs[0]))
            channel.connect(connection.send)
            await self._read(connection, channel)
        finally:
            self._leave(info.session, connection)
            await self._directory.call("detach_player", info.session, connection_id)

    def _welcome(self, info: SessionInfo, channel: Channel, rung: Rung) -> pb.ServerMessage:
        welcome = wire.welcome(
            info,
            self._cluster.preset,
            next_frame_id=channel.next_frame_id or 0,
            last_event_id=channel.last_event_id(),
        )
        welcome.format.CopyFrom(format_of(rung, self._cluster.preset.video.frame_rate))
        welcome.heartbeat_s = self._config.heartbeat_s
        limits = welcome.limits
        limits.message_bytes, limits.messages_per_s = self._config.max_message_bytes, self._config.messages_per_s
        limits.pending_events = MAX_PENDING_EVENTS
        return pb.ServerMessage(welcome=welcome)

    def _leave(self, session: str, connection: _Connection) -> None:
        if self._connections.get(session) is connection:
            del self._connections[session]
            self._channels[session].disconnect()

    async def _receive_hello(self, connection: _Connection) -> pb.Hello:
        try:
            async with asyncio.timeout(self._config.hello_timeout_s):
                data = await connection.socket.recv()
        except TimeoutError:
            raise MessageInvalid(
                f"no Hello came within {self._config.hello_timeout_s:g} s", hint="Send Hello with the token first."
            ) from None
        connection.speaks_json = isinstance(data, str)
        message = wire.parse(data)
        if message.WhichOneof("body") != "hello":
            raise MessageInvalid("the first message is no Hello", hint="Send Hello with the token first.")
        connection.hello = message.hello
        wire.check_version(message.hello)
        return message.hello

    async def _read(self, connection: _Connection, channel: Channel) -> None:
        limit = RateLimit(per_s=self._config.messages_per_s, burst=5 * self._config.messages_per_s)
        async for data in connection.socket:
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
                event_id = message.event.event_id if message.HasField("event") else 0
                await connection.send(wire.error_of(error, event_id=event_id))

    async def _handle(self, connection: _Connection, channel: Channel, message: pb.ClientMessage) -> None:
        match message.WhichOneof("body"):
            case "event":
                await self._take(connection, channel, message.event)
            case "report":
                channel.report_buffer(message.report)
            case "heartbeat":
                await connection.send(pb.ServerMessage(heartbeat=message.heartbeat))
            case _:
                raise MessageInvalid("a second Hello", hint="Say Hello once a connection.")

    async def _take(self, connection: _Connection, channel: Channel, message: pb.Event) -> None:
        event = event_of(message, prompt_chars=self._cluster.preset.limits.prompt_chars)
        channel.offer(event)
        accepted = pb.Accepted(event_id=message.event_id, client_time_us=message.client_time_us)
        await connection.send(pb.ServerMessage(accepted=accepted))
        if isinstance(event, Pause | Play):
            await channel.report(Progress(phase=Phase.PAUSED if channel.is_paused() else Phase.PLAYING))


class _Connection:
    """A WebSocket, and in which form its client speaks."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.hello: pb.Hello | None = None
        self.watching: Watching | None = None
        self.speaks_json = False
        """Hello was JSON: so are the answers."""

    async def send(self, message: pb.ServerMessage) -> None:
        """Send, and wait while the client is slow. What a closed connection misses is lost: its client comes again."""
        try:
            await self.socket.send(wire.to_json(message) if self.speaks_json else message.SerializeToString())
        except ConnectionClosed:
            log.debug("a message of type %s met a closed connection", message.WhichOneof("body"))
