"""Rays against the ground plan and the solids, for many frames of many worlds at once.

The plan is a height field that is flat in each cell, so what an upright half-plane through the camera meets can be
listed once per column of directions, nearest first. A ray of slope s (height gained a metre forward) meets the first
entry whose angle (top − eye)/distance reaches s; the running maximum of these angles is sorted, so every pixel finds
its hit by bisection. Ceilings are the same upside down. Pixels then compute their own exact hit point on the plane
that was found. Solids of revolution (radius² quadratic in height) are intersected exactly, the four nearest a column.

Shapes: N frames (all worlds and times), C columns, P pixels (rays of a frame), E entries a column.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from .blueprint import CELL, EYE, GRID, OPEN_SKY, SPAN
from .look import CEILING, FAR, LEAST_RUN, NEAREST_M, NEAREST_SOLID_M, ROUND, SKY

NEAR_SOLIDS: Final = 64
"""Solids considered in a frame."""
SLOTS: Final = 6
"""Solids considered in a column."""
METRES_PER_UNIT: Final = 0.01
"""The model's translations are in units, of which extrinsics take a hundredth."""

_LINES: Final = GRID + 1
_ENTRIES: Final = 2 * _LINES
_BISECTIONS: Final = (2 * _ENTRIES).bit_length()


@dataclass(frozen=True, kw_only=True, slots=True)
class Rays:
    """Rays of N frames with P pixels each; t along a ray counts horizontal metres."""

    origin: Tensor
    """(N, 3) metres."""
    dx: Tensor
    """(N, P) horizontal unit direction."""
    dy: Tensor
    slope: Tensor
    """(N, P) height gained a horizontal metre."""
    column: Tensor
    """(N, P) nearest of the C columns."""
    azimuths: Tensor
    """(N, C) world azimuth of the columns, radians."""


def cameras(poses: Tensor) -> Tensor:
    """(N, 7) float32 of (N, 5) poses: x, y, z in metres, cosine and sine of the pitch, then of the yaw."""
    pitch, yaw = torch.deg2rad(poses[:, 3:4]).float(), torch.deg2rad(poses[:, 4:5]).float()
    place = (poses[:, :3] * METRES_PER_UNIT).float()
    return torch.cat([place, pitch.cos(), pitch.sin(), yaw.cos(), yaw.sin()], 1)


def camera_rays(poses: Tensor, height: int, width: int, columns: int) -> Rays:
    """Rays through the pixel centres of the model's camera (90° both ways, so image axes differ in scale).

    poses: (N, 5) x, y, z in units and pitch, yaw in degrees; positive pitch looks down, positive yaw turns x towards y.
    """
    u = (torch.arange(width, device=poses.device, dtype=torch.float32) + 0.5) / width * 2 - 1
    v = (torch.arange(height, device=poses.device, dtype=torch.float32) + 0.5) / height * 2 - 1
    x, y, z, cos_p, sin_p, cos_y, sin_y = (column[:, None] for column in cameras(poses).unbind(1))
    ahead = (cos_p - sin_p * v)[:, :, None]
    up = (-sin_p - cos_p * v)[:, :, None]
    flat = torch.sqrt(ahead**2 + u**2).clamp_min(LEAST_RUN)
    # Half the azimuth that the image spans; looking steeply up or down it is the whole circle.
    nearest = cos_p - sin_p.abs()
    half = torch.where(nearest > 0.02, torch.atan2(torch.ones_like(nearest), nearest) + 0.004, torch.pi)
    relative = torch.atan2(u.expand_as(flat), ahead.expand_as(flat)).flatten(1)
    column = ((relative / half + 1) * (0.5 * (columns - 1))).round().long().clamp(0, columns - 1)
    spread = torch.linspace(-1, 1, columns, device=poses.device)
    yaw = torch.deg2rad(poses[:, 4:5]).float()
    return Rays(
        origin=torch.cat([x, y, z], 1),
        dx=((ahead * cos_y[:, None] - u * sin_y[:, None]) / flat).flatten(1),
        dy=((ahead * sin_y[:, None] + u * cos_y[:, None]) / flat).flatten(1),
        slope=(up / flat).flatten(1),
        column=column,
        azimuths=yaw + half * spread,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Columns:
    """What each column of directions meets, nearest first; flat over (N, C)."""

    rising: Tensor
    """(N·C, 2E) running maximum of floor-side angles, entry and exit of each cell."""
    falling: Tensor
    """(N·C, 2E) the same of ceilings, negated."""
    distance: Tensor
    """(N·C, E) metres to each cell's entry."""
    line: Tensor
    """(N·C, E) grid line crossed at the entry: 0 … GRID across x, then across y."""
    cell: Tensor
    """(N·C, E) flat index (ix·GRID + iy) of the cell."""


def cast_columns(rays: Rays, cells: Tensor) -> Columns:
    """Lists the cells along each column. cells: (N, GRID·GRID, ≥2) with height and ceiling first."""
    n, c = rays.azimuths.shape
    direction = torch.stack([rays.azimuths.cos(), rays.azimuths.sin()], -1)
    lines = torch.arange(_LINES, device=cells.device, dtype=torch.float32) * CELL
    to_lines = lines - rays.origin[:, None, :2, None]
    safe = torch.where(direction.abs() < 1e-6, torch.full_like(direction, 1e-6), direction)
    crossing = (to_lines / safe[..., None]).flatten(2)
    crossing = torch.where((crossing > 0) & (crossing < FAR), crossing, FAR)
    leaving, line = torch.sort(crossing, dim=-1)
    zero = torch.zeros_like(leaving[..., :1])
    entering = torch.cat([zero, leaving[..., :-1]], -1)
    line = torch.cat([line[..., -1:], line[..., :-1]], -1)
    middle = 0.5 * (entering + leaving).clamp_max(4 * SPAN)
    spot = rays.origin[:, None, :2, None] + middle[:, :, None] * direction[..., None]
    index = (spot / CELL).long().clamp(0, GRID - 1)
    cell = index[:, :, 0] * GRID + index[:, :, 1]
    both = torch.gather(cells[..., :2], 1, cell.reshape(n, -1, 1).expand(-1, -1, 2)).reshape(n, c, _ENTRIES, 2)
    over = both - rays.origin[:, None, None, 2:3]
    bounds = torch.stack([entering.clamp_min(NEAREST_M), leaving], -1)
    floor_angle = (over[..., :1] / bounds).flatten(2)
    ceiling_angle = (over[..., 1:] / bounds).flatten(2)
    return Columns(
        rising=floor_angle.cummax(-1).values.flatten(0, 1),
        falling=(-ceiling_angle).cummax(-1).values.flatten(0, 1),
        distance=entering.flatten(0, 1),
        line=line.flatten(0, 1),
        cell=cell.flatten(0, 1),
    )


def _first_reaching(table: Tensor, row: Tensor, value: Tensor) -> Tensor:
    """First position in the sorted `table[row]` whose entry is ≥ value, the width if none; bisected elementwise."""
    width = 1 << _BISECTIONS
    flat = functional.pad(table, (0, width - table.shape[1]), value=math.inf).reshape(-1)
    base = row * width
    at = base.clone()
    for step in reversed(range(_BISECTIONS)):
        span = 1 << step
        at.add_(flat[span - 1 :][at] < value, alpha=span)
    return at.sub_(base)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hits:
    """Nearest surface of each pixel, (N, P)."""

    t: Tensor
    """Horizontal metres, FAR where there is only sky."""
    cell: Tensor
    """Flat cell index that was hit."""
    side: Tensor
    """int8 kind of surface, from WALL_X to SKY, see `look`."""
    solid: Tensor
    """Index of the solid within the world's, where side is ROUND."""


def cast_plan(rays: Rays, columns: Columns, cells: Tensor) -> Hits:
    """First hit of each pixel with floors, walls, blocks and ceilings."""
    n, c = rays.azimuths.shape
    frame = torch.arange(n, device=cells.device)[:, None]
    row = rays.column + frame * c
    low = _first_reaching(columns.rising, row, rays.slope)
    high = _first_reaching(columns.falling, row, -rays.slope)
    event = torch.minimum(low, high)
    is_floor_side = low <= high
    entry = (event >> 1).clamp_max(_ENTRIES - 1)
    at = row * _ENTRIES + entry
    cell, line = columns.cell.reshape(-1)[at], columns.line.reshape(-1)[at]
    across_y = line >= _LINES
    plane = (line - _LINES * across_y).float() * CELL
    origin_x, origin_y, eye = (rays.origin[:, i : i + 1] for i in range(3))
    along = torch.where(across_y, rays.dy, rays.dx)
    start = torch.where(across_y, origin_y, origin_x)
    rough = columns.distance.reshape(-1)[at]
    exact = (plane - start) / torch.where(along.abs() < 1e-5, 1e-5, along)
    wall_t = torch.minimum(torch.maximum(exact, 0.97 * rough), 1.03 * rough + 1e-3)
    levels = cells[..., :2].reshape(-1)
    level = levels[2 * (cell + frame * cells.shape[1]) + ~is_floor_side]
    flat_t = (level - eye) / torch.where(rays.slope.abs() < 1e-6, 1e-6, rays.slope)
    is_wall = (event & 1) == 0
    side = torch.where(is_wall, across_y.to(torch.int8), CEILING - is_floor_side.to(torch.int8))
    t = torch.where(is_wall, wall_t, flat_t.clamp_min(NEAREST_M))
    is_sky = (event >= 2 * _ENTRIES) | (t > 3 * SPAN) | (~is_floor_side & (level >= OPEN_SKY))
    return Hits(
        t=torch.where(is_sky, FAR, t), cell=cell, side=torch.where(is_sky, SKY, side), solid=torch.zeros_like(cell)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class NearSolids:
    """The solids that each column may hit first, S of them."""

    fields: Tensor
    """(9, S, N·C), see `_seen_from`; a plane a field, so that pixels fetch single numbers."""
    index: Tensor
    """(S, N·C) their numbers within the world."""


def near_solids(rays: Rays, solids: Tensor, slots: int = SLOTS) -> NearSolids:
    """Picks `slots` candidates a column. solids: (N, MAX_SOLIDS, 9)."""
    offset = solids[..., :2] - rays.origin[:, None, :2]
    heading = rays.azimuths[:, rays.azimuths.shape[1] // 2]
    ahead = offset[..., 0] * heading.cos()[:, None] + offset[..., 1] * heading.sin()[:, None]
    distance = offset.norm(dim=-1) - solids[..., 7]
    behind = ahead < -solids[..., 7] - 3.0
    near = min(NEAR_SOLIDS, solids.shape[1])
    _, index = torch.topk(torch.where(behind, FAR, distance), near, dim=1, largest=False)
    rows = torch.gather(solids, 1, index[..., None].expand(-1, -1, solids.shape[-1]))
    offset = rows[..., :2] - rays.origin[:, None, :2]
    dx, dy = rays.azimuths.cos()[..., None], rays.azimuths.sin()[..., None]
    along = offset[:, None, :, 0] * dx + offset[:, None, :, 1] * dy
    aside = (offset[:, None, :, 1] * dx - offset[:, None, :, 0] * dy).abs()
    reach = rows[:, None, :, 7] * 1.02 + 0.004 * along.abs()
    missed = (aside > reach) | (along < -reach)
    _, pick = torch.topk(torch.where(missed, FAR, along - reach), slots, dim=-1, largest=False)
    pick = pick + near * torch.arange(len(pick), device=pick.device)[:, None, None]
    pick = pick.flatten(0, 1).T
    fields = _seen_from(rays.origin, rows).reshape(9, -1)
    return NearSolids(fields=fields[:, pick], index=index.reshape(-1)[pick])


def _seen_from(origin: Tensor, rows: Tensor) -> Tensor:
    """(9, N, K) what rays need of solids, with the camera as origin: x, y, then bottom, top and the visible end's z;
    radius² = a + 2·b·z + c·z² as b, c and x² + y² − a; last, on that end, radius² − x² − y²."""
    x, y, z0, z1, a, b, c = rows[..., :7].unbind(-1)
    x, y, eye = x - origin[:, :1], y - origin[:, 1:2], origin[:, 2:3]
    bottom, top = z0 - eye, z1 - eye
    end = torch.where(top < 0, top, bottom)
    gap = x * x + y * y - (a + b * eye + c * eye * eye)
    half = 0.5 * b + c * eye
    return torch.stack([x, y, bottom, top, end, half, c, gap, (2 * half + c * end) * end - gap])


def cast_solids(rays: Rays, near: NearSolids, hits: Hits) -> Hits:
    """Replaces hits by nearer ones on solids."""
    n, c = rays.azimuths.shape
    row = rays.column + torch.arange(n, device=rays.dx.device)[:, None] * c
    best_t, best = hits.t, torch.full_like(hits.side, -1)
    for slot in range(len(near.index)):
        t = _solid_distance(rays, [plane[row] for plane in near.fields[:, slot]])
        best = torch.where(t < best_t, slot, best)
        best_t = torch.minimum(t, best_t)
    found = best >= 0
    solid = near.index.reshape(-1)[best.clamp_min(0).long() * (n * c) + row]
    return Hits(
        t=best_t, cell=hits.cell, side=torch.where(found, ROUND, hits.side), solid=torch.where(found, solid, hits.solid)
    )


def _solid_distance(rays: Rays, fields: Sequence[Tensor]) -> Tensor:
    """(N, P) distance to one solid a pixel, FAR if missed. fields: (N, P) each, of `_seen_from`."""
    x, y, bottom, top, end, half, c, gap, rim = fields
    s = rays.slope
    # |p − t·d|² = a + 2·b·z + c·z² with z = s·t:  q·t² − 2·h·t + gap = 0.
    toward = torch.addcmul(x * rays.dx, y, rays.dy)
    q = 1 - c * s * s
    q = torch.where(q.abs() < 1e-5, 1e-5, q)
    h = torch.addcmul(toward, s, half)
    # The root is not a number where the ray misses, and then every comparison below is false.
    spread = torch.addcmul(h * h, q, gap, value=-1).sqrt_()
    t = end / torch.where(s.abs() < 1e-6, 1e-6, s)
    best = torch.where((t * (t - 2 * toward) <= rim) & (t > NEAREST_SOLID_M), t, FAR)
    for t in ((h - spread) / q, (h + spread) / q):
        z = s * t
        best = torch.minimum(best, torch.where((t > NEAREST_SOLID_M) & (z >= bottom) & (z <= top), t, FAR))
    return best


def eye_height_units() -> float:
    """The z of every pose, in the model's units."""
    return EYE / METRES_PER_UNIT
