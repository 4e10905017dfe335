# mypy: disable-error-code="untyped-decorator, no-any-return"
"""Rays stepped through the ground plan: what `cast.cast_plan` finds, cell by cell."""

from __future__ import annotations

import triton
import triton.language as tl

from .. import blueprint, look, scene
from .arithmetic import any_of, nonzero, unpack_pair
from .rays import Hits, Rays

STEPS = tl.constexpr(4)
"""Steps between two looks at whether all rays of the tile are done."""
_RIM_M = tl.constexpr(1e-3)
"""Rays end this far before the edge of the plan, so that rounding never takes one over it."""


@triton.jit
def march(plan: tl.tensor, rays: Rays, tallest: tl.tensor) -> Hits:
    """First hit of each ray with floors, walls, blocks and ceilings. plan: pointer to the world's, see `Tables`.

    A ray that has hit something stays where it is; what it hit is worked out once all have.
    """
    per_x, per_y = 1.0 / nonzero(rays.dx, 1e-6), 1.0 / nonzero(rays.dy, 1e-6)
    step_x, step_y = tl.where(per_x < 0, -1.0, 1.0), tl.where(per_y < 0, -1.0, 1.0)
    hop_x, hop_y = tl.where(per_x < 0, -blueprint.GRID, blueprint.GRID), tl.where(per_y < 0, -1, 1)
    ix, iy = tl.floor(rays.x / blueprint.CELL), tl.floor(rays.y / blueprint.CELL)
    # The next grid line across x and across y, in cells.
    line_x, line_y = ix + 0.5 + 0.5 * step_x, iy + 0.5 + 0.5 * step_y
    cell = (ix * blueprint.GRID + iy).to(tl.int32) + hop_x * 0
    end_x = (tl.where(per_x < 0, 0.0, blueprint.SPAN) - rays.x) * per_x
    end_y = (tl.where(per_y < 0, 0.0, blueprint.SPAN) - rays.y) * per_y
    over = tl.where(rays.slope > 0, (tallest - rays.eye) / nonzero(rays.slope, 1e-6), look.FAR)
    end = tl.minimum(tl.minimum(end_x, end_y) - _RIM_M, over)
    t = rays.dx * 0.0
    going = (t < end) & (cell >= 0) & (cell < scene.CELLS)
    while any_of(going):
        for _ in tl.static_range(STEPS):
            height, ceiling = unpack_pair(tl.load(plan + cell, mask=going, other=0))
            to_x = (line_x * blueprint.CELL - rays.x) * per_x
            to_y = (line_y * blueprint.CELL - rays.y) * per_y
            leave = tl.minimum(to_x, to_y)
            z_in, z_out = rays.eye + rays.slope * t, rays.eye + rays.slope * leave
            clear = (tl.minimum(z_in, z_out) > height) & (tl.maximum(z_in, z_out) < ceiling)
            going = going & clear & (leave < end)
            across_x = to_x <= to_y
            cell = tl.where(going, cell + tl.where(across_x, hop_x, hop_y), cell)
            line_x = tl.where(going & across_x, line_x + step_x, line_x)
            line_y = tl.where(going & (to_x > to_y), line_y + step_y, line_y)
            t = tl.where(going, leave, t)
    from_x = ((line_x - step_x) * blueprint.CELL - rays.x) * per_x
    from_y = ((line_y - step_y) * blueprint.CELL - rays.y) * per_y
    to_x = (line_x * blueprint.CELL - rays.x) * per_x
    to_y = (line_y * blueprint.CELL - rays.y) * per_y
    inside = (cell >= 0) & (cell < scene.CELLS)
    height, ceiling = unpack_pair(tl.load(plan + cell, mask=inside, other=0))
    return _met(rays, cell, inside, height, ceiling, t, tl.minimum(to_x, to_y), from_x, from_y)


@triton.jit
def _met(
    rays: Rays,
    cell: tl.tensor,
    inside: tl.tensor,
    height: tl.tensor,
    ceiling: tl.tensor,
    enter: tl.tensor,
    leave: tl.tensor,
    from_x: tl.tensor,
    from_y: tl.tensor,
) -> Hits:
    """What rays met that ended in a cell which they enter and leave at these t. `from_x` and `from_y` are where they
    passed the cell's nearer lines; the later one is the wall that they may have hit."""
    z_in, z_out = rays.eye + rays.slope * enter, rays.eye + rays.slope * leave
    is_wall = (z_in <= height) | (z_in >= ceiling)
    is_ground = z_out <= height
    wall_side = tl.where(from_y > from_x, look.WALL_Y, look.WALL_X)
    side = tl.where(is_wall, wall_side, tl.where(is_ground, look.GROUND, look.CEILING))
    level = tl.where(is_ground, height, ceiling)
    flat_t = (level - rays.eye) / nonzero(rays.slope, 1e-6)
    t = tl.maximum(tl.where(is_wall, tl.maximum(from_x, from_y), flat_t), look.NEAREST_M)
    found = inside & (is_wall | is_ground | (z_out >= ceiling))
    return Hits(
        tl.where(found, t, look.FAR), tl.where(inside, cell, 0), tl.where(found, side, look.SKY), tl.zeros_like(cell)
    )
