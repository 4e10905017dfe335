"""Camera poses from actions. NumPy only.

World axes: x forward, y right, z up, left-handed. Camera axes: x right, y down, z forward. A pose is a row
(x, y, z, pitch, yaw) in units and degrees: positive pitch looks down, positive yaw turns x towards y.

Poses are float32 and grow with one rounding a frame, as in the public reference implementation, so a world that is
integrated chunk by chunk has the same bits as one integrated at once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

METRES_PER_UNIT = 0.01
DEGREES_PER_MOUSE_UNIT = 15.0
MOUSE_DEAD_ZONE = 0.02
STEP = 12.35
"""Units a frame along one axis."""
DIAGONAL_STEP = 8.73
"""Units a frame on each axis of a diagonal: STEP/√2, rounded as the reference has it."""

Array = npt.NDArray[np.generic]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


def integrate_poses(keyboard: Float32, mouse: Float32) -> Float32:
    """Poses (F, 5) of a world's frames 0 … F-1 under its actions (F, 6) and (F, 2); the last row moves nothing yet."""
    origin = np.zeros((1, 5), np.float32)
    return np.concatenate([origin, continue_poses(origin[0], keyboard[:-1], mouse[:-1])])


def continue_poses(start: Array, keyboard: Float32, mouse: Float32) -> Float32:
    """Poses (n, 5) of the n frames after the pose `start` (5,), one action row each.

    `keyboard` (n, 6) holds W, S, A, D and two unused columns; above 0.5 is pressed, opposite keys cancel. `mouse`
    (n, 2) holds pitch and yaw a frame in units of 15 degrees.
    """
    pressed = (keyboard[:, :4] > 0.5).astype(np.float64)
    ahead, aside = pressed[:, 0] - pressed[:, 1], pressed[:, 3] - pressed[:, 2]
    step = np.where((ahead != 0) & (aside != 0), DIAGONAL_STEP, STEP)
    turns = mouse.astype(np.float32) * np.float32(DEGREES_PER_MOUSE_UNIT)
    turns[np.abs(mouse) < np.float32(MOUSE_DEAD_ZONE)] = 0

    poses = np.empty((len(turns), 5), np.float32)
    x, y, z, pitch, yaw = start.astype(np.float32)
    for row, (turn_pitch, turn_yaw) in enumerate(turns):
        pitch += turn_pitch
        # The mean is of the yaws as stored: across the ±180° seam it points backwards, as it does in the reference.
        before, yaw = yaw, wrap_degrees(yaw + turn_yaw)
        heading = np.radians(np.float64((before + yaw) / 2))
        cos, sin = np.cos(heading), np.sin(heading)
        x = np.float32(x + step[row] * (ahead[row] * cos - aside[row] * sin))
        y = np.float32(y + step[row] * (ahead[row] * sin + aside[row] * cos))
        poses[row] = x, y, z, pitch, yaw
    return poses


def wrap_degrees(angle: np.float32) -> np.float32:
    """The same angle in [-180, 180]; both ends stay what they are."""
    if angle > 180:
        return np.float32(angle - 360 * np.ceil((angle - 180) / 360))
    if angle < -180:
        return np.float32(angle + 360 * np.ceil((-180 - angle) / 360))
    return angle


def extrinsics_of(poses: Array) -> Float64:
    """Camera-to-world matrices (F, 4, 4) of poses (F, 5), translations in metres.

    Columns are the camera's right, down and forward axes in the world; the determinant is -1, since camera axes are
    right-handed and the world is left-handed.
    """
    values = poses.astype(np.float64)
    pitch, yaw = np.deg2rad(values[:, 3]), np.deg2rad(values[:, 4])
    cos_pitch, sin_pitch, cos_yaw, sin_yaw = np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw)
    matrices = np.zeros((len(values), 4, 4))
    matrices[:, :2, 0] = np.stack([-sin_yaw, cos_yaw], axis=-1)
    matrices[:, :3, 1] = np.stack([-sin_pitch * cos_yaw, -sin_pitch * sin_yaw, -cos_pitch], axis=-1)
    matrices[:, :3, 2] = np.stack([cos_pitch * cos_yaw, cos_pitch * sin_yaw, -sin_pitch], axis=-1)
    matrices[:, :3, 3] = values[:, :3] * METRES_PER_UNIT
    matrices[:, 3, 3] = 1
    return matrices


def intrinsics_of(height: int, width: int) -> Float64:
    """(fx, fy, cx, cy) in pixels of the model's camera: 90 degrees wide and 90 degrees high whatever the shape."""
    return np.array([width / 2, height / 2, width / 2, height / 2])


def relative_to(base: Float64, extrinsics: Float64) -> Float64:
    """inv(base) · extrinsics for camera-to-world matrices (T, 4, 4).

    Written with the difference of the positions, so that a camera that stays has a translation of exactly 0: what is
    divided by its norm next must not be rounding noise.
    """
    to_base = np.swapaxes(base[:, :3, :3], -1, -2)
    relative = np.zeros_like(extrinsics)
    relative[:, :3, :3] = to_base @ extrinsics[:, :3, :3]
    relative[:, :3, 3:] = to_base @ (extrinsics[:, :3, 3:] - base[:, :3, 3:])
    relative[:, 3, 3] = 1
    return relative


def clip_motion(extrinsics: Float64) -> Float64:
    """Matrices (T, 4, 4) of a clip's cameras, each relative to the one before and the first the identity.

    Translations are divided by the largest of their norms, unless the camera never moves.
    """
    motion = np.concatenate([np.eye(4)[None], relative_to(extrinsics[:-1], extrinsics[1:])])
    largest = np.linalg.norm(motion[:, :3, 3], axis=-1).max()
    if largest > 0:
        motion[:, :3, 3] /= largest
    return motion


def memory_motion(query: Float64, memory: Float64) -> Float64:
    """Matrices (M, 4, 4) of memory cameras relative to their query cameras, each translation of norm 1 or 0."""
    motion = relative_to(query, memory)
    norms = np.linalg.norm(motion[:, :3, 3], axis=-1, keepdims=True)
    motion[:, :3, 3] /= np.where(norms > 0, norms, 1)
    return motion
