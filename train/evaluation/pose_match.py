"""Where a generated view stands: the pose whose true view it matches best.

Only pixels that the start image shows take part: what it does not show, a model has to invent. The search is a pattern
search (Hooke & Jeeves 1961) over ahead, aside, pitch and yaw with steps that shrink, on small pictures first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...model.poses import Float32, Float64, extrinsics_of
from .metrics import shrink, to_signed
from .scenes import Scene

_LEAST_SEEN = 0.05
"""Views of which the start image shows less cannot be told apart."""
_MOST_ROUNDS = 4
"""Steps of one size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """One round of the search."""

    shrink: int
    """Of the pictures' height and width."""
    units: float
    """Step ahead and aside, in the model's units (a hundredth of a metre)."""
    degrees: float
    """Step of pitch and yaw."""


LEVELS = (
    Level(shrink=4, units=50, degrees=6),
    Level(shrink=4, units=25, degrees=3),
    Level(shrink=4, units=12, degrees=1.5),
    Level(shrink=4, units=6, degrees=0.75),
    Level(shrink=4, units=4, degrees=0.4),
)

# Neighbours in (ahead, aside, pitch, yaw). Aside and yaw look alike in most places, so they are also tried together.
_NEIGHBOURS = np.concatenate([np.eye(4), -np.eye(4), [(0, a, 0, b) for a in (-1, 1) for b in (-1, 1)]])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Looks:
    """What is truly seen at N poses, in small."""

    views: Tensor
    """(N, 3, h, w) in [-1, 1]."""
    seen: Tensor
    """(N, h, w) bool: what of it the start image shows."""


def look(scene: Scene, poses: Float32, shrunk: int) -> Looks:
    """The true views at model poses (N, 5), at 1/shrunk of the video's size."""
    return Looks(views=to_signed(scene.truth(poses, shrunk)), seen=scene.seen(poses, shrunk))


def mismatch(view: Tensor, looks: Looks) -> Tensor:
    """(N,) mean squared difference of a view (H, W, 3) from each of the looks, where seen."""
    small = shrink(to_signed(view)[None], *looks.seen.shape[-2:])
    error = (small - looks.views).square().mean(dim=1) * looks.seen
    mean = error.sum(dim=(1, 2)) / looks.seen.sum(dim=(1, 2)).clamp(min=1)
    return torch.where(looks.seen.float().mean(dim=(1, 2)) < _LEAST_SEEN, torch.inf, mean)


def find_pose(scene: Scene, view: Tensor, guess: Float32) -> Float32:
    """(5,) model pose that a view (H, W, 3) was taken from, searched from a guess (5,)."""
    best = guess
    for level in LEVELS:
        least = float(mismatch(view, look(scene, best[None], level.shrink)))
        for _ in range(_MOST_ROUNDS):
            around = neighbours(best, level)
            errors = mismatch(view, look(scene, around, level.shrink))
            if float(errors.min()) >= least:
                break
            best, least = around[int(errors.argmin())], float(errors.min())
    return best


def neighbours(pose: Float32, level: Level) -> Float32:
    """(12, 5) poses one step away, ahead and aside as the camera of `pose` looks."""
    ahead, aside, pitch, yaw = (_NEIGHBOURS * (level.units, level.units, level.degrees, level.degrees)).T
    heading = np.radians(pose[4])
    steps = np.zeros((len(_NEIGHBOURS), 5), np.float32)
    steps[:, 0] = ahead * np.cos(heading) - aside * np.sin(heading)
    steps[:, 1] = ahead * np.sin(heading) + aside * np.cos(heading)
    steps[:, 3], steps[:, 4] = pitch, yaw
    return pose + steps


def angle_between(one: Float32, other: Float32) -> float:
    """Degrees of the rotation from one pose's view to the other's."""
    first, second = (_rotation(pose) for pose in (one, other))
    cosine = (np.trace(first.T @ second) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _rotation(pose: Float32) -> Float64:
    rotation: Float64 = extrinsics_of(pose[None])[0, :3, :3]
    return rotation


def metres_between(one: Float32, other: Float32) -> float:
    """Metres from one pose to the other."""
    return float(np.linalg.norm(one[:3] - other[:3])) / 100
