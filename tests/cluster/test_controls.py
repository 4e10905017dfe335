"""Live control extrapolates; scripts map exactly."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from worldloom.cluster.controls import ChunkControls, plan_controls
from worldloom.cluster.events import CameraGoal, Controls, ControlState, Event, Held, Pause, Play, Script
from worldloom.model.poses import STEP, integrate_poses

FORWARD = (True, False, False, False)
RIGHT = (False, False, False, True)
NO_KEYS = (False, False, False, False)
RATE = 20.0
ORIGIN = np.zeros(5, np.float32)


def plan(state: ControlState, *events: Event, frames: int = 40) -> tuple[ChunkControls, ControlState]:
    return plan_controls(state, events, frames=frames, frame_rate=RATE, pose=ORIGIN)


def at(event_id: int, ms: int, **fields: object) -> Controls:
    return Controls(event_id=event_id, client_time_us=ms * 1000, **fields)  # type: ignore[arg-type]


def script(event_id: int, frames: int, *, seed: int = 0) -> Script:
    rng = np.random.default_rng(seed + event_id)
    keyboard = np.zeros((frames, 6), np.float32)
    keyboard[:, :4] = rng.integers(0, 2, (frames, 4))
    mouse = rng.uniform(-1, 1, (frames, 2)).astype(np.float32)
    return Script(event_id=event_id, client_time_us=event_id, keyboard=keyboard, mouse=mouse)


def test_nothing_pressed_gives_still_frames() -> None:
    chunk, state = plan(ControlState())
    assert not chunk.keyboard.any() and not chunk.mouse.any() and not chunk.client_times_us.any()
    assert chunk.applied == () and state.last_event_id == 0


def test_what_is_held_fills_this_chunk_and_the_next() -> None:
    chunk, state = plan(ControlState(), at(1, 500, keys=FORWARD, look=(0.0, 0.1)))
    following, _ = plan(state)
    for made in (chunk, following):
        assert (made.keyboard == [1, 0, 0, 0, 0, 0]).all()
        np.testing.assert_array_equal(made.mouse, np.tile(np.array([0, 0.1], np.float32), (40, 1)))
        assert (made.client_times_us == 500_000).all()
    assert chunk.applied == ((1, 0),) and following.applied == ()


def test_a_tap_since_the_last_plan_is_played_once_for_its_length_from_the_first_frame() -> None:
    chunk, state = plan(ControlState(), at(1, 1000, keys=FORWARD), at(2, 1250, keys=NO_KEYS))
    assert chunk.keyboard[:, 0].tolist() == [1] * 5 + [0] * 35
    following, _ = plan(state)
    assert not following.keyboard.any()


def test_a_very_short_tap_lasts_one_frame_and_two_taps_add_up() -> None:
    taps = [at(1, 0, keys=RIGHT), at(2, 1, keys=NO_KEYS), at(3, 400, keys=RIGHT), at(4, 500, keys=NO_KEYS)]
    chunk, _ = plan(ControlState(), *taps)
    assert chunk.keyboard[:, 3].tolist() == [1] * 3 + [0] * 37


def test_releasing_what_was_held_at_the_last_plan_is_no_tap() -> None:
    _, state = plan(ControlState(), at(1, 0, keys=FORWARD))
    chunk, _ = plan(state, at(2, 300, keys=NO_KEYS))
    assert not chunk.keyboard.any() and chunk.applied == ((2, 0),)


def test_a_camera_tap_plays_at_its_strongest_beside_a_held_key() -> None:
    chunk, _ = plan(
        ControlState(),
        at(1, 0, keys=FORWARD, look=(0.0, -0.05)),
        at(2, 50, look=(0.0, -0.1)),
        at(3, 200, look=(0.0, 0.0)),
    )
    assert chunk.keyboard[:, 0].all()
    np.testing.assert_allclose(chunk.mouse[:, 1], [-0.1] * 4 + [0.0] * 36, atol=1e-7)


def test_mouse_motion_is_spent_once_in_small_steps() -> None:
    chunk, state = plan(ControlState(), at(1, 0, motion=(0.0, 0.3)), at(2, 20, motion=(-8.0, 0.2)))
    np.testing.assert_allclose(chunk.mouse[:, 1], [0.1] * 5 + [0.0] * 35, atol=1e-6)
    np.testing.assert_allclose(chunk.mouse[:, 0], [-0.2] * 40, atol=1e-6)
    assert not plan(state)[0].mouse.any()


def test_an_event_sent_again_has_no_second_effect() -> None:
    _, state = plan(ControlState(), at(3, 0, motion=(0.0, 0.5)))
    again, _ = plan(state, at(3, 0, motion=(0.0, 0.5)))
    assert not again.mouse.any() and again.applied == ()


def test_a_script_maps_exactly_across_chunks_and_live_control_follows() -> None:
    walk = script(1, 50)
    first, state = plan(ControlState(), walk, at(2, 700, keys=FORWARD))
    np.testing.assert_array_equal(first.keyboard, walk.keyboard[:40])
    assert first.applied == ((1, 0),)
    second, _ = plan(state)
    np.testing.assert_array_equal(second.keyboard[:10], walk.keyboard[40:])
    np.testing.assert_array_equal(second.mouse[:10], walk.mouse[40:])
    assert (second.keyboard[10:] == [1, 0, 0, 0, 0, 0]).all()
    assert second.applied == ((2, 10),)
    assert second.client_times_us.tolist() == [1] * 10 + [700_000] * 30


@given(st.lists(st.integers(1, 60), max_size=6), st.lists(st.integers(1, 30), min_size=1, max_size=12))
def test_scripts_play_every_row_once_in_order_however_chunks_cut_them(lengths: list[int], chunks: list[int]) -> None:
    scripts = [script(number, length) for number, length in enumerate(lengths, 1)]
    state, made = ControlState(), []
    for index, frames in enumerate(chunks):
        chunk, state = plan(state, *(scripts if index == 0 else []), frames=frames)
        made.append(chunk)
    keyboard = np.concatenate([chunk.keyboard for chunk in made])
    wanted = np.concatenate([np.zeros((0, 6), np.float32), *(one.keyboard for one in scripts)])[: len(keyboard)]
    np.testing.assert_array_equal(keyboard[: len(wanted)], wanted)
    assert not keyboard[len(wanted) :].any()
    applied = [event for chunk in made for event, _ in chunk.applied]
    assert applied == sorted(set(applied))


@given(
    st.lists(
        st.tuples(
            st.integers(0, 500),
            st.tuples(*[st.booleans()] * 4),
            st.floats(-1, 1),
            st.floats(-24, 24),
        ),
        max_size=12,
    )
)
def test_any_live_input_gives_rows_in_range_and_every_event_is_applied(
    inputs: list[tuple[int, tuple[bool, bool, bool, bool], float, float]],
) -> None:
    events = [
        at(index, index * 10 + ms, keys=keys, look=(value, 0.0), motion=(0.0, motion))
        for index, (ms, keys, value, motion) in enumerate(inputs, 1)
    ]
    chunk, state = plan(ControlState(), *events)
    assert set(np.unique(chunk.keyboard)) <= {0.0, 1.0} and not chunk.keyboard[:, 4:].any()
    assert np.abs(chunk.mouse).max(initial=0) <= 1
    assert [event for event, _ in chunk.applied] == [event.event_id for event in events]
    assert state.waiting == () and state.last_event_id == len(events)


def test_a_track_that_an_event_leaves_out_stays_as_it_is() -> None:
    chunk, state = plan(ControlState(), at(1, 0, keys=FORWARD), at(2, 10, look=(0.0, 0.1)), at(3, 20, prompt="snow"))
    assert chunk.keyboard[:, 0].all() and (chunk.mouse[:, 1] > 0).all() and chunk.prompt == "snow"
    following, _ = plan(state, at(4, 30, keys=NO_KEYS))
    assert not following.keyboard.any() and (following.mouse[:, 1] > 0).all() and following.prompt is None


def test_a_prompt_counts_at_once_also_beside_a_script() -> None:
    chunk, _ = plan(ControlState(), script(1, 60), at(2, 0, prompt="rain"), at(3, 5, keys=FORWARD, prompt="snow"))
    assert chunk.prompt == "snow"
    assert chunk.applied == ((1, 0), (2, 0))


def test_pause_and_play_are_reported_and_move_nothing() -> None:
    chunk, _ = plan(ControlState(), Pause(event_id=1), Play(event_id=2))
    assert chunk.applied == ((1, 0), (2, 0)) and not chunk.keyboard.any()


def test_a_camera_goal_is_walked_to_and_looked_at_and_kept_until_released() -> None:
    goal = CameraGoal(pose=(150.0, -80.0, 0.0, 6.0, -40.0))
    chunk, state = plan(ControlState(), at(1, 0, goal=goal), frames=57)
    end = integrate_poses(chunk.keyboard, chunk.mouse)[-1]
    assert np.hypot(end[0] - 150, end[1] + 80) < STEP and abs(end[3] - 6) < 0.3 and abs(end[4] + 40) < 0.3
    assert state.held.goal == goal
    released, _ = plan(state, at(2, 9, goal=CameraGoal()))
    assert not released.keyboard.any() and not released.mouse.any()


def test_looking_at_a_goal_takes_the_shorter_way_round_and_no_step() -> None:
    goal = CameraGoal(pose=(900.0, 0.0, 0.0, 0.0, 350.0), look_only=True)
    chunk, _ = plan(ControlState(), at(1, 0, goal=goal))
    assert not chunk.keyboard.any() and chunk.mouse[:, 1].min() < 0 and chunk.mouse[:, 1].max() <= 0
    assert abs(chunk.mouse[:, 1].sum() * 15 + 10) < 0.3


PRESSES = st.lists(st.tuples(st.integers(1, 400), st.booleans()), max_size=10)


@given(PRESSES, st.booleans())
def test_a_key_plays_what_is_held_or_the_length_of_its_taps(presses: list[tuple[int, bool]], was_held: bool) -> None:
    state = ControlState(held=Held(keys=FORWARD if was_held else NO_KEYS))
    events, now = [], 0
    for index, (wait_ms, is_down) in enumerate(presses, 1):
        now += wait_ms
        events.append(at(index, now, keys=FORWARD if is_down else NO_KEYS))
    chunk, after = plan(state, *events)
    row = chunk.keyboard[:, 0]
    is_held = presses[-1][1] if presses else was_held
    assert after.held.keys[0] == is_held
    if is_held:
        assert row.all()
        return
    # Each tap lasts from the press to the release, at least a frame; what the last chunk showed counts no more.
    tapped, since, held = 0, None, was_held
    for event in events:
        down = event.keys == FORWARD
        if down and not held:
            since = event.client_time_us
        if held and not down and since is not None:
            tapped += max(1, round((event.client_time_us - since) * 1e-6 * RATE))
            since = None
        held = down
    assert row.tolist() == [1.0] * min(tapped, 40) + [0.0] * max(0, 40 - tapped)


@given(st.lists(st.tuples(st.floats(-20, 20), st.integers(0, 2)), max_size=12))
def test_motion_is_spent_once_however_it_falls_into_chunks(moves: list[tuple[float, int]]) -> None:
    state, spent, total = ControlState(), 0.0, 0.0
    for event_id, (motion, chunks) in enumerate(moves, 1):
        total += motion
        chunk, state = plan(state, at(event_id, event_id, motion=(0.0, motion)))
        spent += float(chunk.mouse[:, 1].sum(dtype=np.float64))
        for _ in range(chunks):
            chunk, state = plan(state, at(event_id, event_id, motion=(0.0, motion)))
            assert not chunk.mouse.any()
    np.testing.assert_allclose(spent, total, atol=1e-3)


@given(st.permutations(range(1, 7)), st.integers(1, 5))
def test_the_order_of_arrival_and_repeats_change_nothing(order: list[int], repeats: int) -> None:
    events: dict[int, Event] = {
        1: at(1, 10, keys=FORWARD),
        2: at(2, 300, keys=NO_KEYS, motion=(0.0, 0.3)),
        3: script(3, 7),
        4: at(4, 400, look=(0.2, 0.0)),
        5: Pause(event_id=5),
        6: Play(event_id=6),
    }
    one, _ = plan(ControlState(), *events.values())
    other, _ = plan(ControlState(), *(events[number] for number in order))
    np.testing.assert_array_equal(one.keyboard, other.keyboard)
    np.testing.assert_array_equal(one.mouse, other.mouse)
    assert one.applied == other.applied
    _, state = plan(ControlState(), *events.values())
    again, _ = plan(state, *(list(events.values()) * repeats))
    assert again.applied == ()
