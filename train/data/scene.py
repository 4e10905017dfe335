"""The worlds' tables, laid out for many lookups a pixel.

A pixel fetches a row of four float16 as one 64-bit number: on GPUs indexing by rows of 16 bytes or more is many times
slower than indexing by numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from .blueprint import GRID
from .drawing import CELL_FIELDS
from .worlds import Worlds, air_field

CELLS: Final = GRID * GRID
WALL, TOP, OVERHEAD, SOLID = range(4)
"""Which surface of a cell: `Scene.surfaces` lists all walls, then all tops (floors or blocks), ceilings, solids."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Paints:
    """Rows of materials, flat; fours of float16 packed by `pack`."""

    first: Tensor
    """First colour and glow."""
    second: Tensor
    """Second colour, and the pattern or picture number."""
    frequency: Tensor
    """float32 periods a metre."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """Tables of N frames of B worlds."""

    surfaces: Paints
    """(N · surfaces_per_frame,) what each surface is made of; the number is a `Pattern`."""
    decals: Paints
    """(N·CELLS,) pictures on walls; the number is a `Decal`."""
    solids: Tensor
    """(9, N·MAX_SOLIDS)."""
    surfaces_per_frame: int
    solids_per_frame: int
    air: Tensor
    """(N, width)."""
    light: Tensor
    """(B·TEXELS·TEXELS,) packed lamp light and openness."""
    shadow: Tensor
    """(B·TEXELS·TEXELS,) float16 height under which the sun is hidden."""
    world: Tensor
    """(N,) world of each frame."""
    atlas: Tensor
    """(texels,) packed `patterns.atlas`."""


def pack(rows: Tensor) -> Tensor:
    """(…,) int64 from (…, 4) numbers, rounded to float16."""
    return rows.half().contiguous().view(torch.int64)[..., 0]


def unpack(words: Tensor) -> Tensor:
    """(…, 4) float16 that were packed."""
    return words[..., None].view(torch.float16)


def scene_of(worlds: Worlds, world: Tensor) -> Scene:
    """Tables for frames that stand in the worlds of these (N,) numbers."""
    cells, solids, air = worlds.cells.flatten(1, 2)[world], worlds.solids[world], worlds.air[world]
    column = dict(zip(CELL_FIELDS, cells.unbind(-1), strict=True))
    on_top = torch.where(column["height"] > 0, column["wall"], column["floor"])
    surfaces = torch.cat([column["wall"], on_top, column["overhead"], solids[..., 8]], 1)
    materials = lit_materials(worlds.materials[world], air)
    light = worlds.light.flatten(0, 2)
    return Scene(
        surfaces=_paints(materials, surfaces, None),
        decals=_paints(materials, column["decal_material"], column["decal"]),
        solids=solids.flatten(0, 1).T.contiguous(),
        surfaces_per_frame=surfaces.shape[1],
        solids_per_frame=solids.shape[1],
        air=air,
        light=pack(light[:, [0, 1, 2, 4]]),
        shadow=light[:, 3].contiguous(),
        world=world,
        atlas=pack(worlds.atlas),
    )


def lit_materials(materials: Tensor, air: Tensor) -> Tensor:
    """(N, MAX_MATERIALS, 9) materials that glow as much as the time of day wants."""
    glow = materials[..., 8:] * air_field(air, "glow")[:, None]
    return torch.cat([materials[..., :8], glow], -1)


def _paints(materials: Tensor, chosen: Tensor, number: Tensor | None) -> Paints:
    """Of (N, MAX_MATERIALS, 9) materials those chosen (N, M); `number` (N, M) replaces their pattern."""
    index = chosen.long()[..., None].expand(-1, -1, materials.shape[-1])
    rows = torch.gather(materials, 1, index).flatten(0, 1)
    last = rows[:, :1] if number is None else number.reshape(-1, 1)
    return Paints(
        first=pack(torch.cat([rows[:, 2:5], rows[:, 8:9]], 1)),
        second=pack(torch.cat([rows[:, 5:8], last], 1)),
        frequency=rows[:, 1].contiguous(),
    )
