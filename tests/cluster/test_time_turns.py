"""A rewind keeps what is held and forgets what was to come."""

from __future__ import annotations

import numpy as np
from worldloom.cluster.controls import plan_controls
from worldloom.cluster.events import Controls, ControlState, Event, Held, Pause, Play, Rewind, Script, is_paused
from worldloom.cluster.time_turns import turn_time

FORWARD = (True, False, False, False)
STILL = (False, False, False, False)


def script(event_id: int, frames: int = 5) -> Script:
    rows = np.ones((frames, 6), np.float32), np.zeros((frames, 2), np.float32)
    return Script(event_id=event_id, client_time_us=event_id, keyboard=rows[0], mouse=rows[1])


def test_without_a_rewind_nothing_changes() -> None:
    state = ControlState(last_event_id=3, scripts=(script(3),))
    events: tuple[Event, ...] = (Controls(event_id=5), Controls(event_id=4))
    assert turn_time(state, events) == ((), state, (events[1], events[0]))


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
    rewinds, cleared, rest = turn_time(state, events)
    assert [rewind.event_id for rewind in rewinds] == [5]
    assert cleared.scripts == () and cleared.held.keys == FORWARD
    pose = np.zeros(5, np.float32)
    chunk, after = plan_controls(cleared, rest, frames=40, frame_rate=10.0, pose=pose)
    assert chunk.keyboard[:, 0].all() and not chunk.keyboard[:, 1:].any()
    np.testing.assert_allclose(chunk.mouse[:, 1], 0.1, atol=1e-7)
    assert chunk.prompt == "snow"
    assert [event for event, _ in chunk.applied] == [2, 3, 4, 5, 6] and after.last_event_id == 6


def test_a_rewind_that_was_made_is_not_made_again() -> None:
    state = ControlState(last_event_id=5)
    assert turn_time(state, (Rewind(event_id=5, chunk=1),)) == ((), state, ())


def test_the_last_pause_or_play_counts_in_order_of_ids() -> None:
    assert not is_paused(())
    assert is_paused((Pause(event_id=2), Controls(event_id=3), Play(event_id=1)))
    assert not is_paused((Play(event_id=4), Pause(event_id=2)))
