"""Ground plans under the sky: streets and gardens."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from .air import outdoor_air
from .blueprint import GRID, Blueprint, center
from .interiors import WALL_PATTERNS, pick_colors, scatter_landmarks, surface, wall_faces
from .landmarks import LANDMARKS, place_street_lamp, place_tree
from .palette import VIVID, WALLS, linear, shade
from .patterns import Decal, Pattern

Int = npt.NDArray[np.int64]

FOLIAGE: Final = ("green", "olive", "lime", "teal", "orange", "pink", "crimson", "gold")
"""Crown colours; the later ones are autumn and blossom."""
_FOLIAGE_P: Final = (0.3, 0.15, 0.1, 0.1, 0.1, 0.1, 0.08, 0.07)


def _facades(bp: Blueprint) -> list[int]:
    """Seven house fronts of different colour and pattern."""
    materials = []
    for color in pick_colors(bp, WALLS, 7):
        pattern = Pattern(
            int(bp.rng.choice((Pattern.FACADE, Pattern.FACADE, Pattern.FACADE, Pattern.TIMBER, Pattern.BRICKS)))
        )
        second = {Pattern.FACADE: "cream", Pattern.TIMBER: "brown", Pattern.BRICKS: "cream"}[pattern]
        if color in ("cream", "white", "brown"):
            second = "slate"
        period = 4.4 if pattern is Pattern.FACADE else 3.6
        materials.append(bp.material(pattern, color, second, period, glow=1.0 if pattern is Pattern.FACADE else 0.0))
        phrase = {Pattern.FACADE: "houses", Pattern.TIMBER: "timber houses", Pattern.BRICKS: "brick houses"}[pattern]
        bp.attributes.walls.append(f"{color} {phrase}")
    return materials


def _roads(bp: Blueprint) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Spans [low, high) of the roads along y (at these x) and along x (at these y), pavements included."""
    rng = bp.rng

    def cuts(number: int) -> list[tuple[int, int]]:
        width = int(rng.integers(5, 8))
        if number == 1:
            at = int(rng.integers(15, GRID - 15 - width))
            return [(at, at + width)]
        first = int(rng.integers(6, 13))
        second = int(rng.integers(28, GRID - 6 - width))
        return [(first, first + width), (second, second + int(rng.integers(5, 8)))]

    return cuts(int(rng.integers(1, 3))), cuts(2)


def _build_houses(bp: Blueprint, facades: list[int]) -> None:
    """Cuts what is not road into lots, each with its own height and front."""
    rng = bp.rng
    x_edges = np.cumsum(np.r_[0, rng.integers(4, 8, 12)])
    y_edges = np.cumsum(np.r_[0, rng.integers(4, 8, 12)])
    for x0, x1 in pairwise(x_edges):
        for y0, y1 in pairwise(y_edges):
            lot = (slice(x0, x1), slice(y0, y1))
            house = ~bp.reserved[lot]
            bp.height[lot] = np.where(house, 2.2 * rng.integers(2, 6) + 0.4, 0)
            bp.wall[lot] = np.where(house, rng.choice(facades), bp.wall[lot])


def _doors(bp: Blueprint) -> None:
    materials = [
        bp.material(Pattern.PLAIN, a, b, 2.0, glow=0.3) for a, b in (pick_colors(bp, VIVID, 2) for _ in range(4))
    ]
    pictures = (Decal.DOOR, Decal.DOOR, Decal.DOOR, Decal.ARCH, Decal.POSTER, Decal.VINES, Decal.BANNER, Decal.WINDOW)
    for ix, iy, _, _ in wall_faces(bp)[:70]:
        bp.put_decal(ix, iy, Decal(int(bp.rng.choice(pictures))), int(bp.rng.choice(materials)))


def _pave(bp: Blueprint) -> None:
    """Roads with pavements beside the houses, and perhaps a square."""
    rng = bp.rng
    along_y, along_x = _roads(bp)
    road_color = str(rng.choice(("slate", "grey", "tan", "brown")))
    road = bp.material(
        Pattern(int(rng.choice((Pattern.COBBLE, Pattern.PLAIN, Pattern.BLOCKS)))),
        road_color,
        shade(road_color, 0.5),
        4.5,
    )
    walk_color = str(rng.choice([color for color in ("silver", "cream", "tan", "grey") if color != road_color]))
    pavement = bp.material(Pattern.BLOCKS, walk_color, shade(walk_color, 0.5), 3.5)
    square_color = str(rng.choice(WALLS))
    square = bp.material(
        Pattern(int(rng.choice((Pattern.CHECKER, Pattern.DIAMONDS, Pattern.COBBLE)))), square_color, "cream", 5.0
    )
    bp.floor[:] = pavement
    for low, high in along_y:
        bp.reserved[low:high, 2 : GRID - 2] = True
        bp.floor[low + 1 : high - 1] = road
    for low, high in along_x:
        bp.reserved[2 : GRID - 2, low:high] = True
        bp.floor[:, low + 1 : high - 1] = road
    bp.attributes.floors.append(f"{road_color} road")
    (x0, x1), (y0, y1) = along_y[0], along_x[int(rng.integers(len(along_x)))]
    if rng.random() < 0.7:
        grow = rng.integers(2, 6, 4)
        plaza = (slice(max(3, x0 - grow[0]), x1 + grow[1]), slice(max(3, y0 - grow[2]), min(GRID - 3, y1 + grow[3])))
        bp.reserved[plaza] = True
        bp.floor[plaza] = square
        bp.attributes.floors.append(f"{square_color} square")


def street(bp: Blueprint) -> None:
    """Roads between houses, a square, lamps, trees, stalls and landmarks."""
    rng = bp.rng
    time = outdoor_air(bp, fog_m=70.0)
    facades = _facades(bp)
    _pave(bp)
    _build_houses(bp, facades)
    bp.enclose(9.0, facades[0], 2)
    _doors(bp)
    bp.reserved[:] = False
    _stalls(bp, int(rng.integers(5, 12)))
    scatter_landmarks(bp, tuple(LANDMARKS), 7, (0.8, 1.3), 2)
    post = bp.material(Pattern.PLAIN, "slate", "black", 2.0)
    light = bp.material(Pattern.PLAIN, "cream", "cream", 2.0, glow=1.3 if time in ("dusk", "night") else 0.2)
    spots = bp.free_spots(1)
    beside_wall = [
        spot for spot in spots if (bp.height[spot[0] - 2 : spot[0] + 3, spot[1] - 2 : spot[1] + 3] > 3).any()
    ]
    for ix, iy in beside_wall[:9]:
        place_street_lamp(bp, center(ix), center(iy), post, light, lit=time in ("dusk", "night"))
    _trees(bp, beside_wall[9:], int(rng.integers(0, 7)))
    bp.attributes.features.append("street lamps")


def _stalls(bp: Blueprint, number: int) -> None:
    """Crates and market stalls on the ground: single bright cells."""
    colors = pick_colors(bp, VIVID, 3)
    materials = [bp.material(Pattern.STRIPES, color, "white", 1.25) for color in colors]
    materials.append(bp.material(Pattern.PANELS, "brown", "tan", 2.5))
    for ix, iy in bp.free_spots(1)[:number]:
        bp.height[ix, iy] = bp.rng.choice((0.7, 1.1, 1.25, 2.4))
        bp.wall[ix, iy] = bp.rng.choice(materials)
    bp.attributes.features.append(f"{colors[0]} market stalls")


def _trees(bp: Blueprint, spots: Sequence[Int], number: int) -> None:
    rng = bp.rng
    if not number:
        return
    bark = bp.material(Pattern.PLANKS, "brown", "black", 2.0)
    colors = [str(color) for color in rng.choice(FOLIAGE, 3, replace=False, p=_FOLIAGE_P)]
    crowns = [bp.material(Pattern.LEAVES, shade(color, 0.55), shade(color, 1.2), 3.0) for color in colors]
    shapes = [str(shape) for shape in rng.choice(("round", "pine", "poplar"), 2)]
    for index, (ix, iy) in enumerate(spots[:number]):
        jitter = rng.uniform(-0.3, 0.3, 2)
        place_tree(
            bp,
            center(ix) + jitter[0],
            center(iy) + jitter[1],
            shapes[index % 2],
            rng.uniform(0.8, 1.4),
            bark,
            crowns[index % 3],
        )
    bp.attributes.features.append(f"{colors[0]} trees")


def _paths(bp: Blueprint, path: int) -> None:
    """Straight crossing paths and a ring about the middle."""
    rng = bp.rng
    for axis in (0, 1):
        for _ in range(int(rng.integers(1, 3))):
            at, width = int(rng.integers(6, GRID - 8)), int(rng.integers(2, 4))
            strip = (slice(at, at + width), slice(1, GRID - 1))
            strip = strip if axis == 0 else (strip[1], strip[0])
            bp.floor[strip] = path
            bp.reserved[strip] = True
    ix, iy = np.meshgrid(np.arange(GRID), np.arange(GRID), indexing="ij")
    middle = rng.uniform(16, GRID - 16, 2)
    ring = np.abs(np.hypot(ix - middle[0], iy - middle[1]) - rng.uniform(6, 11)) < 1.1
    bp.floor[ring] = path
    bp.reserved[ring] = True


def _hedges(bp: Blueprint, hedge: int, number: int) -> None:
    """Straight pieces of hedge of several heights, never across a path."""
    rng = bp.rng
    for _ in range(number):
        length, height = int(rng.integers(3, 10)), float(rng.choice((0.9, 1.3, 2.2, 3.0)))
        x0, y0 = rng.integers(3, GRID - 4, 2)
        piece = (
            (slice(x0, x0 + length), slice(y0, y0 + 1))
            if rng.random() < 0.5
            else (slice(x0, x0 + 1), slice(y0, y0 + length))
        )
        clear = ~bp.reserved[piece]
        bp.height[piece] = np.where(clear, height, bp.height[piece])
        bp.wall[piece] = hedge


def _beds(bp: Blueprint, number: int) -> None:
    """Flower beds: low blocks of blossom, and ponds in the lawn."""
    rng = bp.rng
    colors = pick_colors(bp, VIVID, 3)
    blossoms = [bp.material(Pattern.FLOWERS, shade("green", 0.6), linear(color), 3.0) for color in colors]
    water = bp.material(Pattern.WATER, str(rng.choice(("teal", "blue", "navy"))), "turquoise", 5.0)
    for _ in range(number):
        x0, y0 = rng.integers(3, GRID - 8, 2)
        bed = (slice(x0, x0 + int(rng.integers(2, 5))), slice(y0, y0 + int(rng.integers(2, 5))))
        if bp.reserved[bed].any() or bp.height[bed].any():
            continue
        if rng.random() < 0.35:
            bp.floor[bed] = water
        else:
            bp.height[bed] = 0.35
            bp.wall[bed] = rng.choice(blossoms)
    bp.attributes.features += [f"{colors[0]} flowers", "a pond"]


def _pavilion(bp: Blueprint, color: str) -> None:
    """Four slim columns under a pointed roof."""
    spots = bp.free_spots(3)
    if not len(spots) or not bp.has_room(5):
        return
    x, y = center(spots[0][0]), center(spots[0][1])
    white = bp.material(Pattern.PLAIN, "white", "cream", 3.0)
    roof = bp.material(Pattern.SHINGLES, color, shade(color, 0.5), 3.0)
    for dx in (-1.7, 1.7):
        for dy in (-1.7, 1.7):
            bp.solid(x + dx, y + dy, 0, 2.7, 0.16, 0.16, white)
    bp.solid(x, y, 2.7, 4.6, 3.0, 0.05, roof)
    bp.attributes.features.append(f"a {color} pavilion")


def garden(bp: Blueprint) -> None:
    """Lawn and gravel with hedges, trees, flower beds, ponds and statues."""
    rng = bp.rng
    time = outdoor_air(bp, fog_m=60.0)
    lawn_color = str(rng.choice(("green", "lime", "olive", "teal", "tan"), p=(0.5, 0.2, 0.15, 0.08, 0.07)))
    bp.floor[:] = bp.material(Pattern.GRASS, shade(lawn_color, 0.35), shade(lawn_color, 1.15), 5.0)
    path_color = str(rng.choice(("cream", "tan", "pink", "silver", "red")))
    pattern = Pattern(int(rng.choice((Pattern.SAND, Pattern.COBBLE, Pattern.BLOCKS, Pattern.DIAMONDS))))
    _paths(bp, bp.material(pattern, path_color, shade(path_color, 0.6), 4.0))
    bp.attributes.floors += [f"{path_color} path", f"{lawn_color} lawn"]
    hedge_color = str(rng.choice(("green", "olive", "teal", "crimson"), p=(0.5, 0.25, 0.15, 0.1)))
    hedge = bp.material(Pattern.LEAVES, shade(hedge_color, 0.35), shade(hedge_color, 0.8), 3.0)
    _hedges(bp, hedge, int(rng.integers(34, 70)))
    bp.attributes.walls.append(f"{hedge_color} hedges")
    _beds(bp, int(rng.integers(24, 44)))
    border, phrase = surface(bp, WALL_PATTERNS, str(rng.choice(WALLS)), ("brick", "stone", "cobble", "plaster"))
    if rng.random() < 0.5:
        bp.enclose(float(rng.uniform(2.4, 4.5)), border)
        bp.attributes.walls.append(phrase + " walls")
        _decorate_border(bp)
    else:
        bp.enclose(float(rng.uniform(2.2, 3.2)), hedge)
    _pavilion(bp, str(rng.choice(VIVID)))
    scatter_landmarks(bp, tuple(LANDMARKS), 11, (0.85, 1.4), 1)
    post = bp.material(Pattern.PLAIN, "slate", "black", 2.0)
    light = bp.material(Pattern.PLAIN, "cream", "cream", 2.0, glow=1.3 if time in ("dusk", "night") else 0.2)
    spots = bp.free_spots(1)
    for ix, iy in spots[:4]:
        place_street_lamp(bp, center(ix), center(iy), post, light, lit=time in ("dusk", "night"))
    _trees(bp, list(spots[4:]), int(rng.integers(9, 18)))


def _decorate_border(bp: Blueprint) -> None:
    first, second = pick_colors(bp, VIVID, 2)
    material = bp.material(Pattern.PLAIN, first, second, 2.0, glow=0.2)
    for ix, iy, _, _ in wall_faces(bp)[:12]:
        bp.put_decal(ix, iy, Decal(int(bp.rng.choice((Decal.VINES, Decal.SUN, Decal.ARCH, Decal.DOOR)))), material)
