"""The camera-pose track: keys and mouse that bring the camera to a goal, frame by frame. NumPy only, pure.

The world's cameras walk in steps of one length and turn by the mouse, so a goal is reached within half a step and the
mouse's dead zone. It turns at the speed of the model's data.
"""

from __future__ import annotations

import math

import numpy as np

from ..model.clip import Float32, WorldState
from ..model.poses import DEGREES_PER_MOUSE_UNIT, MOUSE_DEAD_ZONE, STEP, continue_poses
from .events import CameraGoal, Keys

TURN_STEP = 0.1
"""Largest turn a frame about one axis, in units of 15 degrees."""
PITCH_LIMIT = 90.0


def first_pose(state: WorldState) -> Float32:
    """(5,) pose of the first frame of the next chunk: the last row so far leads there."""
    if not len(state.poses):
        return np.zeros(5, np.float32)
    pose: Float32 = continue_poses(state.poses[-1], state.keyboard[-1:], state.mouse[-1:])[0]
    return pose


def steer_to(goal: CameraGoal, pose: Float32, keyboard: Float32, mouse: Float32) -> None:
    """Add to the rows (n, 6) and (n, 2), in place, what leads from `pose` (5,) of the first row's frame to the goal."""
    if goal.pose is None:
        return
    for row in range(len(mouse)):
        mouse[row] = np.clip(mouse[row] + _turn(goal.pose, pose), -1, 1)
        if not goal.look_only:
            keyboard[row, :4] = np.maximum(keyboard[row, :4], _steps(goal.pose, pose))
        pose = continue_poses(pose, keyboard[row : row + 1], mouse[row : row + 1])[0]


def _turn(goal: tuple[float, ...], pose: Float32) -> Float32:
    """Pitch and yaw of one frame, in units of 15 degrees."""
    pitch = min(max(goal[3], -PITCH_LIMIT), PITCH_LIMIT) - float(pose[3])
    yaw = (goal[4] - float(pose[4]) + 180.0) % 360.0 - 180.0
    turn = np.array([pitch, yaw]) / DEGREES_PER_MOUSE_UNIT
    turn[np.abs(turn) < MOUSE_DEAD_ZONE] = 0.0
    return np.clip(turn, -TURN_STEP, TURN_STEP).astype(np.float32)


def _steps(goal: tuple[float, ...], pose: Float32) -> Keys:
    """Keys of one frame: each axis that is more than half a step off."""
    east, north = goal[0] - float(pose[0]), goal[1] - float(pose[1])
    heading = math.radians(float(pose[4]))
    ahead = east * math.cos(heading) + north * math.sin(heading)
    aside = north * math.cos(heading) - east * math.sin(heading)
    return ahead > STEP / 2, ahead < -STEP / 2, aside < -STEP / 2, aside > STEP / 2
