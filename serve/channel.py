"""One session's side of the gateway: inputs on their way to the world, and frames on their way to the player."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from ..cluster.controls import Event
from ..cluster.messages import FramePacket, InputBatch, Progress
from ..cluster.playout import PlayOut
from ..errors import Overloaded, SessionEnded, StaleEpoch
from ..model.clip import FIRST_CLIP_FRAMES
from .protocol import session_pb2 as pb
from .wire import applied_of, frame_of, status_of

MAX_PENDING_EVENTS = 1024
START_GRACE_S = 1.0
"""A world's first chunk waits this long after Welcome for the player's first Controls or Script."""
POLL_S = 1.0
"""A group that asks for inputs hears at least this often that there is nothing to do."""

Send = Callable[[pb.ServerMessage], Awaitable[None]]
"""Sends to the player, waits while the connection is slow, and does nothing once it is closed."""


class Channel:
    """Inputs wait here until their chunk is on its way to the player, so that a new owner of the session finds them."""

    def __init__(self, session: str, *, frame_rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.session = session
        self.next_frame_id: int | None = None
        """Frame ids below this have been sent. None: this gateway has seen no frame of the session yet."""
        self._clock = clock
        self._frame_rate = frame_rate
        self._playout = self._new_playout(0)
        self._pending: dict[int, Event] = {}
        self._last_applied = 0
        self._epoch = 0
        self._send: Send | None = None
        self._connected_at = 0.0
        self._is_closed = False
        self._changed = asyncio.Event()

    def last_event_id(self) -> int:
        """The newest event that was taken."""
        return max(self._last_applied, *self._pending, 0)

    def connect(self, send: Send) -> None:
        """A player is there."""
        self._send = send
        self._connected_at = self._clock()
        self._playout = self._new_playout(self.next_frame_id or 0)
        self._changed.set()

    def disconnect(self) -> None:
        """The player is gone; the world waits."""
        self._send = None

    def close(self) -> None:
        """The session has ended: owners that ask for inputs are told so."""
        self._is_closed = True
        self._changed.set()

    def offer(self, event: Event) -> None:
        """Take an input. One that was taken before has no second effect. Raises Overloaded when too many wait."""
        if event.event_id <= self._last_applied or event.event_id in self._pending:
            return
        if len(self._pending) >= MAX_PENDING_EVENTS:
            raise Overloaded(f"{len(self._pending)} events wait to be applied", hint="Send fewer and wait for Applied.")
        self._pending[event.event_id] = event
        self._changed.set()

    def acknowledge(self, frame_id: int) -> None:
        """The player has shown this frame."""
        if frame_id < (self.next_frame_id or 0):
            self._playout.acknowledged(frame_id, self._clock())
            self._changed.set()

    async def collect(self, epoch: int, *, after_event: int, next_frame_id: int) -> InputBatch:
        """Wait until the chunk that starts at `next_frame_id` has to be planned, then hand out the events after
        `after_event`. Raises StaleEpoch to an owner that has been replaced, SessionEnded when there is no session."""
        self._admit(epoch)
        give_up = self._clock() + POLL_S
        while (wait_s := self._due_in_s(next_frame_id)) > 0:
            left_s = give_up - self._clock()
            if left_s <= 0:
                return InputBatch(is_due=False)
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(wait_s, left_s)):
                    await self._changed.wait()
            self._admit(epoch)
        self._playout.planned(next_frame_id, self._clock())
        return InputBatch(
            is_due=True, events=tuple(event for event_id, event in self._pending.items() if event_id > after_event)
        )

    async def push(self, packets: tuple[FramePacket, ...]) -> None:
        """Send the frames that have not been sent yet; returns when the connection has taken them."""
        for packet in packets:
            if packet.frame_id < (self.next_frame_id or 0):
                continue
            self.next_frame_id = packet.frame_id + 1
            self._playout.arrived(packet.frame_id, self._clock())
            if packet.applied is not None:
                self._settle(packet.applied)
                await self.send(applied_of(packet))
            await self.send(frame_of(packet, self._frame_rate))

    async def report(self, progress: Progress) -> None:
        """Tell the player how far the session is."""
        await self.send(status_of(progress))

    async def send(self, message: pb.ServerMessage) -> None:
        """To the player, if there is one."""
        if self._send is not None:
            await self._send(message)

    def _new_playout(self, shown_frames: int) -> PlayOut:
        return PlayOut(
            frame_rate=self._frame_rate, max_lead_s=FIRST_CLIP_FRAMES / self._frame_rate, shown_frames=shown_frames
        )

    def _admit(self, epoch: int) -> None:
        if self._is_closed:
            raise SessionEnded(f"session {self.session} has ended")
        if epoch < self._epoch:
            raise StaleEpoch(f"epoch {epoch} of session {self.session} has been replaced by {self._epoch}")
        self._epoch = epoch

    def _due_in_s(self, next_frame_id: int) -> float:
        if self._send is None:
            return POLL_S
        due_s = self._playout.due_in_s(next_frame_id, self._clock())
        if next_frame_id == 0 and not self._pending:
            due_s = max(due_s, self._connected_at + START_GRACE_S - self._clock())
        return due_s

    def _settle(self, applied: tuple[tuple[int, int], ...]) -> None:
        for event_id, _ in applied:
            self._pending.pop(event_id, None)
            self._last_applied = max(self._last_applied, event_id)
