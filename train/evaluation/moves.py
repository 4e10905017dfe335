"""Action rows of a trial: pressed, turned, joined, and played backwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ...model.clip import FIRST_CLIP_FRAMES, NEW_FRAMES
from ...model.poses import Float32, integrate_poses

CAMERA_KEY = 0.1
"""Mouse units a frame of a held camera key: 1.5 degrees."""
SAME_POSE = 0.05
"""Units and degrees that rounding may part equal poses."""
_OPPOSITE = [1, 0, 3, 2, 4, 5]
"""Columns of S, W, D, A and the two unused ones."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Moves:
    """F action rows; row f moves the camera from frame f to frame f + 1."""

    keyboard: Float32
    """(F, 6) in {0, 1}."""
    mouse: Float32
    """(F, 2) pitch and yaw in units of 15 degrees."""

    def __len__(self) -> int:
        return len(self.keyboard)

    def __add__(self, other: Moves) -> Moves:
        return Moves(
            keyboard=np.concatenate([self.keyboard, other.keyboard]),
            mouse=np.concatenate([self.mouse, other.mouse]),
        )

    def cut(self, start: int, stop: int) -> Moves:
        """Rows start … stop - 1."""
        return Moves(keyboard=self.keyboard[start:stop], mouse=self.mouse[start:stop])

    def reversed(self) -> Moves:
        """The rows that undo these: backwards in time, each with opposite keys and turns."""
        return Moves(keyboard=self.keyboard[::-1, _OPPOSITE], mouse=-self.mouse[::-1])

    def mirrored(self) -> Moves:
        """The same with left and right exchanged."""
        return Moves(keyboard=self.keyboard[:, [0, 1, 3, 2, 4, 5]], mouse=self.mouse * np.array([1, -1], np.float32))

    def filled(self, frames: int) -> Moves:
        """These rows, then stillness up to `frames` rows."""
        return self + hold(frames=frames - len(self))

    def poses(self) -> Float32:
        """(F, 5) model poses of the F frames, from the origin."""
        return integrate_poses(self.keyboard, self.mouse)

    def chunks(self) -> Iterator[Moves]:
        """The rows of each chunk: 57, then 40 each. The number of rows must be that of whole chunks."""
        bounds = [0, *range(FIRST_CLIP_FRAMES, len(self) + 1, NEW_FRAMES)]
        assert bounds[-1] == len(self), f"{len(self)} rows are not those of whole chunks"
        for start, stop in pairwise(bounds):
            yield self.cut(start, stop)


def hold(keys: str = "", *, pitch: float = 0.0, yaw: float = 0.0, frames: int) -> Moves:
    """The keys of `keys` (from W, S, A, D) held and the camera turned evenly, in mouse units a frame."""
    keyboard = np.zeros((frames, 6), np.float32)
    keyboard[:, ["WSAD".index(key) for key in keys]] = 1
    return Moves(keyboard=keyboard, mouse=np.tile(np.array([pitch, yaw], np.float32), (frames, 1)))


def there_and_back(way: Moves) -> Moves:
    """The way of n rows and its reverse, after which frame 2n - k stands where frame k stood, if it `is_reversible`."""
    return way + way.reversed()


def is_reversible(way: Moves) -> bool:
    """Whether the reverse of a way leads back along it.

    It does not where the way is walked through a yaw of exactly 180 degrees: the pose rule keeps both 180 and -180 as
    they are and takes the mean of the yaws as stored, so such a step goes elsewhere forwards than backwards.
    """
    turn = len(way)
    poses = there_and_back(way).filled(2 * turn + 1).poses()
    return apart(poses[turn:], poses[turn::-1]) < SAME_POSE


def apart(poses: Float32, others: Float32) -> float:
    """The largest difference between poses (N, 5) in any of their numbers; full turns of the yaw do not count."""
    difference = np.abs(poses - others)
    difference[:, 4] = np.abs((poses[:, 4] - others[:, 4] + 180) % 360 - 180)
    return float(difference.max())


def frames_of(chunks: int) -> int:
    """Frames of a world of so many chunks."""
    return FIRST_CLIP_FRAMES + NEW_FRAMES * (chunks - 1)


def chunks_for(frames: int) -> int:
    """The fewest chunks that hold so many frames."""
    return 1 + max(0, -(-(frames - FIRST_CLIP_FRAMES) // NEW_FRAMES))
