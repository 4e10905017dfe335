"""One world from its seed, as NumPy arrays of fixed shape: what worker processes make and `worlds` batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from . import interiors, lightmap, outdoors
from .air import FIELDS
from .blueprint import MAX_MATERIALS, MAX_SOLIDS, Attributes, Blueprint, Float

KINDS: Final = ("dungeon", "street", "garden", "hall")
_PLANS: Final[dict[str, Callable[[Blueprint], None]]] = {
    "dungeon": interiors.dungeon,
    "street": outdoors.street,
    "garden": outdoors.garden,
    "hall": interiors.hall,
}

CELL_FIELDS: Final = ("height", "ceiling", "wall", "floor", "overhead", "decal", "decal_material")
MATERIAL_WIDTH: Final = 9
SOLID_WIDTH: Final = 9
LIGHT_WIDTH: Final = 5

Fine = npt.NDArray[np.float32] | npt.NDArray[np.float16]


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawnWorld:
    """A finished world."""

    seed: int
    attributes: Attributes
    cells: Float
    """(GRID, GRID, 7) in the order of CELL_FIELDS."""
    materials: Float
    """(MAX_MATERIALS, 9): pattern, 1/period in 1/m, first colour, second colour, glow."""
    solids: Float
    """(MAX_SOLIDS, 9): x, y, z0, z1, then a, b, c of radius² = a + b·z + c·z², reach, material; unused ones far off."""
    air: Float
    """(sum of air.FIELDS,)."""
    light: Fine
    """(TEXELS, TEXELS, 5): lamp light RGB, shadow height, openness."""
    clearance: Fine
    """(TEXELS, TEXELS) metres."""


def kind_of(seed: int) -> str:
    """The kind of place that a seed gives."""
    return KINDS[seed % len(KINDS)]


def draw(seed: int) -> DrawnWorld:
    """The world of a seed: the same on every machine."""
    kind = kind_of(seed)
    bp = Blueprint(seed, kind)
    _PLANS[kind](bp)
    light = lightmap.compute(bp)
    nowhere = np.asarray([-1e4, -1e4, -2.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0], np.float32)
    return DrawnWorld(
        seed=seed,
        attributes=bp.attributes,
        cells=np.stack([getattr(bp, name) for name in CELL_FIELDS], -1).astype(np.float32),
        materials=_padded(bp.materials, MAX_MATERIALS, np.zeros(MATERIAL_WIDTH, np.float32)),
        solids=_padded(bp.solids, MAX_SOLIDS, nowhere),
        air=np.concatenate([bp.air[name] for name in FIELDS]).astype(np.float32),
        light=np.concatenate([light.lamps, light.shadow_height[..., None], light.openness[..., None]], -1),
        clearance=light.clearance,
    )


def draw_compactly(seed: int) -> DrawnWorld:
    """The same world with light and clearance in float16: half as much to hand from process to process."""
    world = draw(seed)
    return replace(world, light=world.light.astype(np.float16), clearance=world.clearance.astype(np.float16))


def _padded(rows: list[Float], number: int, filler: Float) -> Float:
    return np.stack(rows + [filler] * (number - len(rows)))
