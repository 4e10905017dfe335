"""Which rung a connection can bear: down when frames come late and little is left to play, up after a calm time.

Only the way to the client counts. A world that is made too slowly stalls a client too, but then no frame is on its way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..cluster.video import Rung

LATE_S = 0.35
"""A frame that is on its way for so much longer than a round trip is late."""
LOW_S = 0.4
"""Of video, left to play: with more, late frames harm nobody."""
SHORT_STALL_S = 0.02
HOLD_S = 2.5
"""After a change, so long goes by before the next step down: what the last one did is seen only then."""
CALM_S = 5.0
"""Without trouble, before a step up."""
MAX_CALM_S = 80.0
FAILED_S = 12.0
"""A step up that ends in trouble within this time has failed: the next one to that rung waits for twice as long."""
MAX_UNDERWAY = 1024
"""Frames whose time of sending is remembered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkReport:
    """What is seen of a connection at one moment."""

    late_s: float
    """How long the oldest frame that has not arrived has been on its way; 0 if all have arrived."""
    buffered_s: float
    """Of video that the client has not shown yet."""
    stalled_s: float
    """Without a frame to show, since the connection began."""
    round_trip_s: float
    has_lost: bool = False
    """Whether frames had to be dropped since the last report."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """A rung's number, 0 being the best, and what led there. Times are seconds of any one clock."""

    rung: int = 0
    changed_at: float
    troubled_at: float
    has_climbed: bool = False
    """Whether the last change was a step up."""
    failed_rung: int = -1
    """The last step up to this one, or to a better one, has failed."""
    calm_s: float = CALM_S
    """What the next step up to it waits for."""
    stalled_s: float = 0.0


def adapt(quality: Quality, seen: LinkReport, now: float, *, num_rungs: int) -> Quality:
    """The quality from here on: at most one rung away from the one before."""
    in_trouble = _is_trouble(quality, seen)
    quality = replace(quality, stalled_s=max(quality.stalled_s, seen.stalled_s))
    if in_trouble:
        return _step_down(replace(quality, troubled_at=now), now, num_rungs)
    better = quality.rung - 1
    calm_s = quality.calm_s if better <= quality.failed_rung else CALM_S
    if better >= 0 and now - max(quality.changed_at, quality.troubled_at) >= calm_s:
        return replace(quality, rung=better, changed_at=now, has_climbed=True)
    if quality.rung <= quality.failed_rung and now - quality.changed_at >= FAILED_S:
        return replace(quality, failed_rung=-1, calm_s=CALM_S)
    return quality


def _is_trouble(quality: Quality, seen: LinkReport) -> bool:
    waited_s = seen.late_s - seen.round_trip_s
    has_stalled = seen.stalled_s > quality.stalled_s + SHORT_STALL_S and waited_s > LATE_S / 4
    return seen.has_lost or has_stalled or (waited_s > LATE_S and seen.buffered_s < LOW_S)


def _step_down(quality: Quality, now: float, num_rungs: int) -> Quality:
    if quality.rung == num_rungs - 1 or now - quality.changed_at < HOLD_S:
        return quality
    if quality.has_climbed and now - quality.changed_at < FAILED_S:
        quality = replace(quality, failed_rung=quality.rung, calm_s=min(2 * quality.calm_s, MAX_CALM_S))
    return replace(quality, rung=quality.rung + 1, changed_at=now, has_climbed=False)


class RungSteering:
    """Follows one connection, and says which of its rungs it is to get."""

    def __init__(self, rungs: Sequence[Rung], *, frame_rate: float, now: float) -> None:
        self._rungs = rungs
        self._frame_rate = frame_rate
        self._quality = Quality(changed_at=now - HOLD_S, troubled_at=now)
        self._underway: deque[tuple[int, float]] = deque(maxlen=MAX_UNDERWAY)
        self._has_lost = False

    @property
    def rung(self) -> Rung:
        """The best one now."""
        return self._rungs[self._quality.rung]

    def sent(self, frame_id: int, now: float) -> None:
        """A frame is on its way."""
        self._underway.append((frame_id, now))

    def lost(self) -> None:
        """Frames had to be dropped."""
        self._has_lost = True

    def reported(
        self, next_frame_id: int, now: float, *, buffered_s: float, stalled_s: float, round_trip_s: float
    ) -> Rung:
        """The client has shown all frames below this one, and has `buffered_s` more. Returns `rung`."""
        # A client may count the frame that it is about to show as neither buffered nor shown.
        arrived = next_frame_id + round(buffered_s * self._frame_rate) + 1
        while self._underway and self._underway[0][0] < arrived:
            self._underway.popleft()
        seen = LinkReport(
            late_s=now - self._underway[0][1] if self._underway else 0.0,
            buffered_s=buffered_s,
            stalled_s=stalled_s,
            round_trip_s=round_trip_s,
            has_lost=self._has_lost,
        )
        self._has_lost = False
        self._quality = adapt(self._quality, seen, now, num_rungs=len(self._rungs))
        return self.rung
