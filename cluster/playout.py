"""How much of a stream is left to play, and when the next chunk has to be planned.

A chunk is planned as late as it can be without the stream running dry, so that the newest input counts. The way from a
plan to its first frame takes C seconds, so an input waits for the next plan, at most one chunk of play, then C and a
margin. C is the longest but one of the last chunks: what varies from chunk to chunk counts, and what was slow once, as
the very first chunk often is, does not. The margin grows by what the player reports to have stalled.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MARGIN_S = 0.02
"""Time between a chunk's arrival and its need, for a player that never stalls."""
MAX_MARGIN_S = 1.0
RECENT_CHUNKS = 8
"""So many chunks tell how long one takes."""
RELIEF = 0.8
"""What each chunk leaves of the margin for stalls."""
SHORT_STALL_S = 0.02
"""A stall that nobody sees."""
LATE_S = 0.05
"""A chunk that is planned so long after it was due, because the world was paused or the model is too slow, lets the
player stall whatever the margin."""
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
    _recent_s: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_CHUNKS))
    """How long the last chunks took from their plan to their first frame."""
    _unseen: dict[int, bool] = field(default_factory=dict)
    """First frame of each chunk that was planned and is not shown yet → whether it was planned in time."""
    _round_trip_s: float = 0.0
    _stalled_s: float = 0.0
    """What the player had stalled when it last began to show a chunk."""
    _extra_s: float = 0.0
    """Added to the margin for stalls."""

    def planned(self, first_frame: int, now: float) -> None:
        """The chunk that starts at this frame id is being planned."""
        self._unseen[first_frame] = self.due_in_s(first_frame, now) > -LATE_S
        self._planned_at = (first_frame, now)

    def arrived(self, frame: int, now: float) -> None:
        """A frame came from the decoder. The first one of a planned chunk tells how long a chunk takes."""
        if self._planned_at is None or self._planned_at[0] != frame:
            return
        self._recent_s.append(now - self._planned_at[1])
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
            self._learn_from_stalls(stalled_s)
        self._round_trip_s = min(max(round_trip_s, 0.0), MAX_ROUND_TRIP_S)

    def branched(self, next_frame: int) -> None:
        """Frames below `next_frame` will not be shown any more: the player waits for this one."""
        self.shown_frames, self._start_at = max(self.shown_frames, next_frame), None
        self._unseen.clear()

    @property
    def lead_s(self) -> float:
        """How long before the stream runs dry the next chunk has to be planned."""
        if not self._recent_s:
            return self.max_lead_s
        *_, turnaround_s = sorted(self._recent_s)[:-1] or self._recent_s
        margin_s = min(MARGIN_S + self._extra_s, MAX_MARGIN_S)
        return min(turnaround_s + self._round_trip_s + margin_s, self.max_lead_s)

    def due_in_s(self, next_frame: int, now: float) -> float:
        """Seconds until the chunk that starts at frame id `next_frame` has to be planned; at most 0 means now.

        While the first chunk is under way nobody knows how long one takes: the second one waits for its first frame,
        but not longer than a chunk plays.
        """
        if not self._recent_s and self._planned_at is not None and self._planned_at[0] != next_frame:
            return self._planned_at[1] + self.max_lead_s - now
        if self._start_at is None or self._shown_at is None:
            return (next_frame - self.shown_frames) / self.frame_rate - self.lead_s
        needed_at = self._start_at + next_frame / self.frame_rate
        return needed_at - min(now, self._shown_at + STALL_S) - self.lead_s

    def _learn_from_stalls(self, stalled_s: float) -> None:
        """A player that had to wait for a chunk would not have, had it been planned as much earlier."""
        begun = {first: self._unseen.pop(first) for first in tuple(self._unseen) if first < self.shown_frames}
        stall_s = stalled_s - self._stalled_s
        if not begun or stall_s < SHORT_STALL_S:
            return
        self._stalled_s = stalled_s
        if all(begun.values()):
            self._extra_s = min(self._extra_s + stall_s, MAX_MARGIN_S)
