"""Which pixels of a view show what another view of the same world has shown before.

A world model invents what its start image does not show, so only the rest can be compared with the truth.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...model.poses import METRES_PER_UNIT, extrinsics_of
from ..data.cast import Rays, camera_rays, cast_columns, cast_plan, cast_solids, near_solids
from ..data.worlds import Worlds

MAGNIFICATION = 2.0
"""What was seen from more than this many times as far away counts as not seen: its detail has to be invented."""
_RELATIVE_SLACK = 0.07
_SLACK_M = 0.15
_NEAREST_M = 0.05
_PASS = 4
"""Frames cast at a time on a CPU: their rays stay in its caches."""
_GPU_PASS = 64


def seen_from(world: Worlds, first: Tensor, poses: Tensor, height: int, width: int) -> Tensor:
    """(F, height, width) bool: whether the view at world pose `first` (5,) shows what a pixel shows at `poses` (F, 5).

    `world` is a batch of one. A point that lies behind something else in the first view is not seen.
    """
    device = world.device
    _, first_t = _distances(world, first[None].to(device), height, width)
    parts = [
        _seen(first.to(device), first_t[0], *_distances(world, part, height, width), height, width)
        for part in torch.split(poses.to(device), _GPU_PASS if device.type == "cuda" else _PASS)
    ]
    return torch.cat(parts).view(-1, height, width)


def _distances(world: Worlds, poses: Tensor, height: int, width: int) -> tuple[Rays, Tensor]:
    """Rays of N poses and (N, P) horizontal metres to what they hit."""
    rays = camera_rays(poses, height, width, math.ceil(math.pi / 2 * width))
    cells = world.cells.flatten(1, 2).expand(len(poses), -1, -1)
    solids = world.solids.expand(len(poses), -1, -1)
    hits = cast_plan(rays, cast_columns(rays, cells), cells)
    return rays, cast_solids(rays, near_solids(rays, solids), hits).t


def _seen(first: Tensor, first_t: Tensor, rays: Rays, t: Tensor, height: int, width: int) -> Tensor:
    axes = torch.from_numpy(extrinsics_of(first[None].cpu().numpy())[0, :3, :3]).to(t)
    x, y, z = (rays.origin[:, i : i + 1] - first[i] * METRES_PER_UNIT for i in range(3))
    offset = torch.stack([x + t * rays.dx, y + t * rays.dy, z + t * rays.slope], dim=-1)
    right, down, depth = (offset @ axes).unbind(-1)
    ahead = depth > _NEAREST_M
    u, v = (value / torch.where(ahead, depth, torch.ones_like(depth)) for value in (right, down))
    inside = ahead & (u.abs() < 1) & (v.abs() < 1)
    column = ((u + 1) / 2 * width).long().clamp(0, width - 1)
    row = ((v + 1) / 2 * height).long().clamp(0, height - 1)
    distance = offset[..., :2].norm(dim=-1)
    same = (first_t[row * width + column] - distance).abs() <= _RELATIVE_SLACK * distance + _SLACK_M
    near = distance <= MAGNIFICATION * t + _SLACK_M
    seen: Tensor = inside & same & near
    return seen
