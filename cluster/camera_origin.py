"""A world's cameras in its game's coordinates. Inside, every world begins at the origin, looking along x.

The first frame is seen from the game's own pose, so all poses are moved there: turned by its yaw about z, then shifted.
Pitch is only added: cameras walk on the floor wherever they look. NumPy only.
"""

from __future__ import annotations

import math

import numpy as np

from ..model.clip import Float32, Float64
from .events import ORIGIN, Pose


def placed(poses: Float64, origin: Pose) -> Float64:
    """Poses (F, 5) of the world, as seen from the game where the first frame is at `origin`."""
    if origin == ORIGIN:
        return poses
    x, y, z, pitch, yaw = origin
    cos, sin = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    moved = np.array(poses, np.float64)
    moved[:, 0] = x + poses[:, 0] * cos - poses[:, 1] * sin
    moved[:, 1] = y + poses[:, 0] * sin + poses[:, 1] * cos
    moved[:, 2:4] += z, pitch
    moved[:, 4] = (poses[:, 4] + yaw + 180.0) % 360.0 - 180.0
    return moved


def placed_pose(pose: Float32, origin: Pose) -> Float32:
    """One pose (5,), likewise."""
    found: Float32 = placed(pose[None].astype(np.float64), origin)[0].astype(np.float32)
    return found
