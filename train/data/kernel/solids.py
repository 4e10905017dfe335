# mypy: disable-error-code="untyped-decorator, no-any-return"
"""Rays against solids of revolution: what `cast.cast_solids` finds, trying only those that a tile can see."""

from __future__ import annotations

import triton
import triton.language as tl

from .. import blueprint, look
from .arithmetic import nonzero
from .rays import Hits, Rays

LANES = tl.constexpr(1 << (blueprint.MAX_SOLIDS - 1).bit_length())
WIDTH = tl.constexpr(9)
"""Numbers of a solid, see `drawing.DrawnWorld`."""
_WIDE = tl.constexpr(0.1)
"""Where the directions of a tile spread further than this cosine, all solids are tried."""


@triton.jit
def cast_solids(solids: tl.tensor, rays: Rays, hits: Hits) -> Hits:
    """Replaces hits by nearer ones on solids. solids: pointer to the world's."""
    lane = tl.arange(0, LANES)
    waiting = tl.where(_in_sight(solids, lane, rays, hits.t), lane, LANES)
    t, side, which = hits.t, hits.side, hits.solid
    turn = tl.min(waiting, axis=0)
    while turn < LANES:
        found = _distance(solids + turn * WIDTH, rays)
        nearer = found < t
        t = tl.where(nearer, found, t)
        side = tl.where(nearer, look.ROUND, side)
        which = tl.where(nearer, turn, which)
        waiting = tl.where(waiting == turn, LANES, waiting)
        turn = tl.min(waiting, axis=0)
    return Hits(t, hits.cell, side, which)


@triton.jit
def _in_sight(solids: tl.tensor, lane: tl.tensor, rays: Rays, t: tl.tensor) -> tl.tensor:
    """Whether the wedge of the tile's directions touches each solid's circle on the plan, no farther than its rays."""
    exists = lane < blueprint.MAX_SOLIDS
    row = solids + lane * WIDTH
    x = tl.load(row, mask=exists, other=-look.FAR) - rays.x
    y = tl.load(row + 1, mask=exists, other=-look.FAR) - rays.y
    reach = tl.load(row + 7, mask=exists, other=0.0) * 1.001 + 0.001
    middle_x, middle_y = tl.sum(rays.dx, axis=0), tl.sum(rays.dy, axis=0)
    norm = 1.0 / tl.maximum(tl.sqrt(middle_x * middle_x + middle_y * middle_y), 1e-6)
    middle_x, middle_y = middle_x * norm, middle_y * norm
    cosine = tl.min(rays.dx * middle_x + rays.dy * middle_y, axis=0)
    sine = tl.max(tl.abs(rays.dy * middle_x - rays.dx * middle_y), axis=0)
    along, aside = x * middle_x + y * middle_y, tl.abs(y * middle_x - x * middle_y)
    slack = reach + tl.where(cosine < _WIDE, 2.0 * look.FAR, 0.0)
    touched = (along > -slack) & (aside * cosine - along * sine < slack)
    near = tl.sqrt(x * x + y * y) - reach < tl.max(t, axis=0)
    return exists & near & touched


@triton.jit
def _distance(solid: tl.tensor, rays: Rays) -> tl.tensor:
    """Distance along each ray to one solid, FAR if missed; see `cast._solid_distance` and `cast._seen_from`."""
    x, y = tl.load(solid) - rays.x, tl.load(solid + 1) - rays.y
    bottom, top = tl.load(solid + 2) - rays.eye, tl.load(solid + 3) - rays.eye
    a, b, c = tl.load(solid + 4), tl.load(solid + 5), tl.load(solid + 6)
    end = tl.where(top < 0, top, bottom)
    half = 0.5 * b + c * rays.eye
    gap = x * x + y * y - (a + b * rays.eye + c * rays.eye * rays.eye)
    rim = (2.0 * half + c * end) * end - gap
    toward = x * rays.dx + y * rays.dy
    q = nonzero(1.0 - c * rays.slope * rays.slope, 1e-5)
    h = toward + rays.slope * half
    square = h * h - q * gap
    spread = tl.sqrt(tl.maximum(square, 0.0))
    on_disc = end / nonzero(rays.slope, 1e-6)
    best = tl.where((on_disc * (on_disc - 2.0 * toward) <= rim) & (on_disc > look.NEAREST_SOLID_M), on_disc, look.FAR)
    best = tl.minimum(best, _on_side((h - spread) / q, square, rays.slope, bottom, top))
    return tl.minimum(best, _on_side((h + spread) / q, square, rays.slope, bottom, top))


@triton.jit
def _on_side(t: tl.tensor, square: tl.tensor, slope: tl.tensor, bottom: tl.tensor, top: tl.tensor) -> tl.tensor:
    z = slope * t
    return tl.where((square >= 0) & (t > look.NEAREST_SOLID_M) & (z >= bottom) & (z <= top), t, look.FAR)
