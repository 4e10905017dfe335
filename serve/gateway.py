"""The gateway: servers for WebSocket and gRPC in a Ray actor. It takes inputs in and fans frames out; worlds live
elsewhere."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

import ray
from websockets.asyncio.server import Server

from ..cluster.attendance import Admission, Claim
from ..cluster.clients import DirectoryClient
from ..cluster.config import GATEWAY, ClusterConfig
from ..cluster.events import Pace
from ..cluster.gateways import Gateways
from ..cluster.messages import BranchNote, InputBatch, Progress, SessionInfo, StreamPlace
from ..cluster.verbs import Verbs
from ..cluster.video import RungWish, VideoPiece
from ..errors import WorkerLost, WorldloomError
from .addresses import Addresses
from .channel import Guest
from .conversation import ConversationConfig, Reception
from .grpc_server import GrpcLimits, GrpcServer
from .grpc_worlds import Worlds, WorldsConfig
from .hall import Hall, HallConfig
from .lodgers import Lodgers
from .metrics import StreamMetrics
from .seat import RemoteSeat, Seat
from .tickets import Tickets
from .tls import TlsFiles
from .websocket_server import Listen, serve_websocket

log = logging.getLogger(__name__)

ALL_ADDRESSES = ("0.0.0.0", "::", "")
LISTEN_TRIES = 25
LISTEN_AGAIN_S = 0.2
WATCH_S = 0.05
"""A decoder of which nothing is wanted asks again after this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayConfig:
    """Where the gateway listens and what a connection may send."""

    name: str = GATEWAY
    """Of the actor."""
    host: str = "127.0.0.1"
    public_host: str = ""
    """What clients call the host; empty: as it is called here."""
    port: int
    """Of the WebSocket."""
    grpc_port: int
    secret: str = field(repr=False)
    """Signs tickets and resume tokens; the same for all gateways of a service."""
    operator_key: str = field(default="", repr=False)
    """Who creates or imports a world over gRPC has to know it; empty: anybody may."""
    origins: tuple[str, ...] = ()
    """Web origins whose pages may connect; empty: any."""
    tls: TlsFiles | None = None
    """None: no encryption."""
    max_connections: int = 1024
    max_message_bytes: int = 1 << 20
    max_request_bytes: int = 20 << 20
    """Of a gRPC message that is not part of a stream: it may hold an image."""
    messages_per_s: float = 200.0
    """Sustained; five seconds' worth may come at once."""
    hello_timeout_s: float = 5.0
    heartbeat_s: float = 10.0
    """A connection that is silent for three times as long is closed; a WebSocket is asked whether it lives so often."""

    @property
    def addresses(self) -> Addresses:
        """Where clients find this gateway, if its ports are not 0. Where it listens on all of its host's addresses, and
        nobody says which one is public, it is the one that Ray uses."""
        host = self.public_host or self.host
        if host in ALL_ADDRESSES:
            host = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        return Addresses(host=host, port=self.port, grpc_port=self.grpc_port, is_secure=self.tls is not None)


class Gateway:
    """Other processes call the public methods; players and viewers come in by WebSocket and gRPC."""

    def __init__(self, cluster: ClusterConfig, config: GatewayConfig) -> None:
        self._cluster = cluster
        self._config = config
        self._directory = DirectoryClient(cluster)
        self._gateways = Gateways(cluster)
        metrics = StreamMetrics(cluster.preset.name)
        tickets = Tickets(config.secret)
        self._hall = Hall(
            HallConfig(
                name=config.name,
                origins=config.origins,
                heartbeat_s=config.heartbeat_s,
                max_message_bytes=config.max_message_bytes,
                messages_per_s=config.messages_per_s,
            ),
            preset=cluster.preset,
            tickets=tickets,
            neighbours=self,
            on_latency=metrics.action_to_frame,
            on_first_frame=metrics.create_to_frame,
        )
        conversations = ConversationConfig(
            messages_per_s=config.messages_per_s,
            hello_timeout_s=config.hello_timeout_s,
            heartbeat_s=config.heartbeat_s,
            max_connections=config.max_connections,
        )
        self._lodgers = Lodgers()
        self._reception = Reception(self._hall, conversations)
        self._worlds = Worlds(
            Verbs(cluster),
            tickets,
            WorldsConfig(preset=cluster.preset, addresses=config.addresses, operator_key=config.operator_key),
        )
        self._websocket: Server | None = None
        self._grpc: GrpcServer | None = None
        self._started = asyncio.ensure_future(self._start())
        self._beating = asyncio.ensure_future(self._beat())

    async def ready(self) -> None:
        """Returns once the gateway listens. Raises ConfigError when it cannot."""
        await self._started

    async def collect(self, session: str, epoch: int, after_event: int, next_frame_id: int, pace: Pace) -> InputBatch:
        """See `Channel.collect`."""
        channel = self._hall.channel(session)
        return await channel.collect(epoch, after_event=after_event, next_frame_id=next_frame_id, pace=pace)

    async def begin_stream(self, session: str, epoch: int) -> StreamPlace:
        """See `Channel.begin_stream`."""
        return self._hall.channel(session).begin_stream(epoch)

    async def stream_has_ended(self, session: str, stream: str) -> bool:
        """See `Channel.stream_has_ended`."""
        return await self._hall.channel(session).stream_has_ended(stream)

    async def wanted_video(self, session: str, stream: str) -> tuple[RungWish, ...]:
        """What to encode of the session's next piece. Where nothing is wanted, waits for a while, and returns nothing.
        Raises WrongGateway where another stream is to be followed, SessionEnded when there is no session."""
        channel = self._hall.channel(session)
        channel.require_stream(stream)
        if not channel.fan_out.wishes():
            await asyncio.sleep(WATCH_S)
        return channel.fan_out.wishes()

    async def push(self, session: str, stream: str, pieces: tuple[VideoPiece, ...]) -> None:
        """See `Channel.push`."""
        self._hall.channel(session).push(stream, pieces)

    async def next_frame_id(self, session: str) -> int:
        """The first frame of the session that has not been sent."""
        return self._hall.channel(session).fan_out.next_frame_id

    async def report(self, session: str, progress: Progress) -> None:
        """See `Channel.report`."""
        if (channel := self._hall.find(session)) is not None:
            channel.report(progress)

    async def branched(self, session: str, note: BranchNote) -> None:
        """See `Channel.branched`."""
        if (channel := self._hall.find(session)) is not None:
            channel.branched(note)

    async def refuse(self, session: str, event_id: int, error: WorldloomError) -> None:
        """See `Channel.refuse`."""
        if (channel := self._hall.find(session)) is not None:
            channel.refuse(event_id, error)

    async def end_session(self, session: str, error: WorldloomError | None) -> None:
        """See `Hall.end_session`."""
        self._hall.end_session(session, error)

    async def sit(self, info: SessionInfo, guest: Guest, claim: Claim) -> None:
        """Seat a guest of another gateway. Raises PlayerTaken, Overloaded."""
        self._lodgers.sit(guest.connection, self._hall.sit(info, guest, claim))

    async def seat_take(self, connection: str, data: bytes) -> None:
        """See `Lodgers.take`."""
        await self._lodgers.take(connection, data)

    async def seat_outgoing(self, connection: str) -> list[bytes] | None:
        """See `Lodgers.outgoing`."""
        return await self._lodgers.outgoing(connection)

    async def seat_leave(self, connection: str, is_bye: bool) -> None:
        """See `Lodgers.leave`."""
        await self._lodgers.leave(connection, is_bye=is_bye)

    async def stop(self, reconnect: bool = False) -> None:
        """Say goodbye to everybody, who may come again where another gateway is left, and stop listening."""
        self._beating.cancel()
        self._hall.close(reconnect=reconnect)
        await asyncio.wait((self._started,))
        if self._websocket is not None:
            self._websocket.close()
        if self._grpc is not None:
            await self._grpc.stop()

    async def admit(self, claim: Claim, connection: str) -> Admission:
        """For the hall: ask the directory."""
        return await self._directory.attach(claim, self._config.name, connection)

    async def left(self, connection: str) -> None:
        """For the hall: tell the directory."""
        await self._directory.detach(self._config.name, connection)

    async def sit_elsewhere(self, home: str, info: SessionInfo, guest: Guest, claim: Claim) -> Seat:
        """For the hall: seat a guest at another gateway."""
        peer = self._gateways[home]
        await peer.call("sit", info, guest, claim)
        return RemoteSeat(peer, guest.connection)

    async def _start(self) -> None:
        config = self._config
        await self._directory.gateway_started(config.name)
        listen = Listen(
            host=config.host,
            port=config.port,
            max_message_bytes=config.max_message_bytes,
            heartbeat_s=config.heartbeat_s,
            tls=None if config.tls is None else config.tls.context(),
        )
        limits = GrpcLimits(max_message_bytes=config.max_message_bytes, max_request_bytes=config.max_request_bytes)
        self._websocket = await self._listen(listen)
        self._grpc = GrpcServer(self._reception, self._worlds, limits)
        await self._grpc.start(config.host, config.grpc_port, tls=config.tls)

    async def _listen(self, listen: Listen) -> Server:
        """Wait for the port while the process that this one takes over from is still ending."""
        for _ in range(LISTEN_TRIES):
            try:
                return await serve_websocket(self._reception, listen)
            except OSError:
                await asyncio.sleep(LISTEN_AGAIN_S)
        return await serve_websocket(self._reception, listen)

    async def _beat(self) -> None:
        """Tell the directory who is here."""
        while True:
            await asyncio.sleep(self._cluster.beat_s)
            await self._lodgers.sweep()
            try:
                for session in await self._directory.gateway_beat(self._hall.beat()):
                    self._hall.drop(session)
            except WorkerLost:
                log.warning("the directory does not answer")
