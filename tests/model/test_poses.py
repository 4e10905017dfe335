"""Poses and extrinsics against golden vectors, and the rules that the vectors pin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.numpy import load_file
from worldloom.model.poses import (
    clip_motion,
    continue_poses,
    extrinsics_of,
    integrate_poses,
    intrinsics_of,
    memory_motion,
)

from .golden import golden

FORWARD, BACK, LEFT, RIGHT = range(4)


def actions(num_frames: int, *keys: int, pitch: float = 0, yaw: float = 0) -> tuple[np.ndarray, np.ndarray]:
    """The same keys and mouse for every frame."""
    keyboard = np.zeros((num_frames, 6), np.float32)
    keyboard[:, list(keys)] = 1
    return keyboard, np.tile(np.array([pitch, yaw], np.float32), (num_frames, 1))


@pytest.mark.parametrize("case", ["camera", "rollout"])
def test_poses_and_extrinsics_equal_the_reference_bit_for_bit(case: str) -> None:
    inputs = load_file(golden(f"{case}/inputs.safetensors"))
    expected = load_file(golden(f"{case}/expected.safetensors"))
    poses = integrate_poses(inputs["keyboard"], inputs["mouse"])
    assert poses.dtype == np.float32
    np.testing.assert_array_equal(poses, expected["poses"])
    np.testing.assert_array_equal(extrinsics_of(poses), expected["extrinsics"])


def test_intrinsics_cover_90_degrees_both_ways_whatever_the_shape() -> None:
    expected = load_file(golden("rollout/expected.safetensors"))["intrinsics"]
    np.testing.assert_allclose(intrinsics_of(64, 96), expected, rtol=1e-15)


@given(
    keyboard=arrays.arrays(np.float32, (30, 6), elements=st.sampled_from([0.0, 1.0])),
    mouse=arrays.arrays(np.float32, (30, 2), elements=st.floats(-25, 25, width=32)),
    cut=st.integers(1, 29),
)
def test_integrating_in_two_parts_gives_the_same_bits(keyboard: np.ndarray, mouse: np.ndarray, cut: int) -> None:
    whole = integrate_poses(keyboard, mouse)
    head = integrate_poses(keyboard[:cut], mouse[:cut])
    tail = continue_poses(head[-1], keyboard[cut - 1 : -1], mouse[cut - 1 : -1])
    np.testing.assert_array_equal(np.concatenate([head, tail]), whole)
    assert np.abs(whole[:, 4]).max() <= 180


@pytest.mark.parametrize(
    ("keys", "step"),
    [
        ((FORWARD,), (12.35, 0)),
        ((BACK,), (-12.35, 0)),
        ((RIGHT,), (0, 12.35)),
        ((LEFT,), (0, -12.35)),
        ((FORWARD, RIGHT), (8.73, 8.73)),
        ((FORWARD, BACK), (0, 0)),
        ((FORWARD, LEFT, RIGHT), (12.35, 0)),
    ],
)
def test_keys_step_along_the_view_and_opposite_keys_cancel(keys: tuple[int, ...], step: tuple[float, float]) -> None:
    poses = integrate_poses(*actions(2, *keys))
    np.testing.assert_allclose(poses[1], [*step, 0, 0, 0], rtol=1e-6)


def test_mouse_turns_15_degrees_a_unit_and_nothing_below_the_dead_zone() -> None:
    np.testing.assert_array_equal(
        integrate_poses(*actions(2, pitch=0.1, yaw=-0.2))[1, 3:], np.array([1.5, -3], np.float32)
    )
    np.testing.assert_array_equal(integrate_poses(*actions(2, pitch=0.0199, yaw=-0.0199))[1, 3:], [0, 0])


def test_a_whole_turn_and_more_in_one_frame_wraps_into_range() -> None:
    np.testing.assert_allclose(integrate_poses(*actions(2, yaw=25))[1, 4], 375 - 360)
    np.testing.assert_allclose(integrate_poses(*actions(2, yaw=-60))[1, 4], -900 + 720)


def test_a_camera_that_stays_has_no_translation_anywhere_in_the_world() -> None:
    still = np.tile([[1234.5, -77.7, 0, 3.3, 44.4]], (5, 1))
    motion = clip_motion(extrinsics_of(still))
    np.testing.assert_allclose(motion[:, :3, :3], np.tile(np.eye(3), (5, 1, 1)), atol=1e-15)
    assert not motion[:, :3, 3].any()
    assert not memory_motion(extrinsics_of(still), extrinsics_of(still))[:, :3, 3].any()


def test_clip_translations_share_one_scale_and_memory_translations_have_norm_one() -> None:
    poses = np.zeros((4, 5))
    poses[:, 0] = [0, 10, 30, 35]
    cameras = extrinsics_of(poses)
    np.testing.assert_allclose(np.linalg.norm(clip_motion(cameras)[:, :3, 3], axis=1), [0, 0.5, 1, 0.25])
    np.testing.assert_allclose(np.linalg.norm(memory_motion(cameras, cameras[::-1])[:, :3, 3], axis=1), 1)
