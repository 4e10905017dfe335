"""Whether the frames of a capture and its ticks run together: offset and drift between picture and pose motion."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...model.poses import STEP
from .video import Frames

Float64 = npt.NDArray[np.float64]

_CORRELATED: Final = 0.35
"""Correlation under which nothing can be said."""
_THUMB: Final = 32
_DEGREES_PER_STEP: Final = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class DriftReport:
    """How picture motion lies against pose motion."""

    offset_frames: float
    """Frames by which the picture is late, at the start of the capture; negative when it is early."""
    drift_frames: float
    """Further frames by which it is late at the end."""
    correlation: float
    """Of the two motions at the best offset, 1 at best. Low: too little motion to judge."""

    @property
    def is_certain(self) -> bool:
        """Whether there was enough varied motion to judge by."""
        return self.correlation >= _CORRELATED

    def is_aligned(self, tolerance_frames: float) -> bool:
        """Whether picture and poses run together within the tolerance, throughout."""
        late = (self.offset_frames, self.offset_frames + self.drift_frames)
        return max(abs(value) for value in late) <= tolerance_frames


def picture_motion(frames: Frames) -> Float64:
    """(F − 1,) mean change between neighbouring frames, on thumbnails."""
    height, width = frames.shape[1:3]
    rows, columns = max(1, height // _THUMB), max(1, width // _THUMB)
    small = frames[:, : height // rows * rows, : width // columns * columns].astype(np.float32).mean(-1)
    small = small.reshape(len(frames), height // rows, rows, width // columns, columns).mean((2, 4))
    motion: Float64 = np.abs(np.diff(small, axis=0)).mean((1, 2)).astype(np.float64)
    return motion


def pose_motion(poses: npt.NDArray[np.floating[Any]]) -> Float64:
    """(F − 1,) how much a view changes from pose to pose, in degrees turned; a step counts half a degree."""
    change = np.diff(poses.astype(np.float64), axis=0)
    turn = np.abs((change[:, 3:] + 180) % 360 - 180).sum(1)
    motion: Float64 = turn + np.linalg.norm(change[:, :3], axis=1) / STEP * _DEGREES_PER_STEP
    return motion


def measure_drift(picture: Float64, pose: Float64, *, reach: int = 24, windows: int = 4) -> DriftReport:
    """Finds the offset of the picture's motion against the poses', in windows along the capture, and a line through.

    Both (F − 1,), cut to the shorter. Offsets up to `reach` frames are found.
    """
    count = min(len(picture), len(pose))
    picture, pose = _compressed(picture[:count]), _compressed(pose[:count])
    reach = min(reach, max(1, count // (2 * windows)))
    edges = np.linspace(0, count, windows + 1).astype(int)
    centers, offsets, strengths = [], [], []
    for low, high in pairwise(edges.tolist()):
        offset, strength = _best_offset(picture, pose, low, high, reach)
        centers.append((low + high) / 2)
        offsets.append(offset)
        strengths.append(max(strength, 0.0))
    weights = np.asarray(strengths) + 1e-6
    slope, start = np.polyfit(centers, offsets, 1, w=weights)
    return DriftReport(
        offset_frames=float(start),
        drift_frames=float(slope * count),
        correlation=float(np.average(strengths, weights=weights)),
    )


def _compressed(motion: Float64) -> Float64:
    """Square root of the motion, so that single cuts do not decide."""
    root: Float64 = np.sqrt(np.maximum(motion, 0.0))
    return root


def _best_offset(picture: Float64, pose: Float64, low: int, high: int, reach: int) -> tuple[float, float]:
    """Offset, to a part of a frame, of the picture within pose frames low … high, and the correlation there."""
    scores = np.full(2 * reach + 1, -1.0)
    for index, offset in enumerate(range(-reach, reach + 1)):
        start, stop = max(low, -offset), min(high, len(picture) - offset)
        if stop - start >= 8:
            scores[index] = _correlation(picture[start + offset : stop + offset], pose[start:stop])
    best = int(scores.argmax())
    part = 0.0
    if 0 < best < 2 * reach:
        left, middle, right = scores[best - 1 : best + 2]
        bend = left - 2 * middle + right
        part = 0.5 * (left - right) / bend if bend < -1e-9 else 0.0
    return best - reach + part, float(scores[best])


def _correlation(a: Float64, b: Float64) -> float:
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm > 1e-9 else 0.0
