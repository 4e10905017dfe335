"""One quadruplet: video, poses, actions and prompts of an episode, with its meta data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from .video import Frames

SOURCES: Final = ("rendered", "doom", "recorded", "capture")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """F frames of one world."""

    key: str
    """Name within the data set: letters, digits, '-' and '_' only."""
    frames: Frames
    """(F, H, W, 3) RGB."""
    poses: npt.NDArray[np.float32]
    """(F, 5) from the origin: x, y, z in units, pitch and yaw in degrees, as `model.poses` has them."""
    extrinsics: npt.NDArray[np.float32]
    """(F, 4, 4) camera to world in the model's axes (determinant −1), translations in metres."""
    intrinsics: npt.NDArray[np.float32]
    """(4,) fx, fy, cx, cy in pixels."""
    keyboard: npt.NDArray[np.float32]
    """(F, 6) in {0, 1}: W, S, A, D and two unused columns. Row f leads from frame f to frame f + 1."""
    mouse: npt.NDArray[np.float32]
    """(F, 2) pitch and yaw a frame in units of 15 degrees."""
    prompts: tuple[str, ...]
    """From short to long."""
    frames_per_second: float
    source: str
    """One of SOURCES."""
    meta: dict[str, Any] = field(default_factory=dict)
    """More about the origin, fit for JSON: seed, files, measured errors."""

    def __post_init__(self) -> None:
        if not self.key or not all(c.isalnum() or c in "-_" for c in self.key):
            raise InputError(f"sample key {self.key!r} has other characters than letters, digits, '-' and '_'")
        if self.source not in SOURCES:
            raise InputError(f"sample {self.key}: source {self.source!r} is none of {', '.join(SOURCES)}")
        count = len(self.frames)
        shapes = {
            "frames": (self.frames.shape, (count, *self.frames.shape[1:3], 3)),
            "poses": (self.poses.shape, (count, 5)),
            "extrinsics": (self.extrinsics.shape, (count, 4, 4)),
            "intrinsics": (self.intrinsics.shape, (4,)),
            "keyboard": (self.keyboard.shape, (count, 6)),
            "mouse": (self.mouse.shape, (count, 2)),
        }
        for name, (seen, wanted) in shapes.items():
            if seen != wanted:
                raise InputError(f"sample {self.key}: {name} has shape {seen} where {count} frames need {wanted}")
