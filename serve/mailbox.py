"""What waits to be sent to one connection: bounded, whatever the connection does."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from .protocol.generated import session_pb2 as pb

MAX_MESSAGES = 4096
"""Messages other than frames and states that may wait: who lets more wait reads nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Outgoing:
    """One message, encoded once for all who get it."""

    data: bytes
    frame_id: int | None = None
    """None: no frame."""
    is_status: bool = False
    """A newer one makes it worthless."""


def outgoing(message: pb.ServerMessage) -> Outgoing:
    """The message, ready to be put into mailboxes."""
    data = message.SerializeToString()
    if message.HasField("frame"):
        return Outgoing(data, frame_id=message.frame.frame_id)
    return Outgoing(data, is_status=message.HasField("status"))


@dataclass(frozen=True, kw_only=True, slots=True)
class MailboxLimits:
    """Frames that may wait."""

    frames: int = 256
    """More than a player that reports can ever have ahead of it."""
    frame_bytes: int = 64 << 20


class Mailbox:
    """Messages in order. Where a frame does not fit, all frames that wait are dropped with it: to show them late would
    help nobody. What else there is must arrive; where too much of that waits the mailbox closes."""

    def __init__(self, limits: MailboxLimits) -> None:
        self._limits = limits
        self._waiting: deque[Outgoing] = deque()
        self._frames = 0
        self._frame_bytes = 0
        self._closed = False
        self._news = asyncio.Event()
        self.is_overrun = False
        """Closed because nobody has read for too long."""
        self.dropped_frames = 0

    def __len__(self) -> int:
        """Messages that wait."""
        return len(self._waiting)

    @property
    def is_half_full(self) -> bool:
        """Whether half of the room for frames is taken."""
        return 2 * self._frames >= self._limits.frames or 2 * self._frame_bytes >= self._limits.frame_bytes

    def put(self, message: Outgoing) -> bool:
        """Add a message. False: it is a frame for which there was no room, and with it all frames that waited are lost;
        or the mailbox is closed."""
        if self._closed:
            return False
        is_taken = True
        if message.frame_id is not None:
            is_taken = self._put_frame(message)
        elif message.is_status and self._waiting and self._waiting[-1].is_status:
            self._waiting[-1] = message
        else:
            self._put_other(message)
        self._news.set()
        return is_taken

    def drop_frames(self) -> int:
        """Forget the frames that wait. Returns how many."""
        dropped = self._frames
        self._waiting = deque(message for message in self._waiting if message.frame_id is None)
        self._frames = self._frame_bytes = 0
        self.dropped_frames += dropped
        return dropped

    def close(self) -> None:
        """Take nothing more in. What waits can still be taken out."""
        self._closed = True
        self._news.set()

    async def take(self, *, max_bytes: int = 1) -> list[Outgoing]:
        """Wait for messages, and take at least one, more only up to `max_bytes`. Empty: closed, and all is taken."""
        while not self._waiting and not self._closed:
            self._news.clear()
            await self._news.wait()
        taken: list[Outgoing] = []
        size = 0
        while self._waiting and (not taken or size + len(self._waiting[0].data) <= max_bytes):
            message = self._waiting.popleft()
            size += len(message.data)
            if message.frame_id is not None:
                self._frames -= 1
                self._frame_bytes -= len(message.data)
            taken.append(message)
        return taken

    def _put_frame(self, message: Outgoing) -> bool:
        limits = self._limits
        if self._frames >= limits.frames or self._frame_bytes + len(message.data) > limits.frame_bytes:
            self.dropped_frames += 1
            self.drop_frames()
            return False
        self._waiting.append(message)
        self._frames += 1
        self._frame_bytes += len(message.data)
        return True

    def _put_other(self, message: Outgoing) -> None:
        if len(self._waiting) - self._frames >= MAX_MESSAGES:
            self.is_overrun = True
            self.close()
            return
        self._waiting.append(message)
