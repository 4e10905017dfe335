"""A session's inputs on their way to the world, and its player's reports."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from ..cluster.events import Event, Pace, Rewind, pace_after
from ..cluster.messages import ChunkNote, InputBatch
from ..cluster.playout import PlayOut
from ..errors import Overloaded, SessionEnded, StaleEpoch
from ..model.clip import FIRST_CLIP_FRAMES
from .latency import ActionLatency, Observe
from .protocol.generated import session_pb2 as pb

MAX_PENDING_EVENTS = 1024
START_GRACE_S = 1.0
"""A world's first chunk waits this long after Welcome for the player's first event."""
POLL_S = 1.0
"""A group that asks for inputs hears at least this often that there is nothing to do."""


class Inputs:
    """Inputs wait here until their chunk is on its way to the player, so that a new owner of the session finds them."""

    def __init__(
        self,
        session: str,
        *,
        frame_rate: float,
        last_event_id: int = 0,
        clock: Callable[[], float] = time.monotonic,
        on_latency: Observe = lambda seconds: None,
    ) -> None:
        """Events up to `last_event_id` have been taken. `on_latency` hears for each event how long the player waited
        for its first frame."""
        self._session = session
        self._clock = clock
        self._frame_rate = frame_rate
        self._playout = self._new_playout(0)
        self._pending: dict[int, Event] = {}
        self._last_applied = self._committed = last_event_id
        self._latency = ActionLatency(on_latency)
        self._pace = Pace.PLAYING
        """After the events up to `_committed`."""
        self._epoch = 0
        self._has_player = False
        self._connected_at = 0.0
        self._is_closed = False
        self._changed = asyncio.Event()

    @property
    def last_event_id(self) -> int:
        """The newest event that was taken."""
        return max(self._last_applied, *self._pending, 0)

    @property
    def is_paused(self) -> bool:
        """Whether the player wants no more chunks for now."""
        return pace_after(self._pace, self._events_after(self._committed)) is Pace.PAUSED

    def connect(self, shown_frames: int) -> None:
        """A player is there, and has been shown the frames below this id."""
        self._has_player = True
        self._connected_at = self._clock()
        self._playout = self._new_playout(shown_frames)
        self._changed.set()

    def disconnect(self) -> None:
        """The player is gone; the world waits."""
        self._has_player = False

    def close(self) -> None:
        """The session has ended: owners that ask for inputs are told so."""
        self._is_closed = True
        self._changed.set()

    def admit(self, epoch: int) -> None:
        """Raises StaleEpoch to an owner of the session that has been replaced, SessionEnded when there is none."""
        if self._is_closed:
            raise SessionEnded(f"session {self._session} has ended")
        if epoch < self._epoch:
            raise StaleEpoch(f"epoch {epoch} of session {self._session} has been replaced by {self._epoch}")
        self._epoch = epoch

    def offer(self, event: Event) -> None:
        """Take an input. One that was taken before has no second effect. Raises Overloaded when too many wait."""
        if event.event_id <= self._last_applied or event.event_id in self._pending:
            return
        if len(self._pending) >= MAX_PENDING_EVENTS:
            raise Overloaded(f"{len(self._pending)} events wait to be applied", hint="Send fewer and wait for Applied.")
        self._pending[event.event_id] = event
        self._latency.offered(event.event_id, self._clock())
        self._changed.set()

    def report(self, report: pb.BufferReport) -> None:
        """How far the player is."""
        self._latency.shown(report.next_frame_id, self._clock())
        self._playout.reported(
            report.next_frame_id,
            self._clock(),
            stalled_s=report.stalled_ms * 1e-3,
            round_trip_s=report.round_trip_ms * 1e-3,
        )
        self._changed.set()

    def goes_on(self, epoch: int, *, after_event: int, pace: Pace) -> None:
        """The session's owner has committed what came up to `after_event`, and goes on at this pace. Raises StaleEpoch
        to an owner that has been replaced, SessionEnded when there is no session."""
        self.admit(epoch)
        self._committed, self._pace = after_event, pace

    async def collect(self, epoch: int, *, next_frame_id: int) -> InputBatch:
        """Wait until the chunk that starts at `next_frame_id` has to be planned, then hand out the events that are not
        committed. Raises as `goes_on`."""
        self.admit(epoch)
        after_event = self._committed
        give_up = self._clock() + POLL_S
        while (wait_s := self._due_in_s(next_frame_id, after_event)) > 0:
            left_s = give_up - self._clock()
            if left_s <= 0:
                return InputBatch(is_due=False)
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(wait_s, left_s)):
                    await self._changed.wait()
            self.admit(epoch)
        self._playout.planned(next_frame_id, self._clock())
        return InputBatch(is_due=True, events=self._events_after(after_event))

    def arrived(self, frame_id: int) -> None:
        """A frame has come from the decoder."""
        self._playout.arrived(frame_id, self._clock())
        self._changed.set()

    def applied(self, note: ChunkNote) -> None:
        """A chunk is committed: the events that it took are done."""
        for event_id, frame_id in note.applied:
            self._latency.applied(event_id, frame_id)
            self._pending.pop(event_id, None)
            self._last_applied = max(self._last_applied, event_id)

    def branched(self, next_frame_id: int) -> tuple[int, ...]:
        """Frames below this will not be shown any more. Returns the events that are committed, and whose chunks will
        therefore never tell: they are done."""
        self._playout.branched(next_frame_id)
        done = tuple(event_id for event_id in self._pending if event_id <= self._committed)
        for event_id in done:
            del self._pending[event_id]
        self._last_applied = max(self._last_applied, *done, 0)
        return done

    def _new_playout(self, shown_frames: int) -> PlayOut:
        return PlayOut(
            frame_rate=self._frame_rate, max_lead_s=FIRST_CLIP_FRAMES / self._frame_rate, shown_frames=shown_frames
        )

    def _due_in_s(self, next_frame_id: int, after_event: int) -> float:
        events = self._events_after(after_event)
        if not self._has_player or pace_after(self._pace, events) is Pace.PAUSED:
            return POLL_S
        if any(isinstance(event, Rewind) for event in events):
            return 0.0
        due_s = self._playout.due_in_s(next_frame_id, self._clock())
        if next_frame_id == 0 and not events:
            due_s = max(due_s, self._connected_at + START_GRACE_S - self._clock())
        return due_s

    def _events_after(self, event_id: int) -> tuple[Event, ...]:
        return tuple(event for number, event in self._pending.items() if number > event_id)
