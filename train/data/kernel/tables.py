"""The worlds' tables as the kernel reads them: one word of 4 or 8 bytes for each lookup of a ray."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import torch
from torch import Tensor

from ..blueprint import MAX_MATERIALS, OPEN_SKY
from ..drawing import CELL_FIELDS
from ..look import FAR
from ..patterns import Pattern
from ..scene import CELLS, lit_materials, pack
from ..worlds import Worlds

MATERIAL_BITS: Final = (MAX_MATERIALS - 1).bit_length()
MATERIAL_MASK: Final = (1 << MATERIAL_BITS) - 1
PICTURE: Final = 3
"""Which of a cell's materials a picture on it has; walls, tops and ceilings are 0 … 2 as in `scene`."""
PICTURE_SHIFT: Final = 4 * MATERIAL_BITS
"""The picture's number lies in the bits above the materials."""

FACADE_PAGE: Final = int(Pattern.FACADE)
NOISE_PAGE: Final = int(Pattern.NOISE)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tables:
    """Of B worlds, each contiguous, in the order of the kernel's arguments."""

    plan: Tensor
    """(B, CELLS) int64: height and ceiling in metres, float32."""
    fabric: Tensor
    """(B, CELLS) int32: materials of wall, top, ceiling and picture, then the picture's number."""
    first: Tensor
    """(B, MAX_MATERIALS) int64: first colour and glow, float16."""
    second: Tensor
    """(B, MAX_MATERIALS) int64: second colour and pattern, float16."""
    frequency: Tensor
    """(B, MAX_MATERIALS) float32 periods a metre."""
    solids: Tensor
    """(B, MAX_SOLIDS, 9) float32, see `drawing.DrawnWorld`."""
    air: Tensor
    """(B, sum of air.FIELDS) float32."""
    tallest: Tensor
    """(B,) float32 metres above which there is only sky."""
    light: Tensor
    """(B, TEXELS, TEXELS) int64: lamp light and openness, float16."""
    shadow: Tensor
    """(B, TEXELS, TEXELS) float16 height under which the sun is hidden."""
    atlas: Tensor
    """(texels,) int64: `patterns.atlas`, float16."""

    @property
    def arguments(self) -> tuple[Tensor, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))


def tables_of(worlds: Worlds) -> Tables:
    """The tables of these worlds, on their device."""
    materials = lit_materials(worlds.materials, worlds.air)
    heights = worlds.cells[..., :2].reshape(-1, CELLS, 2).contiguous()
    return Tables(
        plan=heights.view(torch.int64)[..., 0],
        fabric=_fabric(worlds.cells.flatten(1, 2)),
        first=pack(torch.cat([materials[..., 2:5], materials[..., 8:9]], -1)),
        second=pack(torch.cat([materials[..., 5:8], materials[..., :1]], -1)),
        frequency=materials[..., 1].contiguous(),
        solids=worlds.solids.contiguous(),
        air=worlds.air.contiguous(),
        tallest=_tallest(heights),
        light=pack(worlds.light[..., [0, 1, 2, 4]]),
        shadow=worlds.light[..., 3].contiguous(),
        atlas=pack(worlds.atlas),
    )


def _fabric(cells: Tensor) -> Tensor:
    column = dict(zip(CELL_FIELDS, cells.unbind(-1), strict=True))
    top = torch.where(column["height"] > 0, column["wall"], column["floor"])
    parts = (column["wall"], top, column["overhead"], column["decal_material"], column["decal"])
    words = [part.int() << (MATERIAL_BITS * place) for place, part in enumerate(parts)]
    return torch.stack(words).sum(0, dtype=torch.int32)


def _tallest(heights: Tensor) -> Tensor:
    roofed = (heights[..., 1] < OPEN_SKY).any(1)
    return torch.where(roofed, FAR, heights[..., 0].amax(1))
