"""Pictures on wall cells: each painter gives (mix, shade, glow, alpha) over u, v in [0, 1), v upwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Grid = npt.NDArray[np.floating[Any]]
Layers = tuple[Grid, Grid, Grid, Grid]

_EDGE: Final = 0.02


def _inside(distance: Grid) -> Grid:
    """1 where the signed distance is negative, with a soft edge."""
    inside: Grid = np.clip(0.5 - distance / _EDGE, 0.0, 1.0).astype(np.float32)
    return inside


def _box(u: Grid, v: Grid, u0: float, u1: float, v0: float, v1: float) -> Grid:
    return _inside(np.maximum(np.abs(u - (u0 + u1) / 2) - (u1 - u0) / 2, np.abs(v - (v0 + v1) / 2) - (v1 - v0) / 2))


def _disc(u: Grid, v: Grid, x: float, y: float, radius: float) -> Grid:
    return _inside(np.hypot(u - x, v - y) - radius)


def _layers(mix: Grid, alpha: Grid, *, shade: Grid | None = None, glow: Grid | None = None) -> Layers:
    return mix, np.ones_like(mix) if shade is None else shade, np.zeros_like(mix) if glow is None else glow, alpha


def _door(u: Grid, v: Grid) -> Layers:
    frame = _box(u, v, 0.14, 0.86, -0.1, 0.92)
    leaf = _box(u, v, 0.22, 0.78, -0.1, 0.86)
    panels = _box(u, v, 0.28, 0.47, 0.1, 0.42) + _box(u, v, 0.53, 0.72, 0.1, 0.42)
    panels += _box(u, v, 0.28, 0.47, 0.5, 0.78) + _box(u, v, 0.53, 0.72, 0.5, 0.78)
    knob = _disc(u, v, 0.72, 0.46, 0.03)
    return _layers(np.maximum(1 - leaf, knob), frame, shade=1 - 0.3 * panels)


def _window(u: Grid, v: Grid) -> Layers:
    frame = _box(u, v, 0.12, 0.88, 0.12, 0.9)
    pane = _box(u, v, 0.18, 0.82, 0.18, 0.84)
    bars = _inside(np.minimum(np.abs(u - 0.5), np.abs(v - 0.5)) - 0.02)
    glass = pane * (1 - bars)
    return _layers(1 - glass, frame, shade=1 - 0.25 * glass * v, glow=glass)


def _banner(u: Grid, v: Grid) -> Layers:
    cloth = _inside(np.maximum(np.abs(u - 0.5) - 0.28, np.maximum(v - 0.95, 0.05 + 0.2 * np.abs(u - 0.5) * 2 - v)))
    border = 1 - _inside(np.abs(u - 0.5) - 0.22)
    emblem = _inside(np.abs(u - 0.5) + np.abs(v - 0.58) - 0.15)
    return _layers(np.maximum(border, emblem), cloth, shade=(0.85 + 0.15 * np.sin(u * 25)).astype(np.float32))


def _painting(u: Grid, v: Grid) -> Layers:
    frame = _box(u, v, 0.06, 0.94, 0.2, 0.85)
    canvas = _box(u, v, 0.13, 0.87, 0.27, 0.78)
    hills = _inside(v - 0.42 - 0.1 * np.sin(u * 9)) * canvas
    sun = _disc(u, v, 0.66, 0.64, 0.08)
    mix = np.clip(0.55 * hills + sun + (1 - canvas), 0, 1)
    return _layers(mix, frame, shade=1 - 0.35 * hills)


def _sun(u: Grid, v: Grid) -> Layers:
    angle, radius = np.arctan2(v - 0.5, u - 0.5), np.hypot(u - 0.5, v - 0.5)
    rays = _inside(radius - 0.3 - 0.1 * np.sign(np.sin(angle * 8)))
    core = _disc(u, v, 0.5, 0.5, 0.18)
    return _layers(core, rays)


def _arch(u: Grid, v: Grid) -> Layers:
    """A dark round-headed niche with a pale rim."""

    def shape(half: float, top: float) -> Grid:
        head = np.hypot(u - 0.5, np.maximum(v - top, 0)) - half
        return _inside(head)

    hole = shape(0.3, 0.5)
    return _layers(1 - hole, shape(0.4, 0.5), shade=1 - 0.75 * hole)


def _shelf(u: Grid, v: Grid) -> Layers:
    body = _box(u, v, 0.02, 0.98, -0.1, 0.92)
    row = (v * 4) % 1
    book = np.floor(u * 13)
    height = 0.55 + 0.35 * np.abs(np.sin(book * 12.9 + np.floor(v * 4) * 78.2))
    books = _inside(row - height) * _inside(0.1 - row) * _inside(np.abs(u - 0.5) - 0.45)
    tone = 0.5 + 0.5 * np.abs(np.sin(book * 7.1 + np.floor(v * 4) * 3.3))
    return _layers(books, body, shade=np.where(books > 0.5, tone, 0.6).astype(np.float32))


def _torch(u: Grid, v: Grid) -> Layers:
    stick = _box(u, v, 0.46, 0.54, 0.25, 0.55)
    flame = _inside(np.hypot((u - 0.5) * 1.6, (v - 0.66) * 0.9) - 0.13)
    return _layers(flame, np.maximum(stick, flame), shade=0.5 + 0.5 * flame, glow=3.0 * flame)


def _cross(u: Grid, v: Grid) -> Layers:
    disc = _disc(u, v, 0.5, 0.52, 0.4)
    cross = np.maximum(_box(u, v, 0.42, 0.58, 0.22, 0.82), _box(u, v, 0.2, 0.8, 0.44, 0.6))
    return _layers(cross, disc)


def _vines(u: Grid, v: Grid) -> Layers:
    strands = 0.16 * np.sin(v * 9 + 4 * np.sin(u * 7)) + 0.35 * np.sin(u * 13) * v
    plant = _inside(0.32 - strands - 0.45 * (1 - v) - 0.12 * np.sin(u * 31 + v * 17))
    leaves = (0.5 + 0.5 * np.sin(u * 47) * np.sin(v * 41)).astype(np.float32)
    return _layers(leaves * 0.8, plant, shade=0.7 + 0.4 * leaves)


def _poster(u: Grid, v: Grid) -> Layers:
    sheet = _box(u, v, 0.15, 0.85, 0.15, 0.9)
    wedge = _inside(np.abs(u - 0.5) - 0.28 * (0.85 - v) / 0.6) * _box(u, v, 0.2, 0.8, 0.3, 0.85)
    lines = _box(u, v, 0.22, 0.78, 0.2, 0.25)
    return _layers(np.maximum(wedge, lines), sheet)


def _moon(u: Grid, v: Grid) -> Layers:
    disc = _disc(u, v, 0.5, 0.5, 0.4)
    crescent = _disc(u, v, 0.5, 0.5, 0.3) * (1 - _disc(u, v, 0.62, 0.56, 0.25))
    return _layers(crescent, disc)


DECAL_PAINTERS: Final[tuple[Callable[[Grid, Grid], Layers], ...]] = (
    _door, _window, _banner, _painting, _sun, _arch, _shelf, _torch, _cross, _vines, _poster, _moon,
)  # fmt: skip
"""In the order of `patterns.Decal`, from 1 on."""
