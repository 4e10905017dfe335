"""Tileable surface patterns, computed once into a mip-mapped atlas of a few numbers a texel.

A texel holds (mix, shade, glow, alpha): mix goes from the material's first colour to its second, shade multiplies the
light, glow is the share that shines by itself, and alpha is 0 where a decal lets the wall through.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .decals import DECAL_PAINTERS

Grid = npt.NDArray[np.floating[Any]]

SIZE: Final = 128
"""Texels along a side of a page at the finest level."""
LEVELS: Final = 8
"""Mip levels, from SIZE down to 1."""


class Pattern(IntEnum):
    """Pages of the atlas that cover surfaces; decals follow after them."""

    PLAIN = 0
    BRICKS = 1
    BLOCKS = 2
    PLANKS = 3
    CHECKER = 4
    COBBLE = 5
    GRASS = 6
    WATER = 7
    MARBLE = 8
    STRIPES = 9
    LEAVES = 10
    FACADE = 11
    SAND = 12
    DIAMONDS = 13
    TIMBER = 14
    SHINGLES = 15
    CARPET = 16
    PANELS = 17
    FLOWERS = 18
    NOISE = 19
    RINGS = 20


class Decal(IntEnum):
    """Pictures on walls, by what the cell's `decal` number says; 0 is none."""

    NONE = 0
    DOOR = 1
    WINDOW = 2
    BANNER = 3
    PAINTING = 4
    SUN = 5
    ARCH = 6
    SHELF = 7
    TORCH = 8
    CROSS = 9
    VINES = 10
    POSTER = 11
    MOON = 12


def _axes() -> tuple[Grid, Grid]:
    """(SIZE, SIZE) u along columns and v along rows, texel centres in [0, 1); v grows upwards on walls."""
    line = (np.arange(SIZE, dtype=np.float32) + 0.5) / SIZE
    v, u = np.meshgrid(line, line, indexing="ij")
    return u, v


def band_noise(low: float, high: float, seed: int) -> Grid:
    """(SIZE, SIZE) tileable noise of spatial frequencies low … high cycles a page, scaled to [0, 1]."""
    frequency = np.hypot(np.fft.fftfreq(SIZE, 1 / SIZE)[:, None], np.fft.fftfreq(SIZE, 1 / SIZE)[None, :])
    band = ((frequency >= low) & (frequency <= high)) / np.maximum(frequency, 1.0)
    white = np.random.default_rng(seed).standard_normal((SIZE, SIZE))
    field = np.fft.ifft2(np.fft.fft2(white) * band).real
    noise: Grid = np.clip(field / (2.2 * field.std()) * 0.5 + 0.5, 0.0, 1.0).astype(np.float32)
    return noise


def _soft(distance: Grid, width: float) -> Grid:
    """1 inside (distance < 0), 0 outside, with a soft edge of the given width."""
    inside: Grid = np.clip(0.5 - distance / width, 0.0, 1.0).astype(np.float32)
    return inside


def _cell_noise(columns: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], seed: int) -> Grid:
    table = np.random.default_rng(seed).random((64, 64), dtype=np.float32)
    tones: Grid = table[rows % 64, columns % 64]
    return tones


def _masonry(columns: int, rows: int, joint: float, seed: int, *, offset: float = 0.5) -> tuple[Grid, Grid]:
    """Mix and shade of running-bond masonry: joints take the second colour, stones differ in tone."""
    u, v = _axes()
    row = np.floor(v * rows).astype(np.int64)
    along = u * columns + offset * (row % 2)
    column = np.floor(along).astype(np.int64) % columns
    edge_u = np.minimum(along % 1, 1 - along % 1) / columns
    edge_v = np.minimum((v * rows) % 1, 1 - (v * rows) % 1) / rows
    joints = _soft(np.minimum(edge_u, edge_v) - joint, joint)
    tone = 0.78 + 0.34 * _cell_noise(column, row, seed)
    return joints, tone * (1 - joints) + 0.8 * joints


def _voronoi(points_a_side: int, seed: int) -> tuple[Grid, Grid, npt.NDArray[np.int64]]:
    """Nearest and second-nearest distance (in cells) to jittered points on the torus, and the nearest point's index."""
    u, v = _axes()
    n = points_a_side
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), -1).reshape(-1, 2)
    points = (grid + 0.5 + 0.7 * (rng.random((n * n, 2)) - 0.5)) / n
    delta_u = np.abs(u[..., None] - points[:, 0])
    delta_v = np.abs(v[..., None] - points[:, 1])
    distance = np.hypot(np.minimum(delta_u, 1 - delta_u), np.minimum(delta_v, 1 - delta_v)) * n
    order = np.argpartition(distance, 1, axis=-1)[..., :2]
    two = np.sort(np.take_along_axis(distance, order, -1), axis=-1).astype(np.float32)
    return two[..., 0], two[..., 1], distance.argmin(-1)


def _page(mix: Grid | float, shade: Grid | float, glow: Grid | float = 0.0, alpha: Grid | float = 1.0) -> Grid:
    parts = [np.broadcast_to(np.asarray(part, np.float32), (SIZE, SIZE)) for part in (mix, shade, glow, alpha)]
    return np.stack(parts, -1)


def _plain() -> Grid:
    return _page(0.6 * band_noise(1, 6, 1), 0.9 + 0.2 * band_noise(3, 20, 2))


def _bricks() -> Grid:
    mix, shade = _masonry(4, 8, 0.007, 3)
    return _page(mix, shade)


def _blocks() -> Grid:
    mix, shade = _masonry(2, 4, 0.009, 4)
    return _page(mix * 0.8 + 0.25 * band_noise(2, 9, 5), shade)


def _planks() -> Grid:
    u, v = _axes()
    board = np.floor(u * 6).astype(np.int64)
    gap = _soft(np.minimum((u * 6) % 1, 1 - (u * 6) % 1) / 6 - 0.006, 0.006)
    grain = np.sin(2 * np.pi * (v * 2 + 3 * _cell_noise(board, board, 6) + 0.5 * band_noise(1, 4, 7)))
    return _page(0.85 * gap + 0.15 * (grain * 0.5 + 0.5), 0.75 + 0.35 * _cell_noise(board, board * 0, 8) - 0.2 * gap)


def _checker() -> Grid:
    u, v = _axes()
    square = (np.floor(u * 4) + np.floor(v * 4)) % 2
    edge = np.minimum(np.minimum((u * 4) % 1, 1 - (u * 4) % 1), np.minimum((v * 4) % 1, 1 - (v * 4) % 1)) / 4
    return _page(square.astype(np.float32), 0.95 + 0.1 * band_noise(2, 8, 9) - 0.25 * _soft(edge - 0.004, 0.006))


def _cobble() -> Grid:
    near, second, index = _voronoi(7, 10)
    gap = _soft(second - near - 0.09, 0.12)
    tone = np.random.default_rng(11).random(49, dtype=np.float32)[index]
    return _page(gap, 0.72 + 0.4 * tone - 0.15 * near)


def _grass() -> Grid:
    return _page(band_noise(2, 10, 12), 0.8 + 0.4 * band_noise(8, 30, 13))


def _water() -> Grid:
    u, v = _axes()
    warp = band_noise(1, 4, 14)
    ripple = np.sin(2 * np.pi * (3 * v + 2 * warp)) * np.sin(2 * np.pi * (2 * u + 1.5 * band_noise(1, 4, 15)))
    return _page(np.clip(0.45 + 0.5 * ripple, 0, 1) ** 2, 0.92 + 0.16 * warp)


def _marble() -> Grid:
    u, v = _axes()
    veins = np.abs(np.sin(np.pi * (u * 2 + v * 2 + 3.0 * band_noise(1, 5, 16))))
    return _page(1 - np.clip(veins * 2.2, 0, 1), 0.92 + 0.12 * band_noise(1, 4, 17))


def _stripes() -> Grid:
    u, _ = _axes()
    return _page(_soft(np.abs((u * 4) % 1 - 0.5) - 0.25, 0.03), 0.95 + 0.1 * band_noise(1, 6, 18))


def _leaves() -> Grid:
    near, _, index = _voronoi(11, 19)
    tone = np.random.default_rng(20).random(121, dtype=np.float32)[index]
    return _page(np.clip(tone * 0.9 - near * 0.3, 0, 1), 0.7 + 0.45 * tone - 0.25 * near + 0.15 * band_noise(1, 5, 21))


def _facade() -> Grid:
    """Two by two windows a page: frames and panes take the second colour; panes shine at night, but not all."""
    u, v = _axes()
    column, row = np.floor(u * 2).astype(np.int64), np.floor(v * 2).astype(np.int64)
    x, y = np.abs((u * 2) % 1 - 0.5), np.abs((v * 2) % 1 - 0.5)
    frame = _soft(np.maximum(x - 0.24, (y - 0.32)), 0.03)
    bars = np.minimum(np.abs(x), np.abs(y))
    pane = _soft(np.maximum(x - 0.2, y - 0.28), 0.03) * (1 - _soft(bars - 0.015, 0.02))
    lit = (np.asarray([[1.0, 0.15], [0.3, 0.9]], np.float32))[row % 2, column % 2]
    sill = _soft(np.maximum(x - 0.28, np.abs((v * 2) % 1 - 0.14) - 0.03), 0.02)
    shade = 0.92 + 0.12 * band_noise(2, 8, 22) - 0.6 * pane + 0.15 * sill
    return _page(np.maximum(0.9 * frame, 0.9 * sill) * (1 - pane) + 0.35 * pane, shade, pane * lit)


def _sand() -> Grid:
    u, v = _axes()
    dunes = np.sin(2 * np.pi * (v * 5 + 1.2 * band_noise(1, 3, 23) + 0 * u))
    return _page(0.3 + 0.25 * dunes, 0.92 + 0.16 * band_noise(4, 16, 24))


def _diamonds() -> Grid:
    u, v = _axes()
    a, b = (u * 3 + v * 3) % 1, (u * 3 - v * 3) % 1
    square = (np.floor(u * 3 + v * 3) + np.floor(u * 3 - v * 3)) % 2
    edge = np.minimum(np.minimum(a, 1 - a), np.minimum(b, 1 - b)) / 4
    return _page(square.astype(np.float32), 0.95 + 0.1 * band_noise(1, 6, 25) - 0.3 * _soft(edge - 0.006, 0.008))


def _timber() -> Grid:
    """Half-timbered plaster: beams in the second colour."""
    u, v = _axes()
    upright = np.abs((u * 2) % 1 - 0.5) - 0.44
    rail = np.abs((v * 2) % 1 - 0.5) - 0.455
    brace = 0.045 - np.abs((u * 2) % 1 - (v * 2) % 1)
    brace = np.where((np.floor(u * 2) + np.floor(v * 2)) % 2 == 0, brace, -1.0)
    beam = 1 - _soft(np.maximum(np.maximum(upright, rail), brace).astype(np.float32), 0.02)
    return _page(beam, 0.92 + 0.14 * band_noise(2, 9, 26))


def _shingles() -> Grid:
    u, v = _axes()
    row = np.floor(v * 6).astype(np.int64)
    along = (u * 6 + 0.5 * (row % 2)) % 1
    depth = (v * 6) % 1
    scallop = _soft((along - 0.5) ** 2 + (depth - 0.6) ** 2 - 0.3, 0.12)
    tone = _cell_noise(np.floor(u * 6 + 0.5 * (row % 2)).astype(np.int64) % 6, row, 27)
    return _page(1 - scallop, 0.65 + 0.3 * tone + 0.25 * depth)


def _carpet() -> Grid:
    u, v = _axes()
    x, y = np.abs(u - 0.5), np.abs(v - 0.5)
    ring = np.sin(2 * np.pi * 3 * np.maximum(x, y)) > 0.55
    knot = np.hypot((u * 2) % 1 - 0.5, (v * 2) % 1 - 0.5) < 0.17
    return _page(np.clip(0.75 * ring + 0.9 * knot, 0, 1), 0.93 + 0.14 * band_noise(8, 24, 28))


def _panels() -> Grid:
    u, v = _axes()
    x, y = (u * 2) % 1, (v * 2) % 1
    edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    inset = _soft(np.abs(edge - 0.12) - 0.02, 0.02)
    bolt = _soft(np.hypot(np.minimum(x, 1 - x) - 0.06, np.minimum(y, 1 - y) - 0.06) - 0.022, 0.015)
    return _page(np.clip(0.7 * inset + bolt, 0, 1), 0.85 + 0.2 * y - 0.35 * _soft(edge - 0.012, 0.015))


def _flowers() -> Grid:
    near, _, index = _voronoi(8, 29)
    bloom = _soft(near - 0.3, 0.12) * (np.random.default_rng(30).random(64)[index] > 0.35)
    return _page(bloom, 0.75 + 0.35 * band_noise(4, 16, 31) + 0.25 * bloom)


def _noise() -> Grid:
    return _page(band_noise(1, 7, 32), band_noise(1, 3, 33), _stars(), 1.0)


def _stars() -> Grid:
    u, v = _axes()
    rng = np.random.default_rng(34)
    sky = np.zeros((SIZE, SIZE), np.float32)
    for x, y, size in zip(rng.random(26), rng.random(26), rng.uniform(0.006, 0.011, 26), strict=True):
        distance = np.hypot(np.abs((u - x + 0.5) % 1 - 0.5), np.abs((v - y + 0.5) % 1 - 0.5))
        sky = np.maximum(sky, np.exp(-((distance / size) ** 2)))
    return sky.astype(np.float32)


def _rings() -> Grid:
    _, v = _axes()
    return _page(_soft(np.abs((v * 3) % 1 - 0.5) - 0.2, 0.03), 0.95 + 0.1 * band_noise(1, 6, 35))


_PAINTERS: Final = (
    _plain, _bricks, _blocks, _planks, _checker, _cobble, _grass, _water, _marble, _stripes, _leaves, _facade, _sand,
    _diamonds, _timber, _shingles, _carpet, _panels, _flowers, _noise, _rings,
)  # fmt: skip

FIRST_DECAL: Final = len(_PAINTERS)
"""Page of `Decal` 1 minus one: decal d lives on page FIRST_DECAL + d - 1."""

PAGE_TEXELS: Final = sum((SIZE >> j) ** 2 for j in range(LEVELS))
"""Texels of one page over all mip levels."""


def _mipmaps(page: Grid) -> npt.NDArray[np.float32]:
    levels = [page]
    while levels[-1].shape[0] > 1:
        half = levels[-1].shape[0] // 2
        levels.append(levels[-1].reshape(half, 2, half, 2, 4).mean((1, 3)))
    return np.concatenate([level.reshape(-1, 4) for level in levels]).astype(np.float32)


@cache
def atlas() -> npt.NDArray[np.float32]:
    """(pages · PAGE_TEXELS, 4) all patterns, then all decals, each with its mip levels, finest first."""
    u, v = _axes()
    pages = [painter() for painter in _PAINTERS] + [_page(*painter(u, v)) for painter in DECAL_PAINTERS]
    return np.concatenate([_mipmaps(page) for page in pages])
