"""One world on the drawing board: cell maps, solids, materials and lamps in NumPy, before worlds are batched.

The ground plan is GRID×GRID cells of CELL metres; arrays are indexed [ix, iy], x forward and y right as in the model's
world. Heights are metres over the floor, angles radians.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from ...errors import ConfigError
from .palette import linear
from .patterns import Decal, Pattern

GRID: Final = 48
"""Cells along a side of the ground plan."""
CELL: Final = 1.0
"""Metres along a side of a cell; a step of the model is 0.1235 m."""
SPAN: Final = GRID * CELL
"""Metres along a side of the world."""
EYE: Final = 1.6
"""Metres from the floor to the camera."""
OPEN_SKY: Final = 1000.0
"""Ceiling height that stands for none."""
SOLID: Final = 100.0
"""Height of walls that reach the ceiling, whatever it is."""
MAX_MATERIALS: Final = 64
MAX_SOLIDS: Final = 96
MAX_LAMPS: Final = 40

Float = npt.NDArray[np.float32]


@dataclass(kw_only=True, slots=True)
class Attributes:
    """What a prompt can say about a world; every word comes from the closed lists of `prompts`."""

    kind: str
    time: str = "day"
    weather: str = "clear"
    walls: list[str] = field(default_factory=list)
    """Such as 'red brick walls', most common first."""
    floors: list[str] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    """Such as 'wooden crates', without colours."""
    landmarks: list[str] = field(default_factory=list)
    """Such as 'red tower', most visible first."""


class Blueprint:
    """The drawing board: kinds paint into its arrays and add materials, solids and lamps."""

    def __init__(self, seed: int, kind: str) -> None:
        self.seed = seed
        self.rng = np.random.default_rng((seed, 0x77))
        self.height = np.zeros((GRID, GRID), np.float32)
        self.ceiling = np.full((GRID, GRID), OPEN_SKY, np.float32)
        self.floor = np.zeros((GRID, GRID), np.int16)
        self.wall = np.zeros((GRID, GRID), np.int16)
        self.overhead = np.zeros((GRID, GRID), np.int16)
        self.decal = np.zeros((GRID, GRID), np.int16)
        self.decal_material = np.zeros((GRID, GRID), np.int16)
        self.reserved = np.zeros((GRID, GRID), bool)
        """Cells where nothing more may be put: roads, doorways."""
        self.materials: list[Float] = []
        self.solids: list[Float] = []
        self.lamps: list[Float] = []
        self.attributes = Attributes(kind=kind)
        self.air: dict[str, Float] = {}

    def material(
        self, pattern: Pattern, first: str | Float, second: str | Float, period: float, glow: float = 0.0
    ) -> int:
        """Adds a surface: pattern of `period` metres from colour `first` to `second`; returns its number.

        Raises ConfigError past MAX_MATERIALS.
        """
        if len(self.materials) == MAX_MATERIALS:
            raise ConfigError(f"world {self.seed} has more than {MAX_MATERIALS} materials", hint="reuse materials")
        a, b = (linear(c) if isinstance(c, str) else c for c in (first, second))
        row = np.concatenate([[float(pattern), 1.0 / period], a, b, [glow]])
        self.materials.append(row.astype(np.float32))
        return len(self.materials) - 1

    def solid(self, x: float, y: float, z0: float, z1: float, r0: float, r1: float, material: int) -> None:
        """Adds a cylinder or cone: radius r0 at height z0 to r1 at z1. Silently full past MAX_SOLIDS is not an
        option for collision, so callers ask `has_room` first."""
        slope = (r1 - r0) / (z1 - z0)
        at_zero = r0 - slope * z0
        self._quadric(x, y, z0, z1, (at_zero**2, 2 * slope * at_zero, slope**2), max(r0, r1), material)

    def ball(self, x: float, y: float, z: float, radius: float, half_height: float, material: int) -> None:
        """Adds an ellipsoid about (x, y, z)."""
        k = (radius / half_height) ** 2
        profile = (radius**2 - k * z * z, 2 * k * z, -k)
        self._quadric(x, y, z - half_height, z + half_height, profile, radius, material)

    def _quadric(
        self, x: float, y: float, z0: float, z1: float, profile: tuple[float, float, float], reach: float, material: int
    ) -> None:
        if len(self.solids) >= MAX_SOLIDS:
            raise ConfigError(f"world {self.seed} has more than {MAX_SOLIDS} solids", hint="ask has_room first")
        self.solids.append(np.asarray([x, y, z0, z1, *profile, reach, material], np.float32))

    def has_room(self, solids: int) -> bool:
        """Whether so many more solids fit."""
        return len(self.solids) + solids <= MAX_SOLIDS

    def lamp(self, x: float, y: float, z: float, color: str | Float, power: float) -> None:
        """Adds a light of a colour at a place; `power` is its light at one metre. Further lamps than MAX_LAMPS only
        shine by their own glow, which is what distant lamps do anyway."""
        if len(self.lamps) < MAX_LAMPS:
            tint = linear(color) if isinstance(color, str) else color
            self.lamps.append(np.concatenate([[x, y, z], tint * power]).astype(np.float32))

    def put_decal(self, ix: int, iy: int, decal: Decal, material: int) -> None:
        """Hangs a picture on all four faces of a wall cell, in the colours of a material."""
        self.decal[ix, iy] = decal
        self.decal_material[ix, iy] = material

    def enclose(self, height: float, wall: int, width: int = 1) -> None:
        """Closes the border of the plan with a wall."""
        for edge in (slice(0, width), slice(GRID - width, GRID)):
            self.height[edge, :] = height
            self.height[:, edge] = height
            self.wall[edge, :] = wall
            self.wall[:, edge] = wall

    def free_spots(self, margin: int) -> npt.NDArray[np.int64]:
        """(n, 2) cells with nothing solid or reserved within `margin` cells, in random order."""
        blocked = (self.height > 0) | self.reserved
        for solid in self.solids:
            ix, iy = int(solid[0] / CELL), int(solid[1] / CELL)
            blocked[ix, iy] = True
        near = blocked.copy()
        for dx in range(-margin, margin + 1):
            for dy in range(-margin, margin + 1):
                near |= np.roll(blocked, (dx, dy), (0, 1))
        near[[0, -1], :] = True
        near[:, [0, -1]] = True
        return self.rng.permutation(np.argwhere(~near))


def center(index: int) -> float:
    """Metres of a cell's middle along an axis."""
    return (index + 0.5) * CELL
