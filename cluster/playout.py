"""How much of a stream is left to play, and when the next chunk has to be planned.

A chunk is planned as late as it can be without the stream running dry, so that the newest input counts. The way from a
plan to its first frame takes C seconds, so an input waits for the next plan, at most one chunk of play, then C and a
margin. The margin follows how much C varies, and grows while the player reports that it has stalled.
"""

from __future__ import annotations

from dataclasses import dataclass

MARGIN_S = 0.05
"""Least time between a chunk's arrival and its need, for what varies from chunk to chunk."""
MAX_MARGIN_S = 1.0
DEVIATIONS = 3.0
"""How many mean deviations of C the margin covers."""
SMOOTHING = 0.3
"""Weight of the newest chunk in the estimates of C and of its deviation."""
SHORT_STALL_S = 0.02
"""A stall that nobody sees."""
STALL_GROWTH = 2.0
"""By how much a report of a new stall widens the margin."""
RELIEF = 0.9
"""What each chunk leaves of that."""
STALL_S = 1.0
"""A player that reports nothing for longer plays nothing: a hidden tab must not make the world run ahead."""
MAX_ROUND_TRIP_S = 1.0
REPORT_JITTER_S = 0.06
"""How long after a frame was shown its report may come without the player having slowed down."""


@dataclass(slots=True)
class PlayOut:
    """Follows one player's reports. Times are seconds of any one monotonic clock."""

    frame_rate: float
    max_lead_s: float
    """Never plan further ahead than this: about one chunk of play."""
    shown_frames: int = 0
    """Frame ids below this have been shown."""
    _shown_at: float | None = None
    """When a report last told of new frames."""
    _start_at: float | None = None
    """When frame 0 would have been shown at the pace of the reports. They come late by chance: the earliest counts."""
    _planned_at: tuple[int, float] | None = None
    _turnaround_s: float | None = None
    _deviation_s: float = 0.0
    _round_trip_s: float = 0.0
    _stalled_s: float = 0.0
    _extra_s: float = 0.0
    """Added to the margin for stalls."""

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
        self._deviation_s += SMOOTHING * (abs(taken - before) - self._deviation_s)
        self._planned_at = None
        self._extra_s *= RELIEF

    def reported(self, next_frame: int, now: float, *, stalled_s: float = 0.0, round_trip_s: float = 0.0) -> None:
        """The player has shown all frames below `next_frame`, has had none to show for `stalled_s` so far, and is
        `round_trip_s` away. A report of fewer frames than the newest one is late and changes nothing."""
        if next_frame < self.shown_frames:
            return
        if next_frame > self.shown_frames:
            self.shown_frames, self._shown_at = next_frame, now
            start = now - (next_frame - 1) / self.frame_rate
            before = start if self._start_at is None else self._start_at
            self._start_at = max(min(before, start), start - REPORT_JITTER_S)
        self._round_trip_s = min(max(round_trip_s, 0.0), MAX_ROUND_TRIP_S)
        if stalled_s > self._stalled_s + SHORT_STALL_S:
            self._extra_s = min(max(MARGIN_S, self._extra_s * STALL_GROWTH), MAX_MARGIN_S)
        self._stalled_s = max(stalled_s, self._stalled_s)

    def branched(self, next_frame: int) -> None:
        """Frames below `next_frame` will not be shown any more: the player waits for this one."""
        self.shown_frames, self._start_at = max(self.shown_frames, next_frame), None

    @property
    def lead_s(self) -> float:
        """How long before the stream runs dry the next chunk has to be planned."""
        if self._turnaround_s is None:
            return self.max_lead_s
        margin = min(max(MARGIN_S, DEVIATIONS * self._deviation_s) + self._extra_s, MAX_MARGIN_S)
        return min(self._turnaround_s + self._round_trip_s + margin, self.max_lead_s)

    def due_in_s(self, next_frame: int, now: float) -> float:
        """Seconds until the chunk that starts at frame id `next_frame` has to be planned; at most 0 means now.

        While the first chunk is under way nobody knows how long one takes: the second one waits for its first frame,
        but not longer than a chunk plays.
        """
        if self._turnaround_s is None and self._planned_at is not None and self._planned_at[0] != next_frame:
            return self._planned_at[1] + self.max_lead_s - now
        if self._start_at is None or self._shown_at is None:
            return (next_frame - self.shown_frames) / self.frame_rate - self.lead_s
        needed_at = self._start_at + next_frame / self.frame_rate
        return needed_at - min(now, self._shown_at + STALL_S) - self.lead_s
