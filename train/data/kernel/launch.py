"""Frames by the kernel."""

from __future__ import annotations

import hashlib
import math
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import blueprint, lightmap, look, patterns, scene
from ..cast import cameras
from ..worlds import Worlds
from . import air_row, plan, solids, tables
from .tiles import render_tiles


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """Pixels of a program, both powers of two, and warps that share it."""

    rows: int = 4
    columns: int = 4
    warps: int = 1


TILE: Final = Tile()


def render_frames(
    worlds: Worlds, world: Tensor, poses: Tensor, height: int, width: int, supersample: int, tile: Tile = TILE
) -> Tensor:
    """(N, height, width, 3) uint8 frames; `world` (N,) says which world each of the (N, 5) poses stands in.

    All tensors are on one device: a GPU, or the CPU if Triton interprets.
    """
    images = torch.empty(len(poses), height, width, 3, dtype=torch.uint8, device=worlds.device)
    if len(poses) == 0:
        return images
    programs = len(poses) * triton.cdiv(height, tile.rows) * triton.cdiv(width, tile.columns)
    with torch.cuda.device(images.device) if images.is_cuda else nullcontext():
        render_tiles[(programs,)](
            images,
            cameras(poses).contiguous(),
            world.int(),
            *tables.tables_of(worlds).arguments,
            height,
            width,
            2.0 / math.sqrt(height * width * supersample**2),
            SUPERSAMPLE=supersample,
            SAMPLES=triton.next_power_of_2(supersample**2),
            ROWS=tile.rows,
            COLUMNS=tile.columns,
            NUMBERS=_numbers(),
            num_warps=tile.warps,
        )
    return images


@cache
def _numbers() -> str:
    """A digest of the constants that the kernel's functions read from modules."""
    modules: tuple[ModuleType, ...] = (blueprint, lightmap, look, patterns, scene, air_row, plan, solids, tables)
    kinds = (int, float, tuple, tl.constexpr)
    found = [(name, value) for module in modules for name, value in vars(module).items() if isinstance(value, kinds)]
    return hashlib.sha256(repr(found).encode()).hexdigest()
