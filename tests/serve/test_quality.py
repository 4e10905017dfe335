"""The rung that a connection gets, on links that are simulated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worldloom.cluster.messages import Codec
from worldloom.cluster.video import Rung
from worldloom.serve.quality import HOLD_S, MAX_CALM_S, LinkReport, Quality, RungSteering, adapt

RATE = 20.0
RUNGS = tuple(Rung(codec=Codec.H264, width=64, height=64, kbit_per_s=kbit) for kbit in (4000, 2000, 1000, 500))
REPORT_S = 0.05
LEAD_S = 1.5
"""How far ahead of the player frames are made."""
REPORTS = st.builds(
    LinkReport,
    late_s=st.floats(0, 5),
    buffered_s=st.floats(0, 5),
    stalled_s=st.floats(0, 100),
    round_trip_s=st.floats(0, 1),
    has_lost=st.booleans(),
)
TROUBLE = LinkReport(late_s=2.0, buffered_s=0.0, stalled_s=0.0, round_trip_s=0.05)
CALM = LinkReport(late_s=0.0, buffered_s=1.0, stalled_s=0.0, round_trip_s=0.05)


def run(reports: list[tuple[float, LinkReport]], num_rungs: int) -> Iterator[tuple[float, Quality]]:
    now, quality = 0.0, Quality(changed_at=0.0, troubled_at=0.0)
    for wait_s, seen in reports:
        now += wait_s
        quality = adapt(quality, seen, now, num_rungs=num_rungs)
        yield now, quality


@given(st.lists(st.tuples(st.floats(0.01, 3), REPORTS), max_size=60), st.integers(1, 6))
def test_changes_are_single_steps_within_the_ladder_and_not_too_often(
    reports: list[tuple[float, LinkReport]], num_rungs: int
) -> None:
    before, changed_at = 0, 0.0
    for now, quality in run(reports, num_rungs):
        assert 0 <= quality.rung < num_rungs and abs(quality.rung - before) <= 1
        assert quality.calm_s <= MAX_CALM_S
        if quality.rung != before:
            assert now - changed_at >= HOLD_S
            before, changed_at = quality.rung, now


@given(st.integers(1, 6))
def test_lasting_trouble_ends_at_the_last_rung_and_calm_at_the_first(num_rungs: int) -> None:
    troubled = [*run([(0.25, TROUBLE)] * 80, num_rungs)][-1][1]
    assert troubled.rung == num_rungs - 1
    now, quality = 20.0, troubled
    for _ in range(200):
        now += 0.5
        quality = adapt(quality, CALM, now, num_rungs=num_rungs)
    assert quality.rung == 0


def test_a_world_that_is_made_too_slowly_is_not_the_links_fault() -> None:
    reports = [(0.1, LinkReport(late_s=0.0, buffered_s=0.0, stalled_s=n * 0.1, round_trip_s=0.05)) for n in range(100)]
    assert [*run(reports, 4)][-1][1].rung == 0


def test_late_frames_harm_nobody_who_has_enough_to_play() -> None:
    late = LinkReport(late_s=2.0, buffered_s=2.0, stalled_s=0.0, round_trip_s=0.05)
    assert [*run([(0.1, late)] * 100, 4)][-1][1].rung == 0


@dataclass
class Link:
    """Frames of the steered rung through a link of so many kbit a second, to a client that plays them as they come."""

    capacity: float
    steering: RungSteering = field(default_factory=lambda: RungSteering(RUNGS, frame_rate=RATE, now=0.0))
    now: float = 0.0
    sent: int = 0
    arrivals: list[float] = field(default_factory=list)
    played: float = 0.0
    stalled_s: float = 0.0
    rungs: list[Rung] = field(default_factory=list)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += REPORT_S
            while self.sent < self.played + LEAD_S * RATE:
                start = max(self.now, self.arrivals[-1] if self.arrivals else 0.0)
                self.arrivals.append(start + self.steering.rung.kbit_per_s / RATE / self.capacity)
                self.steering.sent(self.sent, self.now)
                self.sent += 1
            self._play()

    def _play(self) -> None:
        arrived = sum(at <= self.now for at in self.arrivals[int(self.played) :]) + int(self.played)
        if arrived - self.played > REPORT_S * RATE:
            self.played += REPORT_S * RATE
        elif self.played:
            self.stalled_s += REPORT_S
        if not self.played and arrived >= 6:
            self.played = 1.0
        if self.played:
            shown = int(self.played)
            buffered_s = (arrived - shown) / RATE
            rung = self.steering.reported(
                shown, self.now, buffered_s=buffered_s, stalled_s=self.stalled_s, round_trip_s=0.05
            )
            self.rungs.append(rung)


@pytest.mark.parametrize(("capacity", "best"), [(10_000, 0), (2_600, 1), (1_300, 2), (650, 3), (300, 3)])
def test_a_link_gets_the_best_rung_that_it_carries(capacity: float, best: int) -> None:
    link = Link(capacity)
    link.run(20.0)
    link.rungs.clear()
    link.run(100.0)
    share = sum(rung == RUNGS[best] for rung in link.rungs) / len(link.rungs)
    changes = sum(a != b for a, b in zip(link.rungs, link.rungs[1:], strict=False))
    assert share > 0.75 and changes < 20


def test_a_link_that_recovers_gets_the_best_rung_again() -> None:
    link = Link(600.0)
    link.run(20.0)
    assert link.steering.rung != RUNGS[0]
    link.capacity = 20_000.0
    link.run(60.0)
    assert link.steering.rung == RUNGS[0]


def test_a_client_that_counts_the_frame_about_to_be_shown_as_neither_gets_the_best_rung() -> None:
    steering = RungSteering(RUNGS, frame_rate=RATE, now=0.0)
    for frame in range(41):
        steering.sent(frame, 0.0)
    for frame in range(41):
        buffered_s = (40 - frame) / RATE
        rung = steering.reported(frame, frame / RATE, buffered_s=buffered_s, stalled_s=0.0, round_trip_s=0.0)
        assert rung == RUNGS[0]


def test_lost_frames_lead_down() -> None:
    steering = RungSteering(RUNGS, frame_rate=RATE, now=0.0)
    steering.lost()
    assert steering.reported(5, 2.0, buffered_s=1.0, stalled_s=0.0, round_trip_s=0.0) == RUNGS[1]
    assert steering.reported(6, 4.0, buffered_s=1.0, stalled_s=0.0, round_trip_s=0.0) == RUNGS[1]
