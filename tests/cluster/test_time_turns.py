"""A rewind keeps what is held and forgets what was to come."""

from __future__ import annotations

import numpy as np
from worldloom.cluster.chunk_extra import bare_extra, pack_extra, unpack_extra
from worldloom.cluster.controls import plan_controls
from worldloom.cluster.events import Controls, ControlState, Event, Held, Pause, Play, Rewind, Script, is_paused
from worldloom.cluster.time_turns import ignoring, next_turn

FORWARD = (True, False, False, False)
STILL = (False, False, False, False)
POSE = np.zeros(5, np.float32)


def script(event_id: int, frames: int = 5) -> Script:
    rows = np.ones((frames, 6), np.float32), np.zeros((frames, 2), np.float32)
    return Script(event_id=event_id, client_time_us=event_id, keyboard=rows[0], mouse=rows[1])


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


def test_the_last_pause_or_play_counts_in_order_of_ids() -> None:
    assert not is_paused(())
    assert is_paused((Pause(event_id=2), Controls(event_id=3), Play(event_id=1)))
    assert not is_paused((Play(event_id=4), Pause(event_id=2)))
