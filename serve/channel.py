"""One session at its home gateway: a player whose inputs wait here, and all who follow its stream."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ..cluster.attendance import Role
from ..cluster.events import Event, Pace
from ..cluster.limits import SessionLimits
from ..cluster.messages import BranchNote, ChunkNote, InputBatch, Phase, Progress, SessionInfo, StreamPlace
from ..cluster.video import Rung
from ..errors import NotAuthorized, Overloaded, PlayerTaken, WorldloomError, WrongGateway
from .fan_out import FanOut, Member, Pieces
from .inputs import POLL_S, Inputs
from .latency import Observe
from .mailbox import Mailbox, MailboxLimits, outgoing
from .protocol.generated import session_pb2 as pb
from .quality import RungSteering
from .watching import Watching
from .wire import bye, error_of, status_of
from .wire_frames import applied_of

VIEWER_LIMITS = MailboxLimits(frames=128, frame_bytes=16 << 20)
PLAYER_LIMITS = MailboxLimits()


@dataclass(frozen=True, kw_only=True, slots=True)
class Guest:
    """Who comes to a session, as its home is told by the gateway that the connection is at."""

    connection: str
    seat: str
    """The same again after a reconnect."""
    role: Role
    is_owner: bool = False
    """Has the session's own token: need not wait for the end of a lost player's grace."""
    resumes: bool = False
    """Has had this seat before."""
    next_frame_id: int = 0
    """Frames below this have been received."""
    rungs: tuple[Rung, ...]
    """What can be sent, best first."""


@dataclass(slots=True, eq=False)
class _Player:
    seat: str
    connection: str | None
    """None: lost."""
    lost_at: float = 0.0


@dataclass(slots=True, eq=False)
class _Stream:
    """What one decoder sends, from the frame on that was next when it began."""

    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Channel:
    """One player and any number of viewers. A lost player's seat is kept for a while."""

    def __init__(
        self,
        info: SessionInfo,
        *,
        frame_rate: float,
        clock: Callable[[], float] = time.monotonic,
        on_latency: Observe = lambda seconds: None,
        on_first_frame: Observe = lambda seconds: None,
    ) -> None:
        """`info` says what is committed. `on_latency`: see `Inputs`. `on_first_frame` hears how long after the
        session's creation its first frame was sent."""
        self.session = info.session
        self._created_at = info.created_at
        self._on_first_frame = on_first_frame
        self.limits: SessionLimits = info.limits
        self.fan_out = FanOut(frame_rate=frame_rate, next_frame_id=info.next_frame_id, clock=clock)
        self.inputs = Inputs(
            info.session, frame_rate=frame_rate, last_event_id=info.last_event_id, clock=clock, on_latency=on_latency
        )
        self._clock = clock
        self._frame_rate = frame_rate
        self._player: _Player | None = None
        self._progress = Progress(phase=info.phase, branch=info.branch, chunk=info.chunk)
        self._stream = _Stream()
        """Until somebody begins one, nobody knows its name."""

    @property
    def viewers(self) -> int:
        """How many watch."""
        return sum(member.role is Role.VIEWER for member in self.fan_out.members)

    def sit(self, guest: Guest, committed_frames: int) -> Member:
        """Give a guest its place: the member that `begin` then sends the stream to. A connection that had the same seat
        is ended. `committed_frames` is the id of the first frame that is in no committed chunk.

        Raises PlayerTaken, Overloaded when too many watch.
        """
        before = self._holder(guest)
        if guest.role is Role.PLAYER:
            self._admit_player(guest)
        elif before is None and self.viewers >= self.limits.viewers:
            raise Overloaded(f"{self.viewers} watch this session already", hint="Come back later.")
        if before is not None:
            self._dismiss(before, bye("this place was taken over by a newer connection"))
        if guest.role is Role.PLAYER:
            self._player = _Player(guest.seat, guest.connection)
        limits = PLAYER_LIMITS if guest.role is Role.PLAYER else VIEWER_LIMITS
        return Member(
            connection=guest.connection,
            seat=guest.seat,
            role=guest.role,
            mailbox=Mailbox(limits),
            watching=Watching(guest.rungs[0]),
            steering=RungSteering(guest.rungs, frame_rate=self._frame_rate, now=self._clock()),
            next_frame_id=self._start(guest, min(guest.next_frame_id, committed_frames)),
        )

    def begin(self, member: Member) -> None:
        """Let the stream flow to a member that has been welcomed."""
        if member.role is Role.PLAYER:
            self.inputs.connect(member.next_frame_id)
        self.fan_out.join(member)
        self._tell_progress()

    def leave(self, connection: str, *, is_bye: bool) -> None:
        """A connection has ended: with a Bye, or it is lost and its seat kept for a while."""
        self.fan_out.leave(connection)
        if self._player is not None and self._player.connection == connection:
            self.inputs.disconnect()
            self._player = None if is_bye else _Player(self._player.seat, None, self._clock())
        self._tell_progress()

    def take(self, connection: str, event: Event) -> None:
        """An event from a connection. Raises NotAuthorized to viewers, Overloaded."""
        self._require_player(connection)
        self.inputs.offer(event)
        if self._progress.phase in (Phase.PLAYING, Phase.PAUSED):
            self._tell_pace()

    def report_buffer(self, connection: str, report: pb.BufferReport) -> None:
        """How far a client is: its quality follows, and the world's pace if it is the player. Frames that were never
        sent cannot have been shown."""
        member = self.fan_out.member(connection)
        if member is None or report.next_frame_id > self.fan_out.next_frame_id:
            return
        member.watching.wanted = member.steering.reported(
            report.next_frame_id,
            self._clock(),
            buffered_s=report.buffered_ms * 1e-3,
            stalled_s=report.stalled_ms * 1e-3,
            round_trip_s=report.round_trip_ms * 1e-3,
        )
        if member.role is Role.PLAYER:
            self.inputs.report(report)

    def begin_stream(self, epoch: int) -> StreamPlace:
        """Only who knows the place returned may send frames from now on. Raises StaleEpoch to an owner that has been
        replaced, SessionEnded when there is no session."""
        self.inputs.admit(epoch)
        self._end_stream()
        return StreamPlace(stream=self._stream.name, next_frame_id=self.fan_out.next_frame_id)

    async def stream_has_ended(self, stream: str) -> bool:
        """Wait for a while. True: it has to be begun anew."""
        now = self._stream
        if now.name == stream:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await now.ended.wait()
        return now.name != stream or now.ended.is_set()

    def require_stream(self, stream: str) -> None:
        """Raises WrongGateway unless this is what is followed now."""
        if stream != self._stream.name:
            raise WrongGateway("this stream is not followed any more", hint="Begin it anew.")

    def push(self, stream: str, pieces: Pieces) -> None:
        """One piece of the stream, in the rungs that are watched. Raises WrongGateway unless it is followed: a piece
        that was on its way while the stream moved would leave out frames, or continue another encoder's video."""
        self.require_stream(stream)
        packets = pieces[0].packets
        if self.fan_out.next_frame_id == 0 == packets[0].frame_id:
            self._on_first_frame(time.time() - self._created_at)
        for packet in packets:
            if packet.frame_id >= self.fan_out.next_frame_id:
                self.inputs.arrived(packet.frame_id)
                if packet.note is not None:
                    self.inputs.applied(packet.note)
        self.fan_out.push(pieces)

    def branched(self, note: BranchNote) -> None:
        """The world goes on from an earlier place."""
        self._end_stream()
        self.fan_out.branched(note)
        settled = self.inputs.branched(self.fan_out.next_frame_id)
        if settled:
            applied = ChunkNote(
                branch=note.branch,
                chunk=note.chunk,
                first_frame_id=note.next_frame_id,
                num_frames=0,
                applied=tuple((event_id, note.next_frame_id) for event_id in settled),
            )
            self.fan_out.tell(applied_of(applied))

    def refuse(self, event_id: int, error: WorldloomError) -> None:
        """An event cannot have its effect. The next chunk reports it as applied all the same."""
        self.fan_out.tell(error_of(error, event_id=event_id))

    def report(self, progress: Progress) -> None:
        """How far the session is."""
        self._progress = progress
        self._tell_progress()

    def end(self, farewell: pb.ServerMessage, error: WorldloomError | None = None) -> None:
        """Say goodbye to everybody, and why."""
        self.inputs.close()
        if error is not None:
            self.fan_out.tell(error_of(error))
        for member in self.fan_out.members:
            self._dismiss(member, farewell)

    async def collect(self, epoch: int, *, after_event: int, next_frame_id: int, pace: Pace) -> InputBatch:
        """See `Inputs.collect`. Whoever asks owns the session: it is neither queued nor recovering."""
        self.inputs.goes_on(epoch, after_event=after_event, pace=pace)
        self._tell_pace()
        return await self.inputs.collect(epoch, next_frame_id=next_frame_id)

    def _end_stream(self) -> None:
        before, self._stream = self._stream, _Stream()
        before.ended.set()

    def _start(self, guest: Guest, received: int) -> int:
        """Where a guest's stream begins."""
        fan_out, rung = self.fan_out, guest.rungs[0]
        if not received and not guest.resumes and fan_out.next_frame_id:
            received = self._newest(guest)
        start = fan_out.start_of(rung, received)
        if start is None and guest.role is Role.PLAYER:
            # The decoder goes back to what was lost on the way.
            fan_out.start_again(received)
            self._end_stream()
            return received
        return fan_out.newest_start(rung) if start is None else start

    def _newest(self, guest: Guest) -> int:
        """A player without a past is shown the frame that its world stands at."""
        newest = self.fan_out.newest_start(guest.rungs[0])
        return min(newest, self.fan_out.next_frame_id - 1) if guest.role is Role.PLAYER else newest

    def _holder(self, guest: Guest) -> Member | None:
        members = self.fan_out.members
        return next((member for member in members if guest.resumes and member.seat == guest.seat), None)

    def _admit_player(self, guest: Guest) -> None:
        player = self._player
        if player is None or (guest.resumes and player.seat == guest.seat):
            return
        if player.connection is not None:
            raise PlayerTaken("this session has a player", hint="Close the other page or client first.")
        left_s = player.lost_at + self.limits.grace_s - self._clock()
        if left_s > 0 and not guest.is_owner:
            raise PlayerTaken(f"this session's player may come back for {left_s:.0f} s", hint="Try again after that.")

    def _dismiss(self, member: Member, farewell: pb.ServerMessage) -> None:
        self.fan_out.leave(member.connection)
        member.mailbox.put(outgoing(farewell))
        member.mailbox.close()

    def _require_player(self, connection: str) -> None:
        if self._player is None or self._player.connection != connection:
            raise NotAuthorized("viewers do not play", hint="Ask the game for a player's ticket.")

    def _tell_pace(self) -> None:
        phase = Phase.PAUSED if self.inputs.is_paused else Phase.PLAYING
        if self._progress.phase is not phase:
            self.report(replace(self._progress, phase=phase, queue_position=0))

    def _tell_progress(self) -> None:
        self.fan_out.tell(status_of(self._progress, viewers=self.viewers))
