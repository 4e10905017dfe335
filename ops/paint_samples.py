"""Paints the sample start images: ray-cast places, the same bits for the same scene.

    python ops/paint_samples.py [FOLDER]     (default: serve/samples)

The camera is the model's: 90 degrees both ways. Lengths are in cells of the map, colours are linear in [0, 1].
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

WIDTH, HEIGHT = 448, 256
SUPERSAMPLE = 3
EYE = 0.62
REACH = 40
Grid = npt.NDArray[np.float64]
Colour = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """A place, seen from one spot."""

    plan: tuple[str, ...]
    """Map rows; a letter is a wall of that material, a space is floor."""
    eye: tuple[float, float]
    """(column, row) on the map."""
    yaw: float
    """Degrees; 0 looks along the rows, 90 down the columns."""
    floor: Callable[[Grid, Grid], Grid]
    sky_top: Colour
    sky_low: Colour
    sun: tuple[float, float]
    """Direction of the sun or moon: yaw on the map and height, in degrees."""
    sun_colour: Colour
    clouds: float
    stars: float
    fog: float
    """Share of the far colour a cell of distance adds."""
    light: float


def noise(x: Grid, y: Grid, seed: int) -> Grid:
    """Smooth value noise of period-free integer lattices, in [0, 1]."""
    x0, y0 = np.floor(x), np.floor(y)
    u, v = (t * t * (3 - 2 * t) for t in (x - x0, y - y0))
    corners = [[_hash(x0 + i, y0 + j, seed) for i in (0, 1)] for j in (0, 1)]
    top, low = (a + (b - a) * u for a, b in corners)
    return top + (low - top) * v


def clouded(x: Grid, y: Grid, seed: int) -> Grid:
    """Four octaves of noise, in [0, 1]."""
    return sum((noise(x * 2**k, y * 2**k, seed + k) / 2 ** (k + 1) for k in range(4)), np.zeros_like(x)) / (15 / 16)


def _hash(x: Grid, y: Grid, seed: int) -> Grid:
    with np.errstate(over="ignore"):
        bits = x.astype(np.int64).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        bits += y.astype(np.int64).astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F) + np.uint64(seed * 7919 + 1)
        for shift in (30, 27):
            bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(0xBF58476D1CE4E5B9)
    return (bits >> np.uint64(11)).astype(np.float64) / 2.0**53


def _mix(low: Colour, high: Colour, share: Grid) -> Grid:
    mixed: Grid = np.asarray(low) + (np.asarray(high) - np.asarray(low)) * share[..., None]
    return mixed


def _blocks(x: Grid, y: Grid, size: tuple[float, float], seed: int) -> tuple[Grid, Grid]:
    """Masonry: a shade per block in [0, 1], and 1 in the joints between blocks."""
    row = np.floor(y / size[1])
    column = np.floor(x / size[0] + 0.5 * (row % 2))
    to_side = np.abs((x / size[0] + 0.5 * (row % 2)) % 1 - 0.5) * size[0]
    to_level = np.abs(y / size[1] % 1 - 0.5) * size[1]
    gap = np.minimum(size[0] / 2 - to_side, size[1] / 2 - to_level)
    return _hash(column, row, seed), np.clip(1 - gap / 0.022, 0, 1)


def bricks(x: Grid, y: Grid) -> Grid:
    shade, joint = _blocks(x, y, (0.3, 0.12), 11)
    colour = _mix((0.38, 0.13, 0.08), (0.66, 0.30, 0.19), 0.65 * shade + 0.35 * clouded(x * 9, y * 9, 12))
    return colour + (np.asarray((0.55, 0.50, 0.44)) - colour) * joint[..., None]


def stone(x: Grid, y: Grid) -> Grid:
    shade, joint = _blocks(x, y, (0.5, 0.25), 21)
    colour = _mix((0.36, 0.35, 0.33), (0.68, 0.64, 0.57), 0.5 * shade + 0.5 * clouded(x * 6, y * 6, 22))
    return colour * (1 - 0.6 * joint[..., None])


def plaster(x: Grid, y: Grid) -> Grid:
    colour = _mix((0.72, 0.58, 0.38), (0.90, 0.79, 0.60), clouded(x * 3, y * 3, 31))
    column, row = x % 1, y
    window = (np.abs(column - 0.5) < 0.17) & (np.abs(row - 0.85) < 0.24)
    frame = (np.abs(column - 0.5) < 0.21) & (np.abs(row - 0.85) < 0.28)
    colour[frame] = (0.30, 0.19, 0.11)
    colour[window] = (0.16, 0.28, 0.38)
    colour[row < 0.22] *= 0.62
    return colour


def lit_plaster(x: Grid, y: Grid) -> Grid:
    colour = plaster(x, y)
    window = (np.abs(x % 1 - 0.5) < 0.17) & (np.abs(y - 0.85) < 0.24) & (np.abs(x % 1 - 0.5) > 0.015)
    colour[window] = (5.5, 3.4, 1.1)
    return colour


def hedge(x: Grid, y: Grid) -> Grid:
    leaves = 0.45 * clouded(x * 10, y * 10, 41) + 0.55 * noise(x * 42, y * 42, 42)
    return _mix((0.02, 0.09, 0.02), (0.24, 0.46, 0.10), leaves)


def timber(x: Grid, y: Grid) -> Grid:
    plank = np.floor(x / 0.14)
    colour = _mix(
        (0.24, 0.12, 0.05), (0.52, 0.31, 0.14), clouded(x * 14, y * 1.5, 51) * 0.6 + _hash(plank, plank, 52) * 0.4
    )
    colour[(x / 0.14) % 1 < 0.1] *= 0.4
    colour[np.abs(y - 0.5) % 0.6 < 0.05] *= 0.5
    return colour


def blue_tiles(x: Grid, y: Grid) -> Grid:
    ring = np.hypot(x % 0.25 - 0.125, y % 0.25 - 0.125)
    colour = _mix((0.06, 0.22, 0.50), (0.16, 0.46, 0.74), clouded(x * 5, y * 5, 61))
    colour[np.abs(ring - 0.08) < 0.018] = (0.93, 0.86, 0.62)
    colour[(x % 0.25 < 0.012) | (y % 0.25 < 0.012)] = (0.85, 0.86, 0.84)
    return colour


def flagstones(x: Grid, y: Grid) -> Grid:
    shade, joint = _blocks(x, y, (0.66, 0.5), 71)
    colour = _mix((0.40, 0.37, 0.32), (0.64, 0.60, 0.52), 0.6 * shade + 0.4 * clouded(x * 7, y * 7, 72))
    return colour * (1 - 0.55 * joint[..., None])


def cobbles(x: Grid, y: Grid) -> Grid:
    shade, joint = _blocks(x, y, (0.2, 0.2), 81)
    colour = _mix((0.20, 0.21, 0.24), (0.46, 0.46, 0.48), 0.7 * shade + 0.3 * clouded(x * 9, y * 9, 82))
    return colour * (1 - 0.75 * joint[..., None])


def lawn(x: Grid, y: Grid) -> Grid:
    colour = _mix(
        (0.10, 0.22, 0.04), (0.34, 0.52, 0.14), 0.6 * clouded(x * 3, y * 3, 91) + 0.4 * noise(x * 40, y * 40, 92)
    )
    path = np.abs(y - 4.5 - 0.35 * np.sin(x)) < 0.55
    gravel = _mix((0.58, 0.50, 0.38), (0.80, 0.73, 0.60), noise(x * 30, y * 30, 93))
    return np.where(path[..., None], gravel, colour)


MATERIALS: dict[str, tuple[Callable[[Grid, Grid], Grid], float]] = {
    "B": (bricks, 1.5),
    "S": (stone, 1.9),
    "P": (plaster, 1.6),
    "L": (lit_plaster, 1.7),
    "H": (hedge, 0.95),
    "T": (timber, 1.25),
    "U": (blue_tiles, 2.3),
}
"""Letter of a map → what its walls look like, and their height."""

SCENES = {
    "courtyard": Scene(
        plan=(
            "BBBBPPPPPBBBBBB",
            "B             B",
            "P   S     S   B",
            "P             T",
            "P             T",
            "P      U      B",
            "P             B",
            "B   S     S   B",
            "B             B",
            "BBBTTBBPPPPBBBB",
        ),
        eye=(2.2, 4.9), yaw=8, floor=flagstones,
        sky_top=(0.16, 0.36, 0.72), sky_low=(0.72, 0.83, 0.92), sun=(-60, 38), sun_colour=(1.0, 0.93, 0.78),
        clouds=0.75, stars=0, fog=0.018, light=1.05,
    ),
    "garden": Scene(
        plan=(
            "HHHHHHHHHHHHHHHH",
            "H     H        H",
            "H     H   S    H",
            "H              H",
            "H              U",
            "H              U",
            "H   S     T    H",
            "H      HHH     H",
            "H              H",
            "HHHHHHHHHHHHHHHH",
        ),
        eye=(1.8, 4.6), yaw=-4, floor=lawn,
        sky_top=(0.30, 0.34, 0.62), sky_low=(1.0, 0.68, 0.42), sun=(12, 13), sun_colour=(1.0, 0.72, 0.42),
        clouds=0.9, stars=0, fog=0.014, light=1.0,
    ),
    "night-street": Scene(
        plan=(
            "SSSSSSSSSSSSSSSS",
            "SPLPPTLLPSSLPPSS",
            "S             BS",
            "S             LS",
            "S             BS",
            "SLPLBB  LPLPPLSS",
            "SSSSSB  BSSSSSSS",
            "SSSSSB  BSSSSSSS",
            "SSSSSSSSSSSSSSSS",
        ),
        eye=(1.7, 3.7), yaw=3, floor=cobbles,
        sky_top=(0.008, 0.014, 0.045), sky_low=(0.07, 0.09, 0.19), sun=(20, 32), sun_colour=(0.95, 0.95, 1.0),
        clouds=0.25, stars=1, fog=0.03, light=0.30,
    ),
}  # fmt: skip


def paint(scene: Scene) -> npt.NDArray[np.uint8]:
    """The scene as (HEIGHT, WIDTH, 3) RGB."""
    width, height = WIDTH * SUPERSAMPLE, HEIGHT * SUPERSAMPLE
    across = (np.arange(width) + 0.5) / width * 2 - 1
    up = 1 - (np.arange(height) + 0.5) / height * 2
    yaw = np.radians(scene.yaw)
    way = np.stack([np.cos(yaw) - across * np.sin(yaw), np.sin(yaw) + across * np.cos(yaw)])
    picture = _sky(scene, way, up)
    _paint_floor(picture, scene, way, up)
    _paint_walls(picture, scene, way, up)
    small: Grid = picture.reshape(HEIGHT, SUPERSAMPLE, WIDTH, SUPERSAMPLE, 3).mean((1, 3))
    small = np.rint(np.clip(small, 0, 1) ** (1 / 1.9) * 255)
    return small.astype(np.uint8)


def _sky(scene: Scene, way: Grid, up: Grid) -> Grid:
    length = np.sqrt((way**2).sum(0)[None] + up[:, None] ** 2)
    x, y, z = way[0][None] / length, way[1][None] / length, up[:, None] / length
    colour = _mix(scene.sky_low, scene.sky_top, np.clip(z * 1.5, 0, 1) ** 0.7)
    height = np.maximum(z, 0.04)
    cover = np.clip((clouded(x / height * 1.3 + 9, y / height * 1.3, 101) - 0.5) * 4, 0, 1) * np.clip(z * 4, 0, 1)
    colour += (np.asarray(scene.sky_low) * 1.05 - colour) * (scene.clouds * cover)[..., None]
    azimuth, elevation = np.radians(scene.sun)
    sun = np.array([np.cos(azimuth), np.sin(azimuth)]) * np.cos(elevation)
    towards = x * sun[0] + y * sun[1] + z * np.sin(elevation)
    glow = 0.35 * np.clip(towards, 0, 1) ** 24 + 2.0 * np.clip((towards - 0.9985) / 0.0006, 0, 1)
    spot = _hash(np.floor(x / length * 700), np.floor(y / length * 700) + np.floor(z * 450), 103)
    stars = 0.7 * scene.stars * ((spot > 0.9985) & (z > 0.12))
    lit: Grid = colour + glow[..., None] * np.asarray(scene.sun_colour) + stars[..., None]
    return lit


def _paint_floor(picture: Grid, scene: Scene, way: Grid, up: Grid) -> None:
    below = np.flatnonzero(up < -EYE / REACH)
    distance = (-EYE / up[below])[:, None]
    x, y = scene.eye[0] + way[0] * distance, scene.eye[1] + way[1] * distance
    colour = scene.floor(x, y) * _lamps(scene, x, y)[..., None]
    picture[below] = _fogged(colour, scene, distance)


def _paint_walls(picture: Grid, scene: Scene, way: Grid, up: Grid) -> None:
    free = np.ones(picture.shape[:2], bool)
    for distance, side, cells in _hits(scene, way):
        with np.errstate(invalid="ignore"):
            level = EYE + distance * up[:, None]
        for letter, (material, height) in MATERIALS.items():
            rows, columns = np.nonzero(free & (cells == letter) & (level > 0) & (level < height))
            if len(rows) == 0:
                continue
            free[rows, columns] = False
            far, z, is_x = distance[columns], level[rows, columns], side[columns]
            x, y = scene.eye[0] + way[0, columns] * far, scene.eye[1] + way[1, columns] * far
            occlusion = 0.55 + 0.45 * np.clip(z / 0.25, 0, 1)
            tone = np.where(is_x, 0.78, 1.0) * occlusion * _lamps(scene, x, y)
            colour = material(np.where(is_x, y, x), z) * tone[..., None]
            picture[rows, columns] = _fogged(colour, scene, far)


def _hits(scene: Scene, way: Grid) -> list[tuple[Grid, npt.NDArray[np.bool_], npt.NDArray[np.str_]]]:
    """For each grid line that a column's ray crosses: distance, whether its x is constant, wall letter."""
    plan = np.array([list(row) for row in scene.plan])
    cell = np.array([np.full(way.shape[1], int(scene.eye[axis])) for axis in (0, 1)])
    forward = np.where(way > 0, 1, -1)
    with np.errstate(divide="ignore"):
        per_cell = np.abs(1 / way)
    eye = np.array(scene.eye)[:, None]
    ahead = np.where(way > 0, cell + 1 - eye, eye - cell) * per_cell
    hits = []
    for _ in range(sum(plan.shape)):
        is_x = ahead[0] <= ahead[1]
        axis, column = np.where(is_x, 0, 1), np.arange(way.shape[1])
        distance = ahead[axis, column].copy()
        ahead[axis, column] += per_cell[axis, column]
        cell[axis, column] += forward[axis, column]
        inside = (cell >= 0).all(0) & (cell[0] < plan.shape[1]) & (cell[1] < plan.shape[0])
        column_cell, row_cell = np.where(inside, cell, 0)
        hits.append((distance, is_x, np.where(inside, plan[row_cell, column_cell], " ")))
    return hits


def _lamps(scene: Scene, x: Grid, y: Grid) -> Grid:
    """Brightness: the scene's light and, at night, pools of lamp light along the street."""
    pools = np.exp(-(((x - 1) % 4 - 2) ** 2 + 0.6 * (y - 3.5) ** 2) / 1.1)
    return scene.light + scene.stars * 0.75 * pools


def _fogged(colour: Grid, scene: Scene, distance: Grid) -> Grid:
    share = 1 - np.exp(-scene.fog * np.maximum(distance - 1, 0))
    fogged: Grid = colour + (np.asarray(scene.sky_low) - colour) * share[..., None]
    return fogged


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "serve" / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    for name, scene in SCENES.items():
        Image.fromarray(paint(scene)).save(folder / f"{name}.png", optimize=True)
        print(folder / f"{name}.png")


if __name__ == "__main__":
    main()
