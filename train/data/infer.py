"""Actions from camera motion: the keys and mouse that follow a recorded path as closely as the model's rule can."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ...model.poses import DEGREES_PER_MOUSE_UNIT, DIAGONAL_STEP, MOUSE_DEAD_ZONE, STEP, integrate_poses

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

_CHANGE_COST: Final = 0.2 * STEP
"""Units of error that are borne rather than letting go of a key for one frame."""
_TURN_LIMIT: Final = 3.0
"""Mouse units a frame: an eighth of a turn; faster is a cut, not a player."""

# Ahead and aside in {−1, 0, 1} with their displacement in units, standing still first.
_CHORDS: Final = sorted(product((-1, 0, 1), repeat=2), key=lambda chord: abs(chord[0]) + abs(chord[1]))
_STEPS: Final = np.asarray([np.multiply(c, DIAGONAL_STEP if c[0] and c[1] else STEP) for c in _CHORDS], np.float64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Inferred:
    """Actions, the poses they give, and how far these are from what was recorded."""

    keyboard: Float32
    """(F, 6)."""
    mouse: Float32
    """(F, 2)."""
    poses: Float32
    """(F, 5) by the model's rule from these actions."""
    position_error: float
    """Largest distance to the recorded path, in steps."""
    angle_error_deg: float
    """Largest difference of pitch or yaw."""


def infer_actions(poses: npt.NDArray[np.floating[Any]]) -> Inferred:
    """Follows recorded poses (F, 5), in units and degrees from the origin, frame by frame.

    Each frame takes the mouse that turns to the recorded angles and, of the nine chords, the one that ends nearest to
    the recorded place, so errors do not add up. Raises InputError on poses that are not finite.
    """
    target = np.asarray(poses, np.float64)
    if target.ndim != 2 or target.shape[1] != 5 or len(target) < 2 or not np.isfinite(target).all():
        raise InputError(f"poses of shape {target.shape} are not at least two finite rows of five numbers")
    count = len(target)
    keyboard, mouse = np.zeros((count, 6), np.float32), np.zeros((count, 2), np.float32)
    followed = np.zeros((count, 5), np.float64)
    chord = 0
    for row in range(count - 1):
        angles = followed[row, 3:]
        wanted = wrap(target[row + 1, 3:] - angles) / DEGREES_PER_MOUSE_UNIT
        turn = np.clip(wanted, -_TURN_LIMIT, _TURN_LIMIT).astype(np.float32)
        turn[np.abs(turn) < MOUSE_DEAD_ZONE] = 0.0
        turned = angles + turn * DEGREES_PER_MOUSE_UNIT
        heading = np.deg2rad((angles[1] + turned[1]) / 2)
        cos, sin = np.cos(heading), np.sin(heading)
        offset = target[row + 1, :2] - followed[row, :2]
        local = np.asarray([offset[0] * cos + offset[1] * sin, offset[1] * cos - offset[0] * sin])
        cost = np.linalg.norm(_STEPS - local, axis=1) + _CHANGE_COST * (np.arange(len(_STEPS)) != chord)
        chord = int(cost.argmin())
        ahead, aside = _CHORDS[chord]
        keyboard[row, :4] = ahead > 0, ahead < 0, aside < 0, aside > 0
        mouse[row] = turn
        step = _STEPS[chord]
        followed[row + 1, 0] = followed[row, 0] + step[0] * cos - step[1] * sin
        followed[row + 1, 1] = followed[row, 1] + step[0] * sin + step[1] * cos
        followed[row + 1, 3:] = turned
    given = integrate_poses(keyboard, mouse)
    return Inferred(
        keyboard=keyboard,
        mouse=mouse,
        poses=given,
        position_error=float(np.linalg.norm(given[:, :2] - target[:, :2], axis=1).max() / STEP),
        angle_error_deg=float(np.abs(wrap(given[:, 3:] - target[:, 3:])).max()),
    )


def wrap(degrees: Float64) -> Float64:
    """The same angles in [−180, 180)."""
    wrapped: Float64 = (degrees + 180.0) % 360.0 - 180.0
    return wrapped


def poses_of(extrinsics: Float64) -> Float64:
    """(F, 5) units and degrees of camera-to-world matrices (F, 4, 4) in the model's axes; roll is dropped."""
    ahead = extrinsics[:, :3, 2]
    pitch = np.rad2deg(-np.arcsin(np.clip(ahead[:, 2], -1, 1)))
    yaw = np.rad2deg(np.arctan2(ahead[:, 1], ahead[:, 0]))
    return np.concatenate([extrinsics[:, :3, 3] * 100.0, pitch[:, None], yaw[:, None]], 1)


def walking_scale(positions: Float64) -> float:
    """Factor that makes the brisk part of a path (F, 3) of unknown scale one model step a frame; 1 if it stands."""
    moved = np.linalg.norm(np.diff(positions[:, :2], axis=0), axis=1)
    brisk = float(np.percentile(moved, 75)) if len(moved) else 0.0
    return STEP / brisk if brisk > 1e-9 else 1.0
