"""Planning: which action rows, poses and latents a clip sees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from worldloom.errors import ActionError, InputError
from worldloom.model.clip import (
    ClipInputs,
    MemoryQuery,
    MemoryView,
    WorldState,
    advance,
    initial_state,
    latent_of_frame,
    plan_clip,
)
from worldloom.model.poses import integrate_poses

from .golden import golden

IMAGE = np.zeros((16, 16, 3), np.uint8)


def memory_of(query: MemoryQuery) -> MemoryView:
    """The first latent, five times."""
    slots = len(query.query_poses)
    ones = np.ones(slots, np.int64)
    return MemoryView(
        latents=np.zeros((2, slots, 1, 1), np.float32),
        frame_idx=ones,
        frame_idx_raw=ones,
        latent_idx=ones,
        overlap=np.zeros(slots, np.float32),
        poses=np.zeros((slots, 5)),
    )


def plan(state: WorldState, keyboard: np.ndarray, mouse: np.ndarray, **changes: object) -> ClipInputs:
    arguments = {"prompt": "p", "viewpoint": "first_person", "image": IMAGE, "retrieve": memory_of, **changes}
    return plan_clip(state, keyboard, mouse, **arguments)  # type: ignore[arg-type]


def latents_of(clip: ClipInputs) -> np.ndarray:
    """Latents (2, n, 1, 1) that count from the index of the clip's first new latent."""
    numbers = np.arange(clip.predict_range[1] - clip.num_new_latents, clip.predict_range[1], dtype=np.float32)
    return np.broadcast_to(numbers[None, :, None, None], (2, len(numbers), 1, 1))


def play(keyboard: np.ndarray, mouse: np.ndarray, **changes: object) -> tuple[WorldState, list[ClipInputs]]:
    """All clips of a world whose actions are given for its whole length."""
    state, clips = initial_state(7), []
    while len(state.poses) < len(keyboard):
        rows = slice(len(state.poses), len(state.poses) + state.num_new_frames)
        clips.append(plan(state, keyboard[rows], mouse[rows], **changes))
        state = advance(state, clips[-1], latents_of(clips[-1]))
    return state, clips


def random_actions(num_frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    keyboard = random.integers(0, 2, (num_frames, 6)).astype(np.float32)
    return keyboard, random.uniform(-1, 1, (num_frames, 2)).astype(np.float32)


def test_planned_poses_queries_and_latent_ranges_match_the_reference() -> None:
    inputs = load_file(golden("rollout/inputs.safetensors"))
    expected = load_file(golden("rollout/expected.safetensors"))
    queries: list[MemoryQuery] = []

    def retrieve(query: MemoryQuery) -> MemoryView:
        queries.append(query)
        return memory_of(query)

    state, clips = play(inputs["keyboard"], inputs["mouse"], retrieve=retrieve)
    np.testing.assert_array_equal(state.poses, expected["poses"])
    assert [clip.predict_range for clip in clips] == [tuple(expected[f"chunk{k}.predict_latent_idx"]) for k in range(5)]
    for k, query in enumerate(queries, start=1):
        end = 57 + 40 * k
        assert query.candidate_stop == end - 56
        np.testing.assert_array_equal(
            query.query_poses, expected["poses"][[end - 1, end - 9, end - 17, end - 25, end - 33]]
        )


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), num_chunks=st.integers(1, 4))
def test_planning_chunk_by_chunk_equals_integrating_everything_at_once(seed: int, num_chunks: int) -> None:
    keyboard, mouse = random_actions(57 + 40 * (num_chunks - 1), seed)
    state, clips = play(keyboard, mouse)
    whole = integrate_poses(keyboard, mouse)
    np.testing.assert_array_equal(state.poses, whole)
    for chunk, clip in enumerate(clips):
        stop = 57 + 40 * chunk
        frames = slice(0 if chunk == 0 else stop - 56, stop)
        assert (clip.seed, clip.branch, clip.chunk) == (7, 0, chunk)
        np.testing.assert_array_equal(clip.keyboard, keyboard[frames])
        np.testing.assert_array_equal(clip.mouse, mouse[frames])
        np.testing.assert_array_equal(clip.poses, whole[frames])


def test_each_later_clip_starts_from_the_four_latents_before_it() -> None:
    _, clips = play(*random_actions(57 + 40 * 3))
    assert clips[0].past is None and clips[0].memory is None and clips[0].query_poses is None
    for clip in clips[1:]:
        assert clip.past is not None and clip.memory is not None and clip.image is None
        start = clip.predict_range[0]
        np.testing.assert_array_equal(clip.past[0, :, 0, 0], np.arange(start, start + 4))


@settings(max_examples=30)
@given(change=st.integers(0, 56 + 40), seed=st.integers(0, 100))
def test_an_action_changes_no_pose_up_to_its_own_frame(change: int, seed: int) -> None:
    keyboard, mouse = random_actions(57 + 40, seed)
    other = mouse.copy()
    other[change] += 0.5
    before, after = play(keyboard, mouse)[0].poses, play(keyboard, other)[0].poses
    np.testing.assert_array_equal(before[: change + 1], after[: change + 1])
    assert change == 96 or (before[change + 1] != after[change + 1]).any()


def test_planning_and_advancing_leave_the_state_as_it_was() -> None:
    keyboard, mouse = random_actions(57 + 80)
    state, _ = play(keyboard[:97], mouse[:97])
    copies = {name: np.copy(getattr(state, name)) for name in ("poses", "past", "keyboard", "mouse")}
    first = plan(state, keyboard[97:], mouse[97:])
    advance(state, first, latents_of(first))
    again = plan(state, keyboard[97:], mouse[97:])
    np.testing.assert_array_equal(first.poses, again.poses)
    for name, copy in copies.items():
        np.testing.assert_array_equal(getattr(state, name), copy)


def test_frames_map_to_latents_in_fours_after_the_first() -> None:
    assert [latent_of_frame(frame) for frame in (0, 1, 4, 5, 8, 56, 57)] == [0, 1, 1, 2, 2, 14, 15]


@pytest.mark.parametrize("rows", [0, 40, 56, 58])
def test_another_number_of_action_rows_is_refused_with_both_numbers(rows: int) -> None:
    with pytest.raises(ActionError, match=rf"\({rows}, 6\), expected \(57, 6\)"):
        plan(initial_state(0), *random_actions(rows))


def test_actions_that_are_not_finite_are_refused() -> None:
    keyboard, mouse = random_actions(57)
    mouse[3, 1] = np.nan
    with pytest.raises(ActionError, match="mouse"):
        plan(initial_state(0), keyboard, mouse)


def test_a_first_clip_needs_an_image() -> None:
    with pytest.raises(InputError, match="image"):
        plan(initial_state(0), *random_actions(57), image=None)


def test_a_clip_of_another_place_or_of_another_length_does_not_advance_a_state() -> None:
    keyboard, mouse = random_actions(57)
    clip = plan(initial_state(0), keyboard, mouse)
    with pytest.raises(ValueError, match="does not follow"):
        advance(initial_state(0, branch=1), clip, latents_of(clip))
    with pytest.raises(ValueError, match="14 latents, expected 15"):
        advance(initial_state(0), clip, latents_of(clip)[:, 1:])
