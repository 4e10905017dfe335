"""The view frustum that retrieval samples: 90 degrees both ways, 0.1 … 30 m deep, and balls that cover its points.

Retrieval uses this one camera whatever the size of the video. A camera is its axes (3, 3), whose rows are right, down
and forward in the world, and its position (3,) in metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

NEAR = 0.1
FAR = 30.0
SAMPLES = 10
"""Points along each of depth, row and column."""
METRES_PER_UNIT = 0.01
IMAGE_WIDTH, IMAGE_HEIGHT = 1280, 720
"""Of the camera that retrieval assumes, in pixels."""


def axes_of(poses: Float64) -> Float64:
    """Axes (N, 3, 3) of poses (N, 5): x, y, z in units, pitch and yaw in degrees, positive down and to the right."""
    pitch, yaw = np.deg2rad(poses[:, 3:].astype(np.float64)).T
    cos_pitch, sin_pitch, cos_yaw, sin_yaw = np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw)
    right = np.stack([-sin_yaw, cos_yaw, np.zeros_like(yaw)], axis=-1)
    down = np.stack([-sin_pitch * cos_yaw, -sin_pitch * sin_yaw, -cos_pitch], axis=-1)
    forward = np.stack([cos_pitch * cos_yaw, cos_pitch * sin_yaw, -sin_pitch], axis=-1)
    return np.stack([right, down, forward], axis=1)


def positions_of(poses: Float64) -> Float64:
    """Positions (N, 3) in metres."""
    return poses[:, :3].astype(np.float64) * METRES_PER_UNIT


def evenly(first: float, last: float) -> Float32:
    """SAMPLES float32 numbers from `first` to `last`, counted from the nearer end and rounded once.

    The published rule spaces its points so, in float32; a view that is met again stands exactly on the frustum's edges,
    where the last bit decides what counts.
    """
    step = np.float64(np.float32((np.float32(last) - np.float32(first)) / np.float32(SAMPLES - 1)))
    index = np.arange(SAMPLES)
    up, down = np.float64(np.float32(first)) + step * index, np.float64(np.float32(last)) - step * index[::-1]
    return np.where(index < SAMPLES // 2, up, down).astype(np.float32)


def sample_points() -> Float32:
    """The points (1000, 3) in camera axes, depth slowest, each plane's points evenly from edge to edge."""
    depths, across = evenly(NEAR, FAR), evenly(-1, 1)
    z, y, x = np.meshgrid(depths, across, across, indexing="ij")
    return np.stack([x * z, y * z, z], axis=-1).reshape(-1, 3)


@dataclass(frozen=True, kw_only=True, slots=True)
class Balls:
    """Balls around groups of neighbouring points, and what a ball's centre must keep to for any point to be visible."""

    centres: Float64
    """(K, 3) in camera axes."""
    points_each: int
    edge_slack: Float32
    """(K,) how far |x| - z or |y| - z of a centre may be above 0."""
    z_min: Float32
    z_max: Float32


def cover(points: Float32) -> Balls:
    """Balls around the 2×2×2 neighbours among the sample points, with room for float32 rounding."""
    half = SAMPLES // 2
    groups = (
        points.astype(np.float64)
        .reshape(half, 2, half, 2, half, 2, 3)
        .transpose(0, 2, 4, 1, 3, 5, 6)
        .reshape(half**3, 8, 3)
    )
    centres = groups.mean(axis=1)
    radii = np.linalg.norm(groups - centres[:, None], axis=-1).max(axis=1) + 1e-2
    return Balls(
        centres=centres,
        points_each=8,
        # The planes |x| = z and |y| = z stand at 45 degrees.
        edge_slack=(radii * np.sqrt(2)).astype(np.float32),
        z_min=(NEAR - radii).astype(np.float32),
        z_max=(FAR + radii).astype(np.float32),
    )


POINTS = sample_points()
BALLS = cover(POINTS)
