"""Arrays of player actions: one row a frame. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ActionError
from ..model.clip import Float32

KEYS = ("forward", "back", "left", "right")
"""The keyboard columns that mean something (W, S, A, D); two more are always 0."""
KEY_COLUMNS = 6
CAMERA_STEP = 0.1
"""What a held camera key adds to an angle each frame, in units of 15 degrees."""
_OPPOSITE = [1, 0, 3, 2, 4, 5]


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What is held during one frame. Camera angles are per frame, in units of 15 degrees, in [-1, 1]: positive pitch
    looks down, positive yaw turns right."""

    forward: bool = False
    back: bool = False
    left: bool = False
    right: bool = False
    camera_pitch: float = 0.0
    camera_yaw: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Actions:
    """F frames of actions. Raises ActionError unless shapes and ranges are those of the fields."""

    keyboard: Float32
    """(F, 6) in {0, 1}: W, S, A, D and two unused columns, which are 0."""
    mouse: Float32
    """(F, 2) pitch and yaw a frame in units of 15 degrees, in [-1, 1]."""

    def __post_init__(self) -> None:
        frames = len(self.keyboard)
        if self.keyboard.shape != (frames, KEY_COLUMNS) or self.mouse.shape != (frames, 2):
            raise ActionError(
                f"actions have shapes {self.keyboard.shape} and {self.mouse.shape}",
                hint=f"Give a keyboard array (F, {KEY_COLUMNS}) and a mouse array (F, 2) with the same F.",
            )
        if not np.isin(self.keyboard[:, : len(KEYS)], (0, 1)).all() or self.keyboard[:, len(KEYS) :].any():
            raise ActionError("the keyboard array holds other values than 0 and 1, or uses columns 4 and 5")
        if not (np.abs(self.mouse) <= 1).all():
            raise ActionError("a camera angle is outside [-1, 1]", hint="Angles are per frame, in units of 15 degrees.")

    def __len__(self) -> int:
        return len(self.keyboard)

    def __getitem__(self, rows: slice) -> Actions:
        return Actions(keyboard=self.keyboard[rows], mouse=self.mouse[rows])

    def row(self, frame: int) -> Held:
        """What is held during `frame`."""
        forward, back, left, right = (bool(value) for value in self.keyboard[frame, : len(KEYS)])
        pitch, yaw = (float(value) for value in self.mouse[frame])
        return Held(forward=forward, back=back, left=left, right=right, camera_pitch=pitch, camera_yaw=yaw)

    def rows(self) -> list[Held]:
        """What is held, frame by frame."""
        return [self.row(frame) for frame in range(len(self))]

    def reversed(self) -> Actions:
        """The way back: the rows in opposite order, each with the opposite keys and angles.

        A step goes along the mean of the old and the new yaw, so that the way back passes the same poses exactly.
        """
        return Actions(keyboard=self.keyboard[::-1, _OPPOSITE].copy(), mouse=-self.mouse[::-1] + np.float32(0))


def still(frames: int) -> Actions:
    """`frames` frames with nothing held."""
    return Actions(keyboard=np.zeros((frames, KEY_COLUMNS), np.float32), mouse=np.zeros((frames, 2), np.float32))


def hold(held: Held, frames: int) -> Actions:
    """`frames` frames of the same action."""
    keys = [held.forward, held.back, held.left, held.right, False, False]
    return Actions(
        keyboard=np.tile(np.array(keys, np.float32), (frames, 1)),
        mouse=np.tile(np.array([held.camera_pitch, held.camera_yaw], np.float32), (frames, 1)),
    )


def concatenate(parts: list[Actions]) -> Actions:
    """The parts one after the other."""
    whole = [still(0), *parts]
    return Actions(
        keyboard=np.concatenate([part.keyboard for part in whole]),
        mouse=np.concatenate([part.mouse for part in whole]),
    )


def fitted(actions: Actions, frames: int) -> Actions:
    """Exactly `frames` frames: cut at the end, or followed by frames with nothing held."""
    return concatenate([actions[:frames], still(max(0, frames - len(actions)))])


def equal(one: Actions, other: Actions) -> bool:
    """Whether both hold the same rows, bit for bit."""
    return np.array_equal(one.keyboard, other.keyboard) and np.array_equal(one.mouse, other.mouse)
