"""Frames of many worlds at once: what the model's camera sees at given poses."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from .cast import camera_rays, cast_columns, cast_plan, cast_solids, near_solids
from .scene import scene_of
from .shade import shade
from .worlds import Worlds

GPU_PASS: Final = 96
"""Frames in one pass on a GPU: enough to fill it, and a few GB of intermediates at 128×224."""
CPU_PASS: Final = 2
"""Frames in one pass on a CPU, so that intermediates stay in its caches."""


def render(worlds: Worlds, poses: Tensor, height: int, width: int, supersample: int = 2) -> Tensor:
    """(B, F, height, width, 3) uint8 RGB frames of B worlds at F poses each, on the worlds' device.

    poses: (B, F, 5) world positions in the model's units (a hundredth of a metre) and degrees, see `paths`.
    """
    batch, frames = poses.shape[:2]
    flat = poses.to(worlds.device).flatten(0, 1)
    world = torch.arange(batch, device=worlds.device).repeat_interleave(frames)
    a_pass = GPU_PASS if worlds.device.type == "cuda" else CPU_PASS
    images = [
        render_pass(worlds, world[start : start + a_pass], flat[start : start + a_pass], height, width, supersample)
        for start in range(0, batch * frames, a_pass)
    ]
    return torch.cat(images).view(batch, frames, height, width, 3)


def render_pass(worlds: Worlds, world: Tensor, poses: Tensor, height: int, width: int, supersample: int) -> Tensor:
    """(N, height, width, 3) uint8 frames; `world` (N,) says which world each of the (N, 5) poses stands in.

    Shapes depend on N and the size only, and nothing waits for the device: fit for torch.compile and CUDA graphs.
    """
    rows, columns = height * supersample, width * supersample
    cells = worlds.cells.flatten(1, 2)[world]
    rays = camera_rays(poses, rows, columns, math.ceil(math.pi / 2 * columns))
    hits = cast_plan(rays, cast_columns(rays, cells), cells)
    hits = cast_solids(rays, near_solids(rays, worlds.solids[world]), hits)
    colors = shade(rays, hits, scene_of(worlds, world), 2.0 / math.sqrt(rows * columns))
    boxes = colors.reshape(-1, height, supersample, width, supersample, 3)
    return (boxes.mean((2, 4), dtype=torch.float32) * 255).round().to(torch.uint8)
