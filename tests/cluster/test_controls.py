"""Live control extrapolates; scripts map exactly."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from worldloom.cluster.controls import ChunkControls, Controls, ControlState, Event, Script, plan_controls

FORWARD = (True, False, False, False)
RIGHT = (False, False, False, True)
RATE = 20.0


def plan(state: ControlState, *events: Event, frames: int = 40) -> tuple[ChunkControls, ControlState]:
    return plan_controls(state, events, frames=frames, frame_rate=RATE)


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
    chunk, state = plan(ControlState(), at(1, 500, keys=FORWARD, camera_yaw=0.1))
    following, _ = plan(state)
    for made in (chunk, following):
        assert (made.keyboard == [1, 0, 0, 0, 0, 0]).all()
        np.testing.assert_array_equal(made.mouse, np.tile(np.array([0, 0.1], np.float32), (40, 1)))
        assert (made.client_times_us == 500_000).all()
    assert chunk.applied == ((1, 0),) and following.applied == ()


def test_a_tap_since_the_last_plan_is_played_once_for_its_length_from_the_first_frame() -> None:
    chunk, state = plan(ControlState(), at(1, 1000, keys=FORWARD), at(2, 1250, keys=(False,) * 4))
    assert chunk.keyboard[:, 0].tolist() == [1] * 5 + [0] * 35
    following, _ = plan(state)
    assert not following.keyboard.any()


def test_a_very_short_tap_lasts_one_frame_and_two_taps_add_up() -> None:
    taps = [at(1, 0, keys=RIGHT), at(2, 1), at(3, 400, keys=RIGHT), at(4, 500)]
    chunk, _ = plan(ControlState(), *taps)
    assert chunk.keyboard[:, 3].tolist() == [1] * 3 + [0] * 37


def test_releasing_what_was_held_at_the_last_plan_is_no_tap() -> None:
    _, state = plan(ControlState(), at(1, 0, keys=FORWARD))
    chunk, _ = plan(state, at(2, 300))
    assert not chunk.keyboard.any() and chunk.applied == ((2, 0),)


def test_a_camera_tap_plays_at_its_strongest_beside_a_held_key() -> None:
    chunk, _ = plan(
        ControlState(),
        at(1, 0, keys=FORWARD, camera_yaw=-0.05),
        at(2, 50, keys=FORWARD, camera_yaw=-0.1),
        at(3, 200, keys=FORWARD),
    )
    assert chunk.keyboard[:, 0].all()
    np.testing.assert_allclose(chunk.mouse[:, 1], [-0.1] * 4 + [0.0] * 36, atol=1e-7)


def test_mouse_motion_is_spent_once_in_small_steps() -> None:
    chunk, state = plan(ControlState(), at(1, 0, yaw_motion=0.3), at(2, 20, yaw_motion=0.2, pitch_motion=-8.0))
    np.testing.assert_allclose(chunk.mouse[:, 1], [0.1] * 5 + [0.0] * 35, atol=1e-6)
    np.testing.assert_allclose(chunk.mouse[:, 0], [-0.2] * 40, atol=1e-6)
    assert not plan(state)[0].mouse.any()


def test_an_event_sent_again_has_no_second_effect() -> None:
    _, state = plan(ControlState(), at(3, 0, yaw_motion=0.5))
    again, _ = plan(state, at(3, 0, yaw_motion=0.5))
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
        at(index, index * 10 + ms, keys=keys, camera_pitch=value, yaw_motion=motion)
        for index, (ms, keys, value, motion) in enumerate(inputs, 1)
    ]
    chunk, state = plan(ControlState(), *events)
    assert set(np.unique(chunk.keyboard)) <= {0.0, 1.0} and not chunk.keyboard[:, 4:].any()
    assert np.abs(chunk.mouse).max(initial=0) <= 1
    assert [event for event, _ in chunk.applied] == [event.event_id for event in events]
    assert state.waiting == () and state.last_event_id == len(events)
