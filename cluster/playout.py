"""How much of a stream is left to play, and when the next chunk has to be planned."""

from __future__ import annotations

from dataclasses import dataclass

MARGIN_S = 0.1
"""Planned before the last moment, for what varies from chunk to chunk."""
SAFETY = 1.25
"""How much longer than the last ones a chunk may take."""
SMOOTHING = 0.3
"""Weight of the newest chunk in the estimate of a chunk's time."""
STALL_S = 1.0
"""A player that acknowledges nothing for longer plays nothing: a hidden tab must not make the world run ahead."""


@dataclass(slots=True)
class PlayOut:
    """Follows one player's acknowledgements. Times are seconds of any one monotonic clock."""

    frame_rate: float
    max_lead_s: float
    """Never plan further ahead than this: about one chunk of play."""
    shown_frames: int = 0
    """Frames that have been shown, the newest among them included."""
    _shown_at: float | None = None
    _planned_at: tuple[int, float] | None = None
    _turnaround_s: float | None = None

    def planned(self, first_frame: int, now: float) -> None:
        """The chunk that starts at this frame id is being planned."""
        self._planned_at = (first_frame, now)

    def arrived(self, frame: int, now: float) -> None:
        """A frame came from the decoder. The first one of a planned chunk tells how long a chunk takes."""
        if self._planned_at is None or self._planned_at[0] != frame:
            return
        taken = now - self._planned_at[1]
        before = taken if self._turnaround_s is None else self._turnaround_s
        self._turnaround_s = before + SMOOTHING * (taken - before)
        self._planned_at = None

    def acknowledged(self, frame: int, now: float) -> None:
        """The player has shown this frame. An older acknowledgement than the newest changes nothing."""
        if frame + 1 > self.shown_frames:
            self.shown_frames = frame + 1
            self._shown_at = now

    @property
    def lead_s(self) -> float:
        """How long before the stream runs dry the next chunk has to be planned."""
        if self._turnaround_s is None:
            return self.max_lead_s
        return min(self._turnaround_s * SAFETY + MARGIN_S, self.max_lead_s)

    def due_in_s(self, next_frame: int, now: float) -> float:
        """Seconds until the chunk that starts at frame id `next_frame` has to be planned; at most 0 means now."""
        played_since = 0.0 if self._shown_at is None else min(now - self._shown_at, STALL_S)
        left_s = (next_frame - self.shown_frames) / self.frame_rate - played_since
        return left_s - self.lead_s
