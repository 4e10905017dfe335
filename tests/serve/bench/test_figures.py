"""From moments to frames a second."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worldloom.serve.bench.figures import ChunkTimes, figures_of


def steady(session: int, *, start_s: float, first_s: float, period_s: float, count: int) -> list[ChunkTimes]:
    """A session whose first chunk ends `first_s` after its start and then one each period."""
    ends = [start_s + first_s + chunk * period_s for chunk in range(count)]
    return [
        ChunkTimes(
            session=session,
            chunk=chunk,
            planned_s=end - first_s,
            first_frame_s=end - 0.25 * first_s,
            last_frame_s=end,
            stages={"plan": 0.01, "step0": 0.1, "step1": 0.2, "decode": 0.3} if chunk else {"plan": 9.0},
        )
        for chunk, end in enumerate(ends)
    ]


@given(
    start_s=st.floats(0, 1e5),
    first_s=st.floats(0.01, 100),
    period_s=st.floats(0.1, 10),
    count=st.integers(2, 70),
)
def test_the_rate_is_forty_frames_a_period_however_long_the_first_chunk_took(
    start_s: float, first_s: float, period_s: float, count: int
) -> None:
    figures = figures_of(steady(0, start_s=start_s, first_s=first_s, period_s=period_s, count=count))
    assert figures.fps == pytest.approx(40 / period_s, rel=1e-6) == pytest.approx(figures.fps_total)
    assert figures.first_frame_s == pytest.approx(0.75 * first_s, abs=1e-6)
    assert figures.stages["chunk"] == pytest.approx(period_s, rel=1e-6)


def test_sessions_add_up_and_the_slowest_one_counts() -> None:
    fast = steady(0, start_s=0, first_s=1, period_s=1.0, count=5)
    slow = steady(1, start_s=3, first_s=1, period_s=2.0, count=5)
    figures = figures_of([times for pair in zip(slow, fast, strict=True) for times in pair])
    assert (figures.fps, figures.fps_total) == (20, 60)


def test_stages_are_medians_after_the_first_chunk_with_steps_added() -> None:
    stages = figures_of(steady(0, start_s=0, first_s=1, period_s=1, count=4)).stages
    assert stages == pytest.approx({"plan": 0.01, "steps": 0.3, "decode": 0.3, "chunk": 1.0, "chunk_p95": 1.0})
    assert list(stages)[:3] == ["plan", "steps", "decode"]


def test_one_chunk_gives_no_rate() -> None:
    with pytest.raises(AssertionError):
        figures_of(steady(0, start_s=0, first_s=1, period_s=1, count=1))
