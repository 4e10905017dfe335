"""The retrieval rule against golden vectors, and against a plain count of every frame."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from worldloom.memory.frustum import POINTS, axes_of, positions_of
from worldloom.memory.retrieval import (
    Selection,
    count_visible,
    first_of_each,
    select_frames,
    upper_bounds,
    world_points,
)
from worldloom.model.poses import extrinsics_of, integrate_poses
from worldloom.serve.scripts import parse_script

from ..model.golden import golden

Poses = np.ndarray[tuple[int, int], np.dtype[np.float64]]
Counts = np.ndarray[tuple[int], np.dtype[np.int64]]


def counted(query: Poses, candidates: Poses) -> Counts:
    """Points of one query (1, 5) that each candidate sees, with nothing left out."""
    points = world_points(axes_of(query)[0], positions_of(query)[0])
    return count_visible(points, axes_of(candidates), positions_of(candidates))


def plainly_selected(queries: Poses, poses: Poses, stop: int) -> tuple[list[int], list[int]]:
    counts = [counted(query[None], poses[1:stop]) for query in queries]
    return [int(count.argmax()) + 1 for count in counts], [int(count.max()) for count in counts]


def golden_selection(case: str, queries: list[int], stop: int) -> Selection:
    poses = load_file(golden(f"{case}/expected.safetensors"))["poses"].astype(np.float64)
    return select_frames(poses[queries], poses, stop)


def test_choices_of_the_camera_case_equal_the_reference() -> None:
    inputs = load_file(golden("camera/inputs.safetensors"))
    expected = load_file(golden("camera/expected.safetensors"))
    found = golden_selection("camera", inputs["query_frames"].tolist(), int(inputs["first_candidate_past"]))
    np.testing.assert_array_equal(found.frame_idx_raw, expected["memory_frame_idx_raw"])
    np.testing.assert_array_equal(found.overlap, expected["memory_overlap"])
    assert found.overlap.dtype == np.float32


@pytest.mark.parametrize("chunk", [1, 2, 3, 4])
def test_choices_of_each_rollout_clip_equal_the_reference(chunk: int) -> None:
    expected = load_file(golden("rollout/expected.safetensors"))
    end = 57 + 40 * chunk
    found = golden_selection("rollout", [end - 1, end - 9, end - 17, end - 25, end - 33], end - 56)
    np.testing.assert_array_equal(found.frame_idx_raw, expected[f"chunk{chunk}.memory_frame_idx_raw"])
    np.testing.assert_array_equal(found.frame_idx, expected[f"chunk{chunk}.memory_frame_idx"])
    np.testing.assert_array_equal(found.latent_idx, expected[f"chunk{chunk}.memory_latent_idx"])
    np.testing.assert_array_equal(found.overlap, expected[f"chunk{chunk}.memory_overlap"])
    np.testing.assert_array_equal(found.pose_idx, 4 * found.latent_idx)


def wandering(seed: int, num_frames: int, *, room: float, turns: float) -> Poses:
    """Poses that wander in a room and come back to some of their places exactly."""
    random = np.random.default_rng(seed)
    poses = np.zeros((num_frames, 5))
    poses[:, :2] = random.uniform(-room, room, (num_frames, 2))
    poses[:, 3] = random.uniform(-40, 40, num_frames)
    poses[:, 4] = random.uniform(-turns, turns, num_frames)
    again = random.random(num_frames) < 0.3
    poses[again] = poses[random.integers(0, num_frames, again.sum())]
    return poses.astype(np.float32).astype(np.float64)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    num_frames=st.integers(6, 150),
    room=st.sampled_from([0.0, 50.0, 1000.0, 20000.0]),
    turns=st.sampled_from([0.0, 10.0, 180.0]),
)
def test_pruning_changes_no_choice_and_ties_go_to_the_first_frame(
    seed: int, num_frames: int, room: float, turns: float
) -> None:
    poses = wandering(seed, num_frames, room=room, turns=turns)
    queries = poses[[-1, -3, -2]]
    stop = num_frames - 2
    frames, counts = plainly_selected(queries, poses, stop)
    found = select_frames(queries, poses, stop)
    assert found.frame_idx_raw.tolist() == frames
    np.testing.assert_array_equal(found.overlap, (np.array(counts) / 1000).astype(np.float32))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), room=st.sampled_from([0.0, 5.0, 1000.0, 10000.0, 1e6]))
def test_no_bound_is_below_its_count(seed: int, room: float) -> None:
    poses = wandering(seed, 100, room=room, turns=180)
    # A query far from the world's origin, where float32 is coarse.
    poses[:, :2] += 1e6
    query = poses[:1]
    bounds = upper_bounds(axes_of(query)[0], positions_of(query)[0], axes_of(poses), positions_of(poses))
    assert (bounds >= counted(query, poses)).all()
    assert (bounds <= 1000).all()


AROUND = (
    "camera_right 22; forward 20; reverse; repeat 4 { left 10; right 10 }; camera_left 30; camera_right 30; still 60"
)
AND_BACK = "forward 31; still 60; reverse; still 80; camera_right 20; still 40; reverse"


@pytest.mark.parametrize(
    ("script", "end", "frames", "points"),
    [
        (AND_BACK, 177, [1, 1, 1, 4, 5], [900] * 5),
        (AROUND, 97, [1, 1, 4, 12, 20], [674, 686, 789, 790, 772]),
        (AROUND, 257, [84] * 5, [800] * 5),
    ],
)
def test_views_met_again_are_counted_as_the_published_rule_counts_them_in_float32(
    script: str, end: int, frames: list[int], points: list[int]
) -> None:
    """Expected: the published rule evaluated by PyTorch in float32 on a CPU. In float64 other frames win."""
    actions = parse_script(script)
    poses = integrate_poses(actions.keyboard, actions.mouse).astype(np.float64)
    found = select_frames(poses[[end - 1, end - 9, end - 17, end - 25, end - 33]], poses, end - 56)
    assert found.frame_idx_raw.tolist() == frames
    np.testing.assert_array_equal(found.overlap, (np.array(points) / 1000).astype(np.float32))


def test_bounds_rule_out_what_looks_away() -> None:
    poses = np.array([[0.0, 0, 0, 0, 0], [0, 0, 0, 0, 180], [0, 0, 0, 0, 90], [9000, 0, 0, 0, 0]])
    bounds = upper_bounds(axes_of(poses)[0], positions_of(poses)[0], axes_of(poses), positions_of(poses))
    assert bounds[0] == 1000 and bounds[1] < 200 and bounds[2] < 400 and bounds[3] == 0


def test_where_nothing_overlaps_the_first_candidate_is_chosen() -> None:
    poses = np.zeros((300, 5))
    poses[:-1, 0] = -1e5 - np.arange(299)
    found = select_frames(poses[-1:], poses, 290)
    assert found.frame_idx_raw.tolist() == [1]
    assert found.overlap.tolist() == [0]


def test_a_camera_that_never_moves_always_sees_the_same_and_chooses_frame_1() -> None:
    found = select_frames(np.zeros((5, 5)), np.zeros((97, 5)), 41)
    assert found.frame_idx_raw.tolist() == [1] * 5
    assert found.frame_idx.tolist() == [1, 1, 1, 1, 4]
    # All but the points on the near and the far plane, two of ten depths.
    np.testing.assert_array_equal(found.overlap, np.full(5, 0.8, np.float32))


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_pose_that_repeats_counts_once_at_its_first_frame(seed: int) -> None:
    poses = wandering(seed, 60, room=100, turns=30)
    kept = first_of_each(poses)
    seen: set[tuple[float, ...]] = set()
    firsts = [frame for frame, pose in enumerate(poses) if tuple(pose) not in seen and not seen.add(tuple(pose))]  # type: ignore[func-returns-value]
    assert kept.tolist() == firsts


def test_the_memorys_cameras_are_those_of_the_model() -> None:
    poses = wandering(3, 50, room=1000, turns=180)
    cameras = extrinsics_of(poses)
    np.testing.assert_array_equal(axes_of(poses), cameras[:, :3, :3].transpose(0, 2, 1))
    np.testing.assert_array_equal(positions_of(poses), cameras[:, :3, 3])


def test_sample_points_fill_the_frustum_from_edge_to_edge() -> None:
    assert POINTS.shape == (1000, 3)
    x, y, z = POINTS.T
    assert (z.min(), z.max()) == (0.1, 30)
    np.testing.assert_allclose([(x / z).min(), (x / z).max(), (y / z).min(), (y / z).max()], [-1, 1, -1, 1])


@pytest.mark.parametrize("stop", [0, 1, 11])
def test_without_candidates_or_past_the_end_there_is_nothing_to_choose(stop: int) -> None:
    with pytest.raises(ValueError, match=f"candidate_stop {stop} .* 10 frames"):
        select_frames(np.zeros((1, 5)), np.zeros((10, 5)), stop)
