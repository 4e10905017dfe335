"""How long inputs wait for their first frame, as the gateway sees it. Times are seconds of one clock."""

from __future__ import annotations

from collections.abc import Callable

Observe = Callable[[float], None]
"""Takes one measured duration, in seconds."""
MAX_WAITING = 1024


class ActionLatency:
    """From an event's arrival to the report that its first frame has been shown: with a network way back."""

    def __init__(self, observe: Observe) -> None:
        self._observe = observe
        self._offered_at: dict[int, float] = {}
        self._shows_at_frame: dict[int, int] = {}

    def offered(self, event_id: int, now: float) -> None:
        """The event came for the first time."""
        if len(self._offered_at) < MAX_WAITING:
            self._offered_at[event_id] = now

    def applied(self, event_id: int, frame_id: int) -> None:
        """The event shapes the frames from this one on."""
        if event_id in self._offered_at:
            self._shows_at_frame[event_id] = frame_id

    def shown(self, next_frame_id: int, now: float) -> None:
        """All frames below this have been shown."""
        done = [event for event, frame in self._shows_at_frame.items() if frame < next_frame_id]
        for event in done:
            del self._shows_at_frame[event]
            self._observe(now - self._offered_at.pop(event))
