"""The sessions of one gateway: connections come in by their credentials, and are seated here or at another gateway."""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from ..cluster.attendance import Admission, Claim, GatewayBeat, Role
from ..cluster.messages import SessionInfo
from ..errors import SessionEnded, WorldloomError, WrongGateway
from ..model.preset import Preset
from . import wire
from .channel import Channel, Guest
from .latency import Observe
from .mailbox import outgoing
from .protocol.generated import session_pb2 as pb
from .seat import LocalSeat, Seat
from .tickets import Tickets, check_origin
from .wire_frames import format_of, rungs_of

MAX_ENDED = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class HallConfig:
    """What connections are told, and who may come."""

    name: str
    """Of the gateway."""
    origins: tuple[str, ...] = ()
    """Web origins whose pages may connect; empty: any."""
    heartbeat_s: float = 10.0
    max_message_bytes: int = 1 << 20
    messages_per_s: float = 200.0


class Neighbours(Protocol):
    """The rest of the service, as a hall sees it."""

    async def admit(self, claim: Claim, connection: str) -> Admission: ...

    async def left(self, connection: str) -> None: ...

    async def sit_elsewhere(self, home: str, info: SessionInfo, guest: Guest, claim: Claim) -> Seat: ...


class Hall:
    """Knows the channels of the sessions whose home this gateway is, and who is connected to this gateway."""

    def __init__(
        self,
        config: HallConfig,
        *,
        preset: Preset,
        tickets: Tickets,
        neighbours: Neighbours,
        on_latency: Observe = lambda seconds: None,
        on_first_frame: Observe = lambda seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`on_latency` and `on_first_frame`: see `Channel`."""
        self._config = config
        self._preset = preset
        self._tickets = tickets
        self._neighbours = neighbours
        self._on_latency = on_latency
        self._on_first_frame = on_first_frame
        self._clock = clock
        self._channels: dict[str, Channel] = {}
        self._guests: dict[str, tuple[str, Role]] = {}
        """Connection → (session, role), of all who are connected here."""
        self._ended: deque[str] = deque(maxlen=MAX_ENDED)
        """The last sessions that ended: their owners may not have heard of it yet."""

    async def enter(self, hello: pb.Hello, *, origin: str | None) -> tuple[str, Seat]:
        """Let a connection in. Returns its id and its seat, whose first message is Welcome.

        Raises VersionMismatch, NotAuthorized, PlayerTaken, Overloaded, MessageInvalid, SessionUnknown.
        """
        wire.check_version(hello)
        claim = self._tickets.read(hello)
        check_origin(origin, claim=claim, allowed=self._config.origins)
        connection = uuid.uuid4().hex
        guest = self._guest(hello, claim, connection)
        admission = await self._neighbours.admit(claim, connection)
        info = admission.info
        self._guests[connection] = (info.session, claim.role)
        try:
            if admission.home == self._config.name:
                return connection, self.sit(info, guest, claim)
            return connection, await self._neighbours.sit_elsewhere(admission.home, info, guest, claim)
        except BaseException:
            await self.left(connection)
            raise

    async def left(self, connection: str) -> None:
        """A connection is over."""
        self._guests.pop(connection, None)
        await self._neighbours.left(connection)

    def sit(self, info: SessionInfo, guest: Guest, claim: Claim) -> LocalSeat:
        """Seat a guest of any gateway in a session whose home is here."""
        if info.session not in self._channels:
            self._channels[info.session] = Channel(
                info,
                frame_rate=self._preset.video.frame_rate,
                clock=self._clock,
                on_latency=self._on_latency,
                on_first_frame=self._on_first_frame,
            )
        channel = self._channels[info.session]
        member = channel.sit(guest, info.next_frame_id)
        member.mailbox.put(outgoing(self._welcome(info, channel, guest, claim, member.next_frame_id)))
        channel.begin(member)
        return LocalSeat(channel, member, prompt_chars=self._preset.limits.prompt_chars)

    def channel(self, session: str) -> Channel:
        """Raises SessionEnded, or WrongGateway where the session's home is elsewhere."""
        if session in self._channels:
            return self._channels[session]
        if session in self._ended:
            raise SessionEnded(f"session {session} has ended")
        raise WrongGateway(f"this gateway does not have session {session}", hint="Ask the directory.")

    def find(self, session: str) -> Channel | None:
        """The session's channel, if its home is here."""
        return self._channels.get(session)

    def end_session(self, session: str, error: WorldloomError | None) -> None:
        """Tell all that the session is over, and why if that is an error, and forget it."""
        self._ended.append(session)
        self._close(session, wire.bye("the session has ended"), error)

    def drop(self, session: str) -> None:
        """The session's home is another gateway by now: its connections come back, and find it."""
        self._close(session, wire.bye("the session has moved", reconnect=True), None)

    def close(self, *, reconnect: bool) -> None:
        """Say goodbye to everybody."""
        for session in list(self._channels):
            self._close(session, wire.bye("this gateway stops", reconnect=reconnect), None)

    def beat(self) -> GatewayBeat:
        """What the directory is told."""
        return GatewayBeat(gateway=self._config.name, homes=tuple(self._channels), guests=dict(self._guests))

    def _close(self, session: str, farewell: pb.ServerMessage, error: WorldloomError | None) -> None:
        channel = self._channels.pop(session, None)
        if channel is not None:
            channel.end(farewell, error)

    def _guest(self, hello: pb.Hello, claim: Claim, connection: str) -> Guest:
        video = pb.VideoRequest()
        video.CopyFrom(hello.video)
        limits = [limit for limit in (claim.max_kbit_per_s, video.max_kbit_per_s) if limit]
        video.max_kbit_per_s = min(limits, default=0)
        return Guest(
            connection=connection,
            seat=claim.seat or uuid.uuid4().hex,
            role=claim.role,
            is_owner=bool(claim.token_hash),
            resumes=bool(claim.seat),
            next_frame_id=hello.next_frame_id,
            rungs=rungs_of(video, self._preset.video),
        )

    def _welcome(
        self, info: SessionInfo, channel: Channel, guest: Guest, claim: Claim, next_frame_id: int
    ) -> pb.ServerMessage:
        config = self._config
        welcome = wire.welcome(info, self._preset, role=guest.role, last_event_id=channel.inputs.last_event_id)
        welcome.format.CopyFrom(format_of(guest.rungs[0], self._preset.video.frame_rate))
        welcome.next_frame_id = next_frame_id
        welcome.heartbeat_s, welcome.grace_s = config.heartbeat_s, channel.limits.grace_s
        welcome.resume_token = self._tickets.resume_token(replace(claim, role=guest.role), info.session, guest.seat)
        limits = welcome.limits
        limits.message_bytes, limits.messages_per_s = config.max_message_bytes, config.messages_per_s
        return pb.ServerMessage(welcome=welcome)
