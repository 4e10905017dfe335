"""Ground plans under a roof: dungeons and halls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .air import indoor_air
from .blueprint import CELL, GRID, SOLID, Blueprint, center
from .landmarks import LANDMARKS, place_landmark
from .palette import VIVID, WALLS, linear, shade
from .patterns import Decal, Pattern

WALL_PATTERNS: Final = {
    "brick": (Pattern.BRICKS, 3.0),
    "stone": (Pattern.BLOCKS, 3.5),
    "cobble": (Pattern.COBBLE, 3.0),
    "wooden": (Pattern.PLANKS, 2.5),
    "plaster": (Pattern.PLAIN, 5.0),
    "panelled": (Pattern.PANELS, 3.0),
    "marble": (Pattern.MARBLE, 4.5),
    "striped": (Pattern.STRIPES, 2.5),
}
FLOOR_PATTERNS: Final = {
    "stone": (Pattern.BLOCKS, 4.0),
    "cobble": (Pattern.COBBLE, 4.0),
    "wooden": (Pattern.PLANKS, 3.0),
    "checkered": (Pattern.CHECKER, 5.0),
    "tiled": (Pattern.DIAMONDS, 5.0),
    "marble": (Pattern.MARBLE, 5.0),
    "sand": (Pattern.SAND, 4.0),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """A rectangle of cells [x0, x1) × [y0, y1)."""

    x0: int
    y0: int
    x1: int
    y1: int

    @property
    def middle(self) -> tuple[int, int]:
        return (self.x0 + self.x1) // 2, (self.y0 + self.y1) // 2

    @property
    def cells(self) -> tuple[slice, slice]:
        return slice(self.x0, self.x1), slice(self.y0, self.y1)

    @property
    def with_walls(self) -> tuple[slice, slice]:
        return slice(self.x0 - 1, self.x1 + 1), slice(self.y0 - 1, self.y1 + 1)


def surface(
    bp: Blueprint, table: dict[str, tuple[Pattern, float]], color: str, names: tuple[str, ...]
) -> tuple[int, str]:
    """Adds a wall or floor material of a random named pattern; returns its number and a phrase such as 'red brick'."""
    name = str(bp.rng.choice(names))
    pattern, period = table[name]
    second = {"brick": "cream", "checkered": "white", "tiled": "cream", "striped": "white", "marble": "white"}.get(name)
    mate = shade(color, 0.45) if second is None or second == color else linear(second)
    return bp.material(pattern, color, mate, period), f"{color} {name}"


def wall_faces(bp: Blueprint) -> npt.NDArray[np.int64]:
    """(n, 4) wall cells that border free floor: ix, iy and the free neighbour's step dx, dy, in random order."""
    solid = bp.height > 3
    found = []
    for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        ix, iy = np.nonzero(solid & (np.roll(bp.height, (-dx, -dy), (0, 1)) == 0))
        keep = (ix + dx >= 0) & (ix + dx < GRID) & (iy + dy >= 0) & (iy + dy < GRID)
        found.append(np.stack([ix, iy, np.full_like(ix, dx), np.full_like(iy, dy)], -1)[keep])
    return bp.rng.permutation(np.concatenate(found))


def hang_torches(bp: Blueprint, number: int, color: str, spacing_m: float, z: float, power: float) -> None:
    """Torches on walls, at least `spacing_m` apart, each with its lamp in front of the wall."""
    material = bp.material(Pattern.PLAIN, "brown", color, 2.0, glow=1.2)
    placed: list[tuple[float, float]] = []
    for ix, iy, dx, dy in wall_faces(bp):
        x, y = center(ix) + dx * 0.62 * CELL, center(iy) + dy * 0.62 * CELL
        if len(placed) == number:
            return
        if bp.decal[ix, iy] or any(np.hypot(x - a, y - b) < spacing_m for a, b in placed):
            continue
        placed.append((x, y))
        bp.put_decal(ix, iy, Decal.TORCH, material)
        bp.lamp(x, y, z, color, power)


def hang_pictures(bp: Blueprint, decals: tuple[Decal, ...], number: int) -> None:
    """Pictures of random vivid colours on free wall cells."""
    materials = []
    for _ in range(5):
        first, second = (str(c) for c in bp.rng.choice(VIVID, 2, replace=False))
        materials.append(bp.material(Pattern.PLAIN, first, second, 2.0, glow=0.25))
    faces = [face for face in wall_faces(bp) if not bp.decal[face[0], face[1]]]
    for ix, iy, _, _ in faces[:number]:
        if not bp.decal[ix, iy]:
            bp.put_decal(ix, iy, Decal(int(bp.rng.choice(decals))), int(bp.rng.choice(materials)))


def pick_colors(bp: Blueprint, names: tuple[str, ...], number: int) -> list[str]:
    """So many different colour names."""
    return [str(name) for name in bp.rng.choice(names, number, replace=False)]


def _rooms(bp: Blueprint, number: int, smallest: int, largest: int) -> list[Room]:
    rng, rooms = bp.rng, []
    taken = np.zeros((GRID, GRID), bool)
    for _ in range(200):
        width, depth = rng.integers(smallest, largest + 1, 2)
        x0, y0 = rng.integers(2, GRID - 2 - width), rng.integers(2, GRID - 2 - depth)
        room = Room(x0=int(x0), y0=int(y0), x1=int(x0 + width), y1=int(y0 + depth))
        if taken[room.x0 - 2 : room.x1 + 2, room.y0 - 2 : room.y1 + 2].any():
            continue
        taken[room.cells] = True
        rooms.append(room)
        if len(rooms) == number:
            break
    return rooms


def _corridor(bp: Blueprint, a: Room, b: Room, width: int, ceiling: float, floor: int) -> None:
    """An L-shaped passage between two rooms; rooms keep their own floors and ceilings."""
    (ax, ay), (bx, by) = a.middle, b.middle
    if bp.rng.random() < 0.5:
        (ax, ay), (bx, by) = (bx, by), (ax, ay)
    legs = (
        (slice(min(ax, bx), max(ax, bx) + width), slice(ay, ay + width)),
        (slice(bx, bx + width), slice(min(ay, by), max(ay, by) + width)),
    )
    for leg in legs:
        wall = bp.height[leg] > 0
        bp.height[leg] = 0
        bp.ceiling[leg] = np.where(wall, ceiling, bp.ceiling[leg])
        bp.floor[leg] = np.where(wall, floor, bp.floor[leg])
        bp.reserved[leg] = True


def _furnish(bp: Blueprint, room: Room, height: float, accent: int, crate: int, rug: int) -> None:
    """One of several fillings of a room: pillars, a pool, a rug, crates, a dais."""
    rng = bp.rng
    filling = str(rng.choice(("pillars", "pool", "rug", "crates", "dais", "none"), p=(0.25, 0.15, 0.2, 0.2, 0.1, 0.1)))
    inner = (slice(room.x0 + 1, room.x1 - 1), slice(room.y0 + 1, room.y1 - 1))
    if filling == "pillars" and min(room.x1 - room.x0, room.y1 - room.y0) >= 6:
        for ix in (room.x0 + 1, room.x1 - 2):
            for iy in (room.y0 + 1, room.y1 - 2):
                if not bp.reserved[ix, iy] and bp.has_room(1):
                    bp.solid(center(ix), center(iy), 0, height, 0.45, 0.4, accent)
        _note(bp, "round pillars")
    elif filling == "pool":
        bp.floor[inner] = bp.material(Pattern.WATER, "teal", "turquoise", 4.0)
        _note(bp, "a water pool")
    elif filling == "rug":
        bp.floor[inner] = rug
        _note(bp, "a carpet")
    elif filling == "crates":
        for _ in range(4):
            ix, iy = int(rng.integers(room.x0, room.x1)), int(rng.integers(room.y0, room.y1))
            if not bp.reserved[ix, iy] and bp.height[ix, iy] == 0:
                bp.height[ix, iy] = rng.choice((0.8, 1.25, 1.25, 2.2))
                bp.wall[ix, iy] = crate
        _note(bp, "wooden crates")
    elif filling == "dais":
        ix, iy = room.middle
        block = (slice(ix, ix + 1), slice(iy, iy + 1))
        if not bp.reserved[block].any():
            bp.height[block] = 0.5
            bp.wall[block] = accent
            bp.reserved[block] = True


def _note(bp: Blueprint, feature: str) -> None:
    if feature not in bp.attributes.features:
        bp.attributes.features.append(feature)


def scatter_landmarks(
    bp: Blueprint, names: tuple[str, ...], number: int, size: tuple[float, float], margin: int
) -> None:
    """Landmarks of different colours at free spots, far apart from each other."""
    spots = bp.free_spots(margin)
    colors = [str(color) for color in bp.rng.permutation(VIVID)]
    kinds = [str(name) for name in bp.rng.permutation(names)]
    placed: list[tuple[float, float]] = []
    for ix, iy in spots:
        if len(placed) == number:
            return
        x, y = center(ix), center(iy)
        if any(np.hypot(x - a, y - b) < 6.0 for a, b in placed):
            continue
        index = len(placed)
        color, accent = colors[index % len(colors)], colors[(index + 5) % len(colors)]
        scale = float(bp.rng.uniform(*size))
        if not place_landmark(bp, kinds[index % len(kinds)], color, accent, x, y, scale):
            return
        placed.append((x, y))


def _all_but(*names: str) -> tuple[str, ...]:
    return tuple(name for name in LANDMARKS if name not in names)


def dungeon(bp: Blueprint) -> None:
    """Rooms and passages of stone, torch-lit, each room with its own walls, floor and filling."""
    rng = bp.rng
    colors = pick_colors(bp, WALLS, 4)
    stone, phrase = surface(bp, WALL_PATTERNS, colors[0], ("brick", "stone", "cobble"))
    passage, floor_phrase = surface(
        bp, FLOOR_PATTERNS, str(rng.choice(("grey", "slate", "tan", "brown"))), ("stone", "cobble", "sand")
    )
    bp.attributes.walls.append(phrase + " walls")
    bp.attributes.floors.append(floor_phrase + " floor")
    bp.height[:] = SOLID
    bp.ceiling[:] = low = float(rng.uniform(2.5, 2.9))
    bp.wall[:], bp.floor[:] = stone, passage
    bp.overhead[:] = bp.material(Pattern.BLOCKS, shade(colors[0], 0.5), shade(colors[0], 0.25), 4.0)
    rooms = _rooms(bp, int(rng.integers(7, 11)), 5, 10)
    heights = rng.uniform(3.0, 4.6, len(rooms))
    skins = [
        surface(bp, WALL_PATTERNS, color, ("brick", "stone", "plaster", "panelled", "wooden")) for color in colors[1:]
    ]
    floors = [
        surface(bp, FLOOR_PATTERNS, color, ("stone", "checkered", "tiled", "wooden"))
        for color in pick_colors(bp, WALLS, 3)
    ]
    for index, room in enumerate(rooms):
        bp.wall[room.with_walls] = skins[index % 3][0]
        bp.height[room.cells] = 0
        bp.floor[room.cells] = floors[index % 3][0]
        bp.ceiling[room.cells] = heights[index]
    bp.attributes.walls += [phrase + " walls" for _, phrase in skins]
    bp.attributes.floors += [phrase + " floor" for _, phrase in floors]
    order = [*range(1, len(rooms)), int(rng.integers(0, len(rooms)))]
    for index, following in zip(range(len(rooms)), order, strict=True):
        _corridor(bp, rooms[index], rooms[following], int(rng.integers(2, 4)), low, passage)
    accent = bp.material(Pattern.RINGS, colors[2], "cream", 2.0)
    crate = bp.material(Pattern.PANELS, "brown", "tan", 2.5)
    rug = bp.material(Pattern.CARPET, str(rng.choice(VIVID)), "gold", 4.0)
    for index, room in enumerate(rooms):
        _furnish(bp, room, float(heights[index]), accent, crate, rug)
    scatter_landmarks(bp, _all_but("tower", "obelisk", "dome", "column"), 6, (0.7, 1.0), 1)
    flame = str(rng.choice(("orange", "gold", "turquoise", "violet", "lime"), p=(0.45, 0.25, 0.1, 0.1, 0.1)))
    hang_torches(bp, 24, flame, 5.0, 1.9, 6.0)
    hang_pictures(bp, (Decal.BANNER, Decal.ARCH, Decal.CROSS, Decal.DOOR, Decal.SHELF, Decal.MOON, Decal.VINES), 26)
    bp.attributes.features.append(f"{flame} torches")
    bp.attributes.time = "torchlight"
    glimmer = 0.10 * linear(flame) + 0.13
    indoor_air(
        bp, glimmer.astype(np.float32), (0.04 * linear(flame)).astype(np.float32), float(rng.uniform(16, 30)), 1.0
    )


def _split(bp: Blueprint) -> list[Room]:
    """Four to nine halls that fill the plan but for walls: strips along x, each cut along y on its own."""
    low, high = 3, GRID - 3

    def spans() -> list[tuple[int, int]]:
        parts = int(bp.rng.integers(2, 4))
        even = np.linspace(low, high, parts + 1)
        cuts = [int(cut + bp.rng.integers(-4, 5)) for cut in even[1:-1]]
        return list(zip([low, *(cut + 1 for cut in cuts)], [*(cut - 1 for cut in cuts), high], strict=True))

    return [Room(x0=x[0], x1=x[1], y0=y[0], y1=y[1]) for x in spans() for y in spans()]


def _doorways(bp: Blueprint, halls: list[Room], floor: int) -> None:
    for index, a in enumerate(halls):
        for b in halls[index + 1 :]:
            across_x = a.x1 + 2 == b.x0
            low, high = (max(a.y0, b.y0), min(a.y1, b.y1)) if across_x else (max(a.x0, b.x0), min(a.x1, b.x1))
            touching = across_x or a.y1 + 2 == b.y0
            if not touching or high - low < 6:
                continue
            at = int(bp.rng.integers(low + 1, high - 4))
            gap = slice(at, at + 3)
            door = (slice(a.x1, b.x0), gap) if across_x else (gap, slice(a.y1, b.y0))
            bp.height[door], bp.ceiling[door], bp.floor[door] = 0, 2.8, floor
            around = (slice(a.x1 - 2, b.x0 + 2), gap) if across_x else (gap, slice(a.y1 - 2, b.y0 + 2))
            bp.reserved[around] = True


def _colonnade(bp: Blueprint, hall: Room, ceiling: float, material: int, *, square: bool) -> None:
    """Two rows of pillars, some cells off the walls; square ones are cells, round ones solids."""
    step = int(bp.rng.integers(4, 6))
    for ix in range(hall.x0 + 2, hall.x1 - 2, step):
        for iy in (hall.y0 + 2, hall.y1 - 3):
            if bp.reserved[ix, iy] or bp.height[ix, iy] or (not square and not bp.has_room(2)):
                continue
            if square:
                bp.height[ix, iy] = SOLID
                bp.wall[ix, iy] = material
            else:
                bp.solid(center(ix), center(iy), 0, 0.4, 0.55, 0.55, material)
                bp.solid(center(ix), center(iy), 0.4, ceiling, 0.38, 0.42, material)


def _chandelier(bp: Blueprint, hall: Room, ceiling: float, material: int, color: str) -> None:
    x, y = ((low + high) / 2 * CELL for low, high in ((hall.x0, hall.x1), (hall.y0, hall.y1)))
    if bp.has_room(1):
        bp.ball(x, y, ceiling - 0.9, 0.5, 0.4, material)
    for dx, dy in ((-0.25, -0.25), (0.25, 0.25), (-0.25, 0.25), (0.25, -0.25)):
        bp.lamp(x + dx * (hall.x1 - hall.x0), y + dy * (hall.y1 - hall.y0), ceiling - 1.4, color, 7.0)


def _line(bp: Blueprint, halls: list[Room], ceiling: float) -> None:
    """Opens the halls, each with one of four walls and one of four floors."""
    walls = [
        surface(bp, WALL_PATTERNS, color, ("plaster", "panelled", "marble", "striped", "stone"))
        for color in pick_colors(bp, WALLS, 4)
    ]
    floors = [
        surface(bp, FLOOR_PATTERNS, color, ("checkered", "tiled", "marble", "wooden"))
        for color in pick_colors(bp, WALLS, 4)
    ]
    first = int(bp.rng.integers(4))
    for index, room in enumerate(halls):
        bp.wall[room.with_walls] = walls[index % 4][0]
        bp.height[room.cells] = 0
        bp.ceiling[room.cells] = ceiling + 0.5 * (index % 3)
        bp.floor[room.cells] = floors[(index + first) % 4][0]
    bp.attributes.walls += [phrase + " walls" for _, phrase in walls]
    bp.attributes.floors += [phrase + " floor" for _, phrase in floors]


def hall(bp: Blueprint) -> None:
    """Bright rooms with colonnades, carpets, pictures and exhibits."""
    rng = bp.rng
    ceiling = float(rng.uniform(3.4, 5.0))
    halls = _split(bp)
    bp.height[:] = SOLID
    bp.ceiling[:] = ceiling
    bp.overhead[:] = bp.material(Pattern.PANELS, str(rng.choice(("cream", "white", "tan", "brown"))), "gold", 4.0)
    _line(bp, halls, ceiling)
    carpet = bp.material(Pattern.CARPET, str(rng.choice(VIVID)), "gold", 3.0)
    _doorways(bp, halls, carpet)
    for room in halls:
        mid_x, mid_y = room.middle
        across = (slice(mid_x - 1, mid_x + 2), room.cells[1])
        along = (room.cells[0], slice(mid_y - 1, mid_y + 2))
        bp.floor[across if rng.random() < 0.5 else along] = carpet
    scatter_landmarks(bp, _all_but("tower", "lantern"), 9, (0.65, 0.95), 1)
    pattern = Pattern(int(rng.choice((Pattern.MARBLE, Pattern.PLAIN, Pattern.RINGS))))
    pillar = bp.material(pattern, str(rng.choice(WALLS)), "white", 2.5)
    glow = bp.material(Pattern.PLAIN, "cream", "white", 2.0, glow=1.5)
    lamp = str(rng.choice(("cream", "gold", "white", "pink", "turquoise"), p=(0.4, 0.3, 0.2, 0.05, 0.05)))
    for room in halls:
        _chandelier(bp, room, ceiling, glow, lamp)
        if rng.random() < 0.5:
            _colonnade(bp, room, ceiling + 1.0, pillar, square=bool(rng.random() < 0.4))
    _plinths(bp, int(rng.integers(6, 14)))
    bp.attributes.features += ["a carpet", "rows of pillars", "bright lamps"]
    pictures = (
        Decal.PAINTING,
        Decal.PAINTING,
        Decal.WINDOW,
        Decal.BANNER,
        Decal.SHELF,
        Decal.DOOR,
        Decal.SUN,
        Decal.ARCH,
    )
    hang_pictures(bp, pictures, 70)
    bp.attributes.time = "lamplight"
    light = 0.26 * linear(lamp) + 0.16
    fog = (0.25 * linear(lamp)).astype(np.float32)
    indoor_air(bp, light.astype(np.float32), fog, float(rng.uniform(45, 90)), 0.9)


def _plinths(bp: Blueprint, number: int) -> None:
    """Low coloured blocks, as benches and show cases."""
    pairs = [pick_colors(bp, VIVID, 2) for _ in range(3)]
    materials = [bp.material(Pattern.PANELS, first, second, 2.5) for first, second in pairs]
    for ix, iy in bp.free_spots(1)[:number]:
        bp.height[ix, iy] = bp.rng.choice((0.5, 1.0, 1.3))
        bp.wall[ix, iy] = bp.rng.choice(materials)
