"""The next chunk is planned as late as the stream allows, and never far ahead."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worldloom.cluster.playout import MARGIN_S, MAX_MARGIN_S, RECENT_CHUNKS, RELIEF, STALL_S, PlayOut

RATE = 10.0


def playout() -> PlayOut:
    return PlayOut(frame_rate=RATE, max_lead_s=4.0)


def timed(turnaround_s: float) -> PlayOut:
    play = playout()
    play.planned(0, 10.0)
    play.arrived(0, 10.0 + turnaround_s)
    return play


def test_the_first_chunk_is_due_at_once() -> None:
    assert playout().due_in_s(0, now=100.0) <= 0


def test_before_any_time_is_known_one_chunk_is_made_ahead() -> None:
    assert playout().due_in_s(40, now=0.0) == pytest.approx(0.0)
    assert playout().due_in_s(50, now=0.0) == pytest.approx(1.0)


def test_the_second_chunk_waits_until_the_first_tells_how_long_one_takes() -> None:
    play = playout()
    play.planned(0, 10.0)
    assert play.due_in_s(0, now=10.5) <= 0
    assert play.due_in_s(57, now=11.0) == pytest.approx(3.0)
    play.arrived(0, 11.0)
    assert play.due_in_s(57, now=11.0) == pytest.approx(5.7 - play.lead_s)


def test_a_known_chunk_time_moves_the_plan_to_just_before_the_stream_runs_dry() -> None:
    play = timed(0.8)
    play.reported(1, 11.0)
    assert play.lead_s == pytest.approx(0.8 + MARGIN_S)
    assert play.due_in_s(41, now=11.5) == pytest.approx(4.1 - 0.5 - play.lead_s)


def test_a_player_far_away_is_planned_for_earlier() -> None:
    play = timed(0.8)
    play.reported(1, 11.0, round_trip_s=0.2)
    assert play.lead_s == pytest.approx(0.8 + 0.2 + MARGIN_S)


def play_chunks(play: PlayOut, first: int, turnarounds_s: list[float]) -> None:
    for number, taken in enumerate(turnarounds_s, first):
        play.planned(number, 0.0)
        play.arrived(number, taken)


def test_a_chunk_time_that_varies_counts_by_the_slow_ones() -> None:
    play = timed(0.8)
    play_chunks(play, 1, [0.8, 1.0, 0.8, 0.8, 1.1, 0.8])
    assert play.lead_s == pytest.approx(1.0 + MARGIN_S)
    play_chunks(play, 7, [0.8] * RECENT_CHUNKS)
    assert play.lead_s == pytest.approx(0.8 + MARGIN_S)


def test_one_slow_chunk_alone_moves_nothing_not_even_the_first() -> None:
    play = timed(3.0)
    play_chunks(play, 1, [0.8])
    assert play.lead_s == pytest.approx(0.8 + MARGIN_S)
    play_chunks(play, 2, [0.8] * RECENT_CHUNKS + [2.0])
    assert play.lead_s == pytest.approx(0.8 + MARGIN_S)


def stalled(play: PlayOut, first_frame: int, stalled_s: float, *, late_s: float = 0.0, reports: int = 5) -> None:
    """A chunk of 10 frames that is planned `late_s` after it was due and shown after a stall, which the player tells of
    as it grows. In all it has then stalled for `stalled_s`."""
    now = play.due_in_s(first_frame, 0.0) + late_s
    play.planned(first_frame, now)
    play.reported(first_frame, now + 0.1, stalled_s=0.0)
    play.arrived(first_frame, now + 0.8)
    for number in range(1, reports + 1):
        play.reported(first_frame, now + 1.0, stalled_s=stalled_s * number / reports)
    for frame in range(10):
        play.reported(first_frame + frame + 1, now + 1.0 + frame / RATE, stalled_s=stalled_s)


@pytest.mark.parametrize("reports", [1, 20])
def test_a_stall_widens_the_margin_by_its_length_however_often_it_is_told(reports: int) -> None:
    play = timed(0.8)
    play.reported(1, 11.0)
    stalled(play, 10, 0.3, reports=reports)
    assert play.lead_s == pytest.approx(0.8 + MARGIN_S + 0.3)
    stalled(play, 20, 0.3)
    assert play.lead_s == pytest.approx(0.8 + MARGIN_S + 0.3 * RELIEF)


def test_stalls_widen_the_margin_up_to_a_bound_and_quiet_chunks_narrow_it_again() -> None:
    play = timed(0.8)
    play.reported(1, 11.0)
    stalled(play, 10, 30.0)
    assert play.lead_s == pytest.approx(0.8 + MAX_MARGIN_S)
    play_chunks(play, 20, [0.8] * 40)
    assert play.lead_s == pytest.approx(0.8 + MARGIN_S, abs=0.01)


def test_a_stall_that_no_margin_could_prevent_leaves_it_alone() -> None:
    play = timed(0.8)
    play.reported(1, 11.0)
    # Planned after a pause, or by a model that is too slow.
    stalled(play, 10, 2.0, late_s=0.2)
    assert play.lead_s == pytest.approx(0.8 + MARGIN_S)
    # The player waits for what a rewind leads to.
    play.branched(60)
    play.planned(60, 50.0)
    play.arrived(60, 50.8)
    play.reported(61, 50.9, stalled_s=3.0)
    assert play.lead_s == pytest.approx(0.8 + MARGIN_S)


def test_a_slow_model_plans_at_most_one_chunk_ahead() -> None:
    assert timed(30.0).lead_s == 4.0


def test_a_player_that_shows_nothing_stops_the_world() -> None:
    play = playout()
    play.reported(10, 0.0)
    play.reported(10, 49.0)
    assert play.due_in_s(100, now=50.0) == play.due_in_s(100, now=STALL_S)
    assert play.due_in_s(100, now=50.0) == pytest.approx(9.1 - STALL_S - 4.0)


def test_reports_come_late_by_chance_but_a_player_that_slows_down_is_believed() -> None:
    play = timed(0.8)
    for frame, late_s in enumerate([0.0, 0.05, 0.03, 0.05]):
        play.reported(frame + 1, 11.0 + frame / RATE + late_s)
    assert play.due_in_s(41, now=11.5) == pytest.approx(4.1 - 0.5 - play.lead_s)
    for frame in range(4, 20):
        play.reported(frame + 1, 12.0 + frame / RATE)
    assert play.due_in_s(41, now=14.0) == pytest.approx(2.1 - play.lead_s, abs=0.07)


def test_a_late_report_of_fewer_frames_changes_nothing() -> None:
    play = playout()
    play.reported(21, 5.0)
    play.reported(11, 6.0, round_trip_s=0.5)
    assert play.shown_frames == 21 and play.due_in_s(61, now=5.0) == pytest.approx(4.1 - 4.0)


def test_frames_of_an_old_branch_are_not_waited_for() -> None:
    play = timed(0.8)
    play.reported(10, 11.0)
    play.branched(57)
    assert play.due_in_s(57, now=11.0) < 0


def test_only_the_first_frame_of_the_planned_chunk_is_timed() -> None:
    play = playout()
    play.planned(57, 10.0)
    play.arrived(40, 10.1)
    play.arrived(57, 10.5)
    play.arrived(58, 19.0)
    assert play.lead_s == pytest.approx(0.5 + MARGIN_S)


CHUNK = 40


def play_a_minute(chunk_s: float, jitter: list[float], rate: float) -> tuple[list[float], float]:
    """A world of 1 ms ticks: each chunk takes `chunk_s` times its jitter, frames are shown at `rate` as they are there,
    and reported every 50 ms. Returns when the chunks were planned and begun to be shown as pairs' differences, and the
    longest stall after the first ten chunks."""
    play = PlayOut(frame_rate=rate, max_lead_s=1.4 * CHUNK / rate)
    made, shown, next_due, stall, longest = 0, 0, 0.0, 0.0, 0.0
    arrives_at, planned_at, leads = None, {}, []
    for tick in range(40_000):
        now = tick * 1e-3
        if arrives_at is not None and now >= arrives_at:
            play.arrived(made, now)
            made, arrives_at = made + CHUNK, None
        if arrives_at is None and play.due_in_s(made, now) <= 0:
            play.planned(made, now)
            planned_at[made] = now
            arrives_at = now + chunk_s * jitter[made // CHUNK % len(jitter)]
        if now >= next_due and shown < made:
            if shown % CHUNK == 0:
                leads.append(now - planned_at[shown])
            next_due = (next_due if stall == 0 else now) + 1 / rate
            shown, stall = shown + 1, 0.0
        elif now >= next_due:
            stall += 1e-3
            longest = max(longest, stall if shown > 10 * CHUNK else 0.0)
        if tick % 50 == 0:
            play.reported(shown, now)
    return leads, longest


@settings(max_examples=6, deadline=None)
@given(st.floats(0.1, 0.8), st.sampled_from([16.0, 25.0, 40.0]))
def test_an_input_waits_for_at_most_a_chunk_of_play_and_a_tenth_of_a_second_more_than_the_model(
    load: float, rate: float
) -> None:
    """Action to first frame is the wait for the next plan, evenly spread over a chunk of play, and then this lead."""
    chunk_s = load * CHUNK / rate
    leads, longest = play_a_minute(chunk_s, [1.0, 1.01, 0.99, 1.005], rate)
    assert np.percentile(leads[5:], 95) <= chunk_s + 0.1
    assert longest <= 0.002
