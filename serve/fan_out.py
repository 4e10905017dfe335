"""A session's stream on its way to all who follow it: each has a bounded mailbox, and nobody waits for another."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ..cluster.attendance import Role
from ..cluster.messages import BranchNote, FramePacket
from ..cluster.video import Rung, RungWish, VideoPiece
from .mailbox import Mailbox, Outgoing, outgoing
from .protocol.generated import session_pb2 as pb
from .quality import RungSteering
from .watching import Watching, merged
from .wire_frames import applied_of, branched_of, format_of, frame_of

HISTORY_FRAMES = 256
HISTORY_BYTES = 16 << 20

Pieces = tuple[VideoPiece, ...]
"""One piece of a chunk, in all rungs that are watched."""


@dataclass(slots=True, eq=False)
class Member:
    """One connection that follows the stream."""

    connection: str
    seat: str
    """The same again after a reconnect."""
    role: Role
    mailbox: Mailbox
    watching: Watching
    steering: RungSteering
    next_frame_id: int = 0
    """Frames below this are not sent to it."""


class FanOut:
    """Keeps the newest pieces besides, for those who come back and those who join."""

    def __init__(self, *, frame_rate: float, next_frame_id: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.next_frame_id = next_frame_id
        """Frame ids below this have been sent."""
        self._frame_rate = frame_rate
        self._members: dict[str, Member] = {}
        self._history: deque[Pieces] = deque()
        self._history_bytes = 0
        self._branched: BranchNote | None = None

    @property
    def members(self) -> tuple[Member, ...]:
        """All who follow."""
        return tuple(self._members.values())

    def member(self, connection: str) -> Member | None:
        """Who has this connection."""
        return self._members.get(connection)

    def start_of(self, rung: Rung, frame_id: int) -> int | None:
        """Where to begin sending, so that a decoder that has nothing can show `frame_id` and all after it: at the last
        key frame up to there, of which the newest pieces have been kept. None: those do not reach back so far."""
        if self._branched is not None:
            frame_id = max(frame_id, self._branched.next_frame_id)
        if frame_id >= self.next_frame_id:
            return frame_id
        return max((key for key in self._key_frames(rung) if key <= frame_id), default=None)

    def newest_start(self, rung: Rung) -> int:
        """Where to begin for somebody who has missed nothing: at the newest key frame that has been kept."""
        return max(self._key_frames(rung), default=self.next_frame_id)

    def join(self, member: Member) -> None:
        """Add a member, and send it what there is from its `next_frame_id` on."""
        if self._branched is not None and 0 < member.next_frame_id <= self._branched.next_frame_id:
            member.mailbox.put(outgoing(branched_of(self._branched)))
        self._members[member.connection] = member
        for pieces in self._history:
            self._show(pieces, {}, member)

    def leave(self, connection: str) -> None:
        """The member is gone."""
        self._members.pop(connection, None)

    def start_again(self, frame_id: int) -> None:
        """The stream is followed anew from this frame on. Members that have had these frames do not get them again."""
        self._history.clear()
        self._history_bytes = 0
        self.next_frame_id = frame_id

    def wishes(self) -> tuple[RungWish, ...]:
        """What has to be encoded. Nothing, while a player who is alone has enough to read: it misses no frame, and
        nobody waits for it."""
        members = self.members
        if len(members) == 1 and members[0].role is Role.PLAYER and members[0].mailbox.is_half_full:
            return ()
        return merged(wish for member in self._members.values() for wish in member.watching.wishes())

    def push(self, pieces: Pieces) -> None:
        """Send one piece. A piece that has been sent before is not sent again."""
        end = _end(pieces)
        if end <= self.next_frame_id:
            return
        encoded: dict[Rung, list[Outgoing]] = {}
        for member in self._members.values():
            self._show(pieces, encoded, member)
        self._remember(pieces)
        self.next_frame_id = end

    def branched(self, note: BranchNote) -> None:
        """The world goes on from an earlier place: frames of the old branch are not sent any more."""
        self._branched = note
        self.start_again(max(note.next_frame_id, self.next_frame_id))
        message = outgoing(branched_of(note))
        for member in self._members.values():
            if member.mailbox.drop_frames():
                member.watching.lost()
            member.next_frame_id = max(member.next_frame_id, note.next_frame_id)
            member.mailbox.put(message)

    def tell(self, message: pb.ServerMessage) -> None:
        """Send something to all."""
        encoded = outgoing(message)
        for member in self._members.values():
            member.mailbox.put(encoded)

    def _show(self, pieces: Pieces, encoded: dict[Rung, list[Outgoing]], member: Member) -> None:
        """Send the piece to a member, as far as it has not had it and has room. `encoded` is filled once for all."""
        first, start = pieces[0].packets[0], member.next_frame_id
        if _end(pieces) <= start:
            return
        if first.note is not None and start <= first.frame_id:
            member.mailbox.put(outgoing(applied_of(first.note)))
        member.next_frame_id = _end(pieces)
        new_rung, packets = member.watching.take(pieces)
        if new_rung is not None:
            member.mailbox.put(outgoing(pb.ServerMessage(format=format_of(new_rung, self._frame_rate))))
        rung = member.watching.sent
        if rung is None:
            return
        if rung not in encoded:
            encoded[rung] = [outgoing(frame_of(packet, self._frame_rate)) for packet in packets]
        now = self._clock()
        for packet, message in zip(packets, encoded[rung], strict=True):
            if packet.frame_id < start:
                continue
            if not member.mailbox.put(message):
                member.watching.lost()
                member.steering.lost()
                return
            member.steering.sent(packet.frame_id, now)

    def _key_frames(self, rung: Rung) -> list[int]:
        """Ids of the rung's key frames from which on nothing of it is missing."""
        keys: list[int] = []
        for pieces in self._history:
            packets = _packets(pieces, rung)
            if not packets:
                keys.clear()
            keys += [packet.frame_id for packet in packets if packet.key_frame]
        return keys

    def _remember(self, pieces: Pieces) -> None:
        self._history.append(pieces)
        self._history_bytes += _size(pieces)
        oldest = _end(pieces) - HISTORY_FRAMES
        while self._history and (self._history_bytes > HISTORY_BYTES or _end(self._history[0]) <= oldest):
            self._history_bytes -= _size(self._history.popleft())


def _packets(pieces: Pieces, rung: Rung) -> tuple[FramePacket, ...]:
    return next((piece.packets for piece in pieces if piece.rung == rung), ())


def _end(pieces: Pieces) -> int:
    return pieces[0].packets[-1].frame_id + 1


def _size(pieces: Pieces) -> int:
    return sum(len(packet.data) for piece in pieces for packet in piece.packets)
