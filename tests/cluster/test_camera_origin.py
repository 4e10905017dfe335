"""A game's coordinates: the first frame is where the game says, and walking is the same walk from there."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from worldloom.cluster.camera_origin import placed, placed_pose
from worldloom.cluster.events import ORIGIN
from worldloom.model.poses import continue_poses
from worldloom.serve.scripts import random_script

coordinates = st.floats(-1000, 1000)
angles = st.floats(-180, 179)
WALK = random_script(5, 40)


def test_at_the_origin_nothing_moves() -> None:
    poses = np.arange(10.0).reshape(2, 5)
    assert placed(poses, ORIGIN) is poses


def test_a_step_ahead_goes_where_the_games_camera_looks() -> None:
    ahead = np.array([[10.0, 0.0, 0.0, 3.0, 170.0]])
    np.testing.assert_allclose(placed(ahead, (1.0, 2.0, 4.0, 5.0, 90.0)), [[1, 12, 4, 8, -100]], atol=1e-9)


@given(x=coordinates, y=coordinates, z=coordinates, pitch=st.floats(-30, 30), yaw=angles)
def test_walking_in_the_games_coordinates_is_the_same_walk(
    x: float, y: float, z: float, pitch: float, yaw: float
) -> None:
    origin = (x, y, z, pitch, yaw)
    start = np.zeros(5, np.float32)
    inside = continue_poses(start, WALK.keyboard, WALK.mouse)
    outside = continue_poses(placed_pose(start, origin), WALK.keyboard, WALK.mouse)
    difference = placed(inside.astype(np.float64), origin) - outside
    difference[:, 4] = (difference[:, 4] + 180) % 360 - 180
    # At the ±180° seam the reference walks by the mean of both yaws, which points backwards.
    crosses = np.abs(np.diff(outside[:, 4])).max() > 180 or np.abs(np.diff(inside[:, 4])).max() > 180
    assert crosses or np.abs(difference).max() < 0.1
