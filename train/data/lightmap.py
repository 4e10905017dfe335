"""Light and room to move, computed once a world on a fine grid: shadows, lamps, dark corners, clearance. NumPy only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .blueprint import CELL, GRID, Blueprint, Float

FINE: Final = 4
"""Texels along a side of a cell; a texel is 0.25 m."""
TEXELS: Final = GRID * FINE
TEXEL_M: Final = CELL / FINE
MAX_CLEARANCE_M: Final = 1.25
HEAD_ROOM_M: Final = 1.9
"""Solids that start above this height do not stand in the way."""

_SHADOW_STEP_M: Final = TEXEL_M
_SHADOW_STEPS: Final = 72
_LAMP_REACH_M: Final = 7.5
_LAMP_STEPS: Final = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Lightmap:
    """Arrays [ix, iy] of TEXELS×TEXELS."""

    lamps: Float
    """(…, 3) light of the lamps at breast height."""
    shadow_height: Float
    """Metres under which the sun is hidden."""
    openness: Float
    """1 in the open to about 0.4 in corners."""
    clearance: Float
    """Metres to the nearest obstacle, up to MAX_CLEARANCE_M; 0 inside one."""


def compute(bp: Blueprint) -> Lightmap:
    """The light and room of a finished blueprint."""
    relief, blocked = _relief(bp)
    return Lightmap(
        lamps=_lamp_light(bp, relief),
        shadow_height=_shadow_height(relief, bp.air["sun_direction"]),
        openness=_openness(relief),
        clearance=_clearance(blocked),
    )


def _relief(bp: Blueprint) -> tuple[Float, npt.NDArray[np.bool_]]:
    """Height of the tallest thing over each texel, and whether a walker is stopped there."""
    relief = np.minimum(np.kron(bp.height, np.ones((FINE, FINE), np.float32)), 12.0)
    blocked = relief > 0
    line = (np.arange(TEXELS, dtype=np.float32) + 0.5) * TEXEL_M
    for x, y, z0, z1, *_, reach, _material in bp.solids:
        near_x, near_y = (slice(*np.searchsorted(line, (c - reach - TEXEL_M, c + reach + TEXEL_M))) for c in (x, y))
        inside = np.hypot(line[near_x, None] - x, line[None, near_y] - y) < max(reach, 0.6 * TEXEL_M)
        relief[near_x, near_y] = np.where(inside, np.maximum(relief[near_x, near_y], z1), relief[near_x, near_y])
        if z0 < HEAD_ROOM_M:
            blocked[near_x, near_y] |= inside
    return relief, blocked


def _shifted(field: Float, dx: int, dy: int, fill: float) -> Float:
    """The field as seen from each texel at an offset; `fill` beyond the edge."""
    if abs(dx) >= TEXELS or abs(dy) >= TEXELS:
        return np.full_like(field, fill)
    out = np.full_like(field, fill)
    to_x, from_x = slice(max(0, -dx), TEXELS - max(0, dx)), slice(max(0, dx), TEXELS - max(0, -dx))
    to_y, from_y = slice(max(0, -dy), TEXELS - max(0, dy)), slice(max(0, dy), TEXELS - max(0, -dy))
    out[to_x, to_y] = field[from_x, from_y]
    return out


def _shadow_height(relief: Float, sun: Float) -> Float:
    """Height under which the sun is hidden: the relief toward the sun, less what the ray has risen."""
    flat = float(np.hypot(sun[0], sun[1]))
    if flat < 1e-3:
        return np.zeros_like(relief)
    rise = float(sun[2]) / flat * _SHADOW_STEP_M
    height = np.zeros_like(relief)
    tallest = float(relief.max())
    for step in range(1, _SHADOW_STEPS):
        if tallest < step * rise:
            break
        offset = np.rint(step * _SHADOW_STEP_M / TEXEL_M * sun[:2] / flat).astype(int)
        np.maximum(height, _shifted(relief, int(offset[0]), int(offset[1]), 0.0) - step * rise, out=height)
    return height


def _blur(field: Float, radius: int) -> Float:
    for axis in (0, 1):
        padded = np.pad(field, [(radius + 1, radius) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        total = np.cumsum(padded, axis=axis, dtype=np.float64)
        width = 2 * radius + 1
        low = np.take(total, range(0, TEXELS), axis)
        field = ((np.take(total, range(width, width + TEXELS), axis) - low) / width).astype(np.float32)
    return field


def _openness(relief: Float) -> Float:
    walls = np.clip(relief / 1.2, 0.0, 1.0)
    near, wide = _blur(walls, 2), _blur(walls, 5)
    return np.clip(1.0 - 0.55 * near - 0.35 * wide, 0.3, 1.0).astype(np.float32)


def _lamp_light(bp: Blueprint, relief: Float) -> Float:
    """Falling off with distance, and hidden behind what is taller than two metres."""
    light = np.zeros((TEXELS, TEXELS, 3), np.float32)
    clear = relief <= 2.0
    radius = int(_LAMP_REACH_M / TEXEL_M)
    for x, y, z, *color in bp.lamps:
        ix, iy = int(x / TEXEL_M), int(y / TEXEL_M)
        wx = np.arange(max(0, ix - radius), min(TEXELS, ix + radius))
        wy = np.arange(max(0, iy - radius), min(TEXELS, iy + radius))
        gx, gy = (wx[:, None] + 0.5) * TEXEL_M, (wy[None, :] + 0.5) * TEXEL_M
        square = (gx - x) ** 2 + (gy - y) ** 2
        fall = np.clip(1 - square / _LAMP_REACH_M**2, 0, 1) ** 2 / (1.0 + square + 0.25 * (z - 1.2) ** 2)
        passed = np.zeros(square.shape, np.int32)
        for step in range(1, _LAMP_STEPS):
            part = step / _LAMP_STEPS
            at_x, at_y = x + (gx - x) * part, y + (gy - y) * part
            passed += clear[(at_x / TEXEL_M).astype(int), (at_y / TEXEL_M).astype(int)]
        seen = np.clip((passed - (_LAMP_STEPS - 3)) / 2.0, 0.0, 1.0)
        light[wx[0] : wx[-1] + 1, wy[0] : wy[-1] + 1] += (fall * seen)[..., None] * np.asarray(color, np.float32)
    return np.stack([_blur(light[..., channel], 1) for channel in range(3)], -1)


def _clearance(blocked: npt.NDArray[np.bool_]) -> Float:
    reach = int(np.ceil(MAX_CLEARANCE_M / TEXEL_M))
    padded = np.pad(blocked, reach, constant_values=True)
    clearance = np.full(blocked.shape, MAX_CLEARANCE_M, np.float32)
    offsets = [
        (float(np.hypot(dx, dy)) * TEXEL_M, dx + reach, dy + reach)
        for dx in range(-reach, reach + 1)
        for dy in range(-reach, reach + 1)
    ]
    # Nearer obstacles overwrite farther ones.
    for distance, x, y in sorted(offsets, reverse=True):
        if distance < MAX_CLEARANCE_M:
            np.putmask(clearance, padded[x : x + TEXELS, y : y + TEXELS], distance)
    return clearance
