"""A rewind keeps what is held and forgets what was to come."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from worldloom.cluster.chunk_extra import bare_extra, pack_extra, unpack_extra
from worldloom.cluster.controls import plan_controls
from worldloom.cluster.events import Controls, ControlState, Event, Held, Pace, Pause, Play, Rewind, Script, pace_after
from worldloom.cluster.time_turns import ignoring, next_turn

FORWARD = (True, False, False, False)
STILL = (False, False, False, False)
POSE = np.zeros(5, np.float32)


def script(event_id: int, frames: int = 5, *, pause_after: bool = False) -> Script:
    rows = np.ones((frames, 6), np.float32), np.zeros((frames, 2), np.float32)
    return Script(event_id=event_id, client_time_us=event_id, keyboard=rows[0], mouse=rows[1], pause_after=pause_after)


def step(event_id: int, frames: int = 5) -> Script:
    return script(event_id, frames, pause_after=True)


def test_without_a_rewind_nothing_changes() -> None:
    state = ControlState(last_event_id=3, scripts=(script(3),))
    events: tuple[Event, ...] = (Controls(event_id=5), Controls(event_id=4))
    assert next_turn(state, events) is None


def test_what_came_before_the_rewind_is_over_but_reported_and_held_keys_stay() -> None:
    state = ControlState(
        last_event_id=2, held=Held(), scripts=(script(1),), waiting=(Controls(event_id=2, keys=FORWARD),)
    )
    events = (
        Controls(event_id=3, motion=(0.0, 4.0), prompt="snow"),
        script(4),
        Rewind(event_id=5, chunk=2),
        Controls(event_id=6, look=(0.0, 0.1)),
    )
    turn = next_turn(state, events)
    assert turn is not None and turn.rewind.event_id == 5
    cleared = turn.controls
    assert (cleared.last_event_id, cleared.scripts, cleared.held.keys) == (5, (), FORWARD)
    chunk, after = plan_controls(cleared, events, frames=40, frame_rate=10.0, pose=POSE)
    assert chunk.keyboard[:, 0].all() and not chunk.keyboard[:, 1:].any()
    np.testing.assert_allclose(chunk.mouse[:, 1], 0.1, atol=1e-7)
    assert chunk.prompt == "snow"
    assert [event for event, _ in chunk.applied] == [1, 2, 3, 4, 5, 6] and after.last_event_id == 6


def test_an_owner_that_starts_from_the_saved_controls_plans_the_same() -> None:
    """The events before the rewind may never come again: their sender may be gone."""
    events: tuple[Event, ...] = (
        Controls(event_id=1, keys=FORWARD, prompt="snow"),
        Rewind(event_id=2),
        Controls(event_id=3, prompt="rain", look=(0.1, 0.0)),
    )
    turn = next_turn(ControlState(), events)
    assert turn is not None
    saved = unpack_extra(pack_extra(bare_extra(0, turn.controls))).controls
    for later in (events, events[2:], ()):
        chunk, _ = plan_controls(saved, later, frames=40, frame_rate=10.0, pose=POSE)
        assert chunk.keyboard[:, 0].all()
        assert chunk.prompt == ("rain" if later else "snow")
        assert {1, 2} <= {event for event, _ in chunk.applied}


def test_rewinds_are_made_one_after_the_other() -> None:
    first, last = Rewind(event_id=2, chunk=1), Rewind(event_id=4)
    events = (last, Controls(event_id=3, keys=FORWARD), first)
    turn = next_turn(ControlState(), events)
    assert turn is not None and turn.rewind is first and turn.controls.held.keys == STILL
    turn = next_turn(turn.controls, events)
    assert turn is not None and turn.rewind is last and turn.controls.held.keys == FORWARD
    assert next_turn(turn.controls, events) is None


def test_a_rewind_that_cannot_be_made_is_reported_and_changes_nothing() -> None:
    state = ControlState(scripts=(script(1),), last_event_id=1)
    rewind = Rewind(event_id=2, chunk=9)
    events = ignoring((rewind,), rewind)
    assert next_turn(state, events) is None
    chunk, after = plan_controls(state, events, frames=40, frame_rate=10.0, pose=POSE)
    assert chunk.keyboard[:5, 0].all() and [event for event, _ in chunk.applied] == [1, 2]
    assert after.last_event_id == 2


def test_a_rewind_that_was_made_is_not_made_again() -> None:
    assert next_turn(ControlState(last_event_id=5), (Rewind(event_id=5, chunk=1),)) is None


def test_the_last_pause_play_or_step_counts_in_order_of_ids() -> None:
    assert pace_after(Pace.PLAYING, ()) is Pace.PLAYING and pace_after(Pace.PAUSED, (script(1),)) is Pace.PAUSED
    assert pace_after(Pace.PLAYING, (Pause(event_id=2), Controls(event_id=3), Play(event_id=1))) is Pace.PAUSED
    assert pace_after(Pace.PAUSED, (Play(event_id=4), Pause(event_id=2))) is Pace.PLAYING
    assert pace_after(Pace.PAUSED, (step(5), Pause(event_id=4))) is Pace.STEPPING
    assert pace_after(Pace.PAUSED, (step(5), Pause(event_id=6))) is Pace.PAUSED
    assert pace_after(Pace.STEPPING, (Rewind(event_id=6),)) is Pace.PAUSED
    assert pace_after(Pace.PLAYING, (Rewind(event_id=6),)) is Pace.PLAYING


def test_a_rewind_forgets_a_step_and_the_world_stays_paused() -> None:
    turn = next_turn(ControlState(), (step(1), Rewind(event_id=2), Controls(event_id=3, keys=FORWARD)))
    assert turn is not None and (turn.controls.pace, turn.controls.scripts) == (Pace.PAUSED, ())
    saved = unpack_extra(pack_extra(bare_extra(0, turn.controls))).controls
    _, after = plan_controls(saved, (step(4),), frames=40, frame_rate=10.0, pose=POSE)
    assert after.pace is Pace.PAUSED and after.scripts == ()


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=5),
    st.lists(st.sampled_from(["arrives", "planned", "sent again"]), max_size=40),
)
def test_steps_make_their_own_chunks_and_no_others_however_arrivals_and_plans_fall(
    lengths: list[int], moments: list[str]
) -> None:
    on_their_way: list[Event] = [Pause(event_id=1), *(step(number, rows) for number, rows in enumerate(lengths, 2))]
    newest = on_their_way.pop(0)
    arrived = {newest.event_id: newest}
    state, chunks, played = ControlState(), 0, 0
    for moment in [*moments, *["arrives", "planned", "planned", "planned"] * len(lengths)]:
        if moment == "arrives" and on_their_way:
            newest = on_their_way.pop(0)
            arrived[newest.event_id] = newest
        elif moment == "sent again":
            arrived[newest.event_id] = newest
        elif moment == "planned":
            pending = [event for event in arrived.values() if event.event_id > state.last_event_id]
            if pace_after(state.pace, pending) is not Pace.PAUSED:
                chunk, state = plan_controls(state, pending, frames=5, frame_rate=10.0, pose=POSE)
                chunks, played = chunks + 1, played + int(chunk.keyboard[:, 0].sum())
                assert chunk.keyboard[:, 0].any()
    assert state.pace is Pace.PAUSED and played == sum(lengths)
    assert math.ceil(sum(lengths) / 5) <= chunks <= sum(math.ceil(rows / 5) for rows in lengths)


def test_a_play_behind_a_step_lets_the_world_go_on_whether_it_comes_before_the_plan_or_after() -> None:
    for batches in (((step(1), Play(event_id=2)), ()), ((step(1),), (Play(event_id=2),))):
        state = ControlState(pace=Pace.PAUSED)
        for events in batches:
            assert pace_after(state.pace, events) is not Pace.PAUSED
            _, state = plan_controls(state, events, frames=40, frame_rate=10.0, pose=POSE)
        assert state.pace is Pace.PLAYING
