"""The next chunk is planned as late as the stream allows, and never far ahead."""

from __future__ import annotations

import pytest
from worldloom.cluster.playout import MARGIN_S, SAFETY, STALL_S, PlayOut

RATE = 10.0


def playout() -> PlayOut:
    return PlayOut(frame_rate=RATE, max_lead_s=4.0)


def test_the_first_chunk_is_due_at_once() -> None:
    assert playout().due_in_s(0, now=100.0) <= 0


def test_before_any_time_is_known_one_chunk_is_made_ahead() -> None:
    assert playout().due_in_s(40, now=0.0) == pytest.approx(0.0)
    assert playout().due_in_s(50, now=0.0) == pytest.approx(1.0)


def test_a_known_chunk_time_moves_the_plan_to_just_before_the_stream_runs_dry() -> None:
    play = playout()
    play.planned(0, 10.0)
    play.arrived(0, 10.8)
    play.acknowledged(0, 11.0)
    assert play.lead_s == pytest.approx(0.8 * SAFETY + MARGIN_S)
    assert play.due_in_s(41, now=11.5) == pytest.approx(4.0 - 0.5 - play.lead_s)


def test_a_slow_model_plans_at_most_one_chunk_ahead() -> None:
    play = playout()
    play.planned(0, 0.0)
    play.arrived(0, 30.0)
    assert play.lead_s == 4.0


def test_a_player_that_shows_nothing_stops_the_world() -> None:
    play = playout()
    play.acknowledged(9, 0.0)
    assert play.due_in_s(100, now=50.0) == play.due_in_s(100, now=STALL_S)
    assert play.due_in_s(100, now=50.0) == pytest.approx(9.0 - STALL_S - 4.0)


def test_a_late_acknowledgement_of_an_older_frame_changes_nothing() -> None:
    play = playout()
    play.acknowledged(20, 5.0)
    play.acknowledged(10, 6.0)
    assert play.shown_frames == 21 and play.due_in_s(61, now=5.0) == pytest.approx(0.0)


def test_only_the_first_frame_of_the_planned_chunk_is_timed() -> None:
    play = playout()
    play.planned(57, 10.0)
    play.arrived(40, 10.1)
    play.arrived(57, 10.5)
    play.arrived(58, 19.0)
    assert play.lead_s == pytest.approx(0.5 * SAFETY + MARGIN_S)
