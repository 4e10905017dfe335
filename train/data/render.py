"""Frames of many worlds at once: what the model's camera sees at given poses."""

from __future__ import annotations

import math
from importlib.util import find_spec
from typing import Final

import torch
from torch import Tensor

from .cast import SLOTS, camera_rays, cast_columns, cast_plan, cast_solids, near_solids
from .scene import scene_of
from .shade import shade
from .worlds import Worlds

GPU_PASS: Final = 96
"""Frames in one pass of PyTorch on a GPU: enough to fill it, and a few GB of intermediates at 128×224."""
CPU_PASS: Final = 2
"""Frames in one pass on a CPU, so that intermediates stay in its caches."""
GPU_SAMPLES: Final = GPU_PASS * 256 * 448
CPU_SAMPLES: Final = 1 << 16
"""So many samples may be in a pass: more of small frames, each pass of which costs as much again before it begins."""


def render(worlds: Worlds, poses: Tensor, height: int, width: int, supersample: int = 2) -> Tensor:
    """(B, F, height, width, 3) uint8 RGB frames of B worlds at F poses each, on the worlds' device.

    poses: (B, F, 5) world positions in the model's units (a hundredth of a metre) and degrees, see `paths`.
    """
    batch, frames = poses.shape[:2]
    flat = poses.to(worlds.device).flatten(0, 1)
    world = torch.arange(batch, device=worlds.device).repeat_interleave(frames)
    if has_kernel(worlds.device):
        return render_pass(worlds, world, flat, height, width, supersample).view(batch, frames, height, width, 3)
    a_pass = frames_in_pass(worlds.device, height * width * supersample**2)
    images = [
        render_pass(worlds, part, seen, height, width, supersample)
        for part, seen in zip(torch.split(world, a_pass), torch.split(flat, a_pass), strict=True)
    ]
    return torch.cat(images).view(batch, frames, height, width, 3)


def frames_in_pass(device: torch.device, samples: int) -> int:
    """How many frames of so many samples `reference_pass` should make at a time on this device."""
    frames, most = (GPU_PASS, GPU_SAMPLES) if device.type == "cuda" else (CPU_PASS, CPU_SAMPLES)
    return max(frames, most // samples)


def has_kernel(device: torch.device) -> bool:
    """Whether frames on this device are made by the Triton kernel."""
    return device.type == "cuda" and find_spec("triton") is not None


def render_pass(worlds: Worlds, world: Tensor, poses: Tensor, height: int, width: int, supersample: int) -> Tensor:
    """(N, height, width, 3) uint8 frames; `world` (N,) says which world each of the (N, 5) poses stands in."""
    if has_kernel(worlds.device):
        # Machines without a GPU need no Triton.
        from .kernel.launch import render_frames

        return render_frames(worlds, world, poses, height, width, supersample)
    return reference_pass(worlds, world, poses, height, width, supersample)


def reference_pass(
    worlds: Worlds,
    world: Tensor,
    poses: Tensor,
    height: int,
    width: int,
    supersample: int,
    *,
    fineness: int = 1,
    slots: int = SLOTS,
) -> Tensor:
    """As `render_pass`, by PyTorch: quick on CPUs, and what the kernel is checked against.

    Columns of directions stand for the rays near them, `fineness` times as many as a row has samples in the middle,
    and see `slots` solids each. The more, the nearer to exact: the kernel has neither limit.
    """
    rows, columns = height * supersample, width * supersample
    cells = worlds.cells.flatten(1, 2)[world]
    rays = camera_rays(poses, rows, columns, math.ceil(math.pi / 2 * columns * fineness))
    hits = cast_plan(rays, cast_columns(rays, cells), cells)
    hits = cast_solids(rays, near_solids(rays, worlds.solids[world], slots), hits)
    colors = shade(rays, hits, scene_of(worlds, world), 2.0 / math.sqrt(rows * columns))
    boxes = colors.reshape(-1, height, supersample, width, supersample, 3)
    return (boxes.mean((2, 4), dtype=torch.float32) * 255).round().to(torch.uint8)
