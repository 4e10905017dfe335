"""Frames that wait to be shown, and what the service is told of them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from .errors import WorldError
from .protocol import session_pb2 as pb

MAX_WAITING = 512
"""Frames that may wait for a slow caller; beyond, reading stops and the service is held back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """An encoded frame."""

    frame: pb.Frame
    received_s: float
    """On the monotonic clock."""
    is_shown: bool
    """False: it was there before, or the world has gone back behind it; but the decoder may need it."""


class PlayOut:
    """A queue of frames in order of their ids, each shown at most once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.next_frame_id = 0
        """Frame ids below this have come."""
        self._clock = clock
        self._frame_rate = 1.0
        self._waiting: deque[Received] = deque()
        self._in_hand: Received | None = None
        """The frame that waits for its moment, and is in the queue no more."""
        self._changed = asyncio.Condition()
        self._flushed_below = 0
        self._shown_below = 0
        self._due_s: float | None = None
        self.stalled_s = 0.0
        """Time without a frame to show, for a paced caller."""
        self._end: WorldError | None = None

    def set_rate(self, frame_rate: float) -> None:
        """How fast a paced caller is given frames."""
        self._frame_rate = frame_rate

    async def put(self, frame: pb.Frame) -> None:
        """Take a frame; waits while too many wait. A stream that begins anew may begin with frames from before."""
        received = Received(frame=frame, received_s=self._clock(), is_shown=frame.frame_id >= self.next_frame_id)
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._waiting) < MAX_WAITING)
            self.next_frame_id = max(self.next_frame_id, frame.frame_id + 1)
            self._waiting.append(received)
            self._changed.notify_all()

    def flush(self, below: int) -> None:
        """The world has gone back: show no frame with a smaller id any more."""
        self._flushed_below = max(self._flushed_below, below)
        self._shown_below = max(self._shown_below, min(below, self.next_frame_id))

    async def end(self, error: WorldError) -> None:
        """No more frames will come."""
        async with self._changed:
            self._end = error
            self._changed.notify_all()

    async def take(self, *, is_paced: bool) -> Received:
        """The next frame, which then counts as shown. Paced: at its moment. Raises what ended the stream, after its
        frames.

        A frame is due one frame's time after the last one; a late one is shown when it comes, and the next ones follow
        it.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting or self._end is not None)
            if not self._waiting:
                assert self._end is not None
                raise self._end
            taken = self._waiting.popleft()
            self._changed.notify_all()
        if is_paced and self._is_to_show(taken):
            self._in_hand = taken
            try:
                await self._wait_until_due(taken.received_s)
            finally:
                self._in_hand = None
        self._shown_below = max(self._shown_below, taken.frame.frame_id + 1)
        return replace(taken, is_shown=self._is_to_show(taken))

    def report(self) -> pb.BufferReport:
        """How far the caller is."""
        buffered = sum(map(self._is_to_show, self._waiting))
        if self._in_hand is not None:
            buffered += self._is_to_show(self._in_hand)
        return pb.BufferReport(
            next_frame_id=self._shown_below,
            buffered_ms=round(1000 * buffered / self._frame_rate),
            stalled_ms=round(1000 * self.stalled_s),
        )

    def _is_to_show(self, received: Received) -> bool:
        return received.is_shown and received.frame.frame_id >= self._flushed_below

    async def _wait_until_due(self, received_s: float) -> None:
        now = self._clock()
        due_s = now if self._due_s is None else self._due_s
        if received_s > due_s:
            self.stalled_s += received_s - due_s
        await asyncio.sleep(max(0.0, due_s - now))
        self._due_s = max(due_s, received_s) + 1 / self._frame_rate
