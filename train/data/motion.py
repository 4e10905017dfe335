"""Batched torch twin of `worldloom.model.poses`, and poses placed in a world."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...model.poses import DEGREES_PER_MOUSE_UNIT, DIAGONAL_STEP, METRES_PER_UNIT, MOUSE_DEAD_ZONE, STEP


def wrap_degrees(angle: Tensor) -> Tensor:
    """The same angles in [-180, 180]; both ends stay what they are."""
    down = angle - 360 * torch.ceil((angle - 180) / 360)
    up = angle + 360 * torch.ceil((-180 - angle) / 360)
    return torch.where(angle > 180, down, torch.where(angle < -180, up, angle))


def turns_of(mouse: Tensor) -> Tensor:
    """Degrees (…, 2) of pitch and yaw a frame; nothing within the dead zone."""
    mouse = mouse.float()
    return torch.where(mouse.abs() < MOUSE_DEAD_ZONE, torch.zeros_like(mouse), mouse * DEGREES_PER_MOUSE_UNIT)


def steps_of(keyboard: Tensor) -> tuple[Tensor, Tensor]:
    """Units (…) ahead and aside a frame; opposite keys cancel."""
    pressed = (keyboard[..., :4] > 0.5).double()
    ahead, aside = pressed[..., 0] - pressed[..., 1], pressed[..., 3] - pressed[..., 2]
    step = torch.where((ahead != 0) & (aside != 0), DIAGONAL_STEP, STEP)
    return ahead * step, aside * step


def integrate(keyboard: Tensor, mouse: Tensor) -> Tensor:
    """Poses (B, F, 5) float32 from the origin under actions (B, F, 6) and (B, F, 2), rounded frame by frame like
    `model.poses.integrate_poses`; the last row moves nothing yet."""
    turns = turns_of(mouse).cpu().numpy()[:, :-1]
    ahead, aside = (step.cpu().numpy()[:, :-1] for step in steps_of(keyboard))
    poses = np.zeros((*keyboard.shape[:2], 5), np.float32)
    np.cumsum(turns[..., 0], axis=1, out=poses[:, 1:, 3])
    yaw = poses[..., 4]
    for row in range(turns.shape[1]):
        yaw[:, row + 1] = _wrapped(yaw[:, row] + turns[:, row, 1])
    heading = np.deg2rad(((yaw[:, :-1] + yaw[:, 1:]) / 2).astype(np.float64))
    cos, sin = np.cos(heading), np.sin(heading)
    along_x, along_y = np.stack([ahead * cos, ahead * sin], -1), np.stack([aside * sin, -aside * cos], -1)
    for row in range(turns.shape[1]):
        poses[:, row + 1, :2] = poses[:, row, :2] + along_x[:, row] - along_y[:, row]
    return torch.from_numpy(poses).to(keyboard.device)


def _wrapped(degrees: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """As `wrap_degrees`."""
    if np.abs(degrees).max(initial=0) <= 180:
        return degrees
    return wrap_degrees(torch.from_numpy(degrees)).numpy()


def sketch(start: Tensor, keyboard: Tensor, mouse: Tensor) -> Tensor:
    """Poses (…, L, 5) after each of L action rows from `start` (…, 5), summed at once: equal to `integrate` up to
    rounding, and quick for trying out many candidates."""
    turns = turns_of(mouse)
    ahead, aside = steps_of(keyboard)
    pitch = start[..., None, 3] + turns[..., 0].cumsum(-1)
    yaw = wrap_degrees(start[..., None, 4] + turns[..., 1].cumsum(-1))
    before = torch.cat([start[..., None, 4], yaw[..., :-1]], -1)
    heading = torch.deg2rad((before + yaw) / 2)
    x = start[..., None, 0] + (ahead * heading.cos() - aside * heading.sin()).cumsum(-1)
    y = start[..., None, 1] + (ahead * heading.sin() + aside * heading.cos()).cumsum(-1)
    z = start[..., None, 2].expand_as(pitch)
    return torch.stack([x, y, z, pitch, yaw], -1).float()


def place(start: Tensor, poses: Tensor) -> Tensor:
    """World poses (…, F, 5) of model poses (…, F, 5) that begin at the origin, moved to stand at `start` (…, 5)."""
    turn = torch.deg2rad(start[..., None, 4].double())
    x, y = poses[..., 0].double(), poses[..., 1].double()
    return torch.stack(
        [
            start[..., None, 0] + x * turn.cos() - y * turn.sin(),
            start[..., None, 1] + x * turn.sin() + y * turn.cos(),
            start[..., None, 2] + poses[..., 2].double(),
            start[..., None, 3] + poses[..., 3].double(),
            start[..., None, 4] + poses[..., 4].double(),
        ],
        -1,
    ).float()


def metres(poses: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of poses in metres."""
    return poses[..., 0] * METRES_PER_UNIT, poses[..., 1] * METRES_PER_UNIT
