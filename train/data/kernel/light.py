# mypy: disable-error-code="untyped-decorator, no-any-return"
"""Light that falls on surfaces, and fog: `shade.illuminate`."""

from __future__ import annotations

import triton
import triton.language as tl

from .. import lightmap, look
from . import air_row
from .arithmetic import clip, lerp, power, unpack_halves
from .colors import Color, added, load_color, mixed, scaled
from .rays import Hits, Rays
from .surfaces import Surface


@triton.jit
def illuminate(air: tl.tensor, light: tl.tensor, shadow: tl.tensor, hits: Hits, surface: Surface) -> Color:
    """Light on each hit: sky, sun with shadows, lamps, darker corners. Pointers to the world's tables."""
    nx, ny, nz = surface.nx, surface.ny, surface.nz
    lamps, openness, dark = _sample_light(
        light, shadow, surface.x + look.LIFT_M * nx, surface.y + look.LIFT_M * ny, surface.exists
    )
    sun = air + air_row.SUN_DIRECTION
    facing_sun = tl.maximum(nx * tl.load(sun) + ny * tl.load(sun + 1) + nz * tl.load(sun + 2), 0.0)
    seen = clip((surface.z + look.SHADOW_LIFT_M - dark) * look.SHADOW_EDGE) * facing_sun
    above = tl.where(hits.side == look.GROUND, 0.0, clip(surface.z / look.CORNER_TOP_M))
    corner = lerp(openness, 1.0, above)
    foot = tl.minimum(look.FOOT_LIGHT + surface.z * look.FOOT_RISE, 1.0)
    corner = tl.where(hits.side < look.GROUND, corner * foot, corner)
    bounce = tl.load(air + air_row.GROUND_BOUNCE)
    across_x, across_y = tl.abs(nx), tl.abs(ny)
    sky = look.SKY_SHARE + look.SKY_UP * nz + bounce + look.SKY_X * across_x + look.SKY_Y * across_y
    share = look.LAMP_SHARE + look.LAMP_X * across_x + look.LAMP_Y * across_y + look.LAMP_UP * tl.maximum(nz, 0.0)
    over_lamps = tl.maximum(surface.z - look.LAMP_HEIGHT_M, 0.0)
    falling = scaled(lamps, share / (1.0 + look.LAMP_FADE * over_lamps * over_lamps))
    falling = added(falling, load_color(air + air_row.AMBIENT), sky * corner)
    return added(falling, load_color(air + air_row.SUN_COLOR), seen)


@triton.jit
def _sample_light(
    light: tl.tensor, shadow: tl.tensor, x: tl.tensor, y: tl.tensor, needed: tl.tensor
) -> tuple[Color, tl.tensor, tl.tensor]:
    """Lamp light, openness and height of the shadow, between texels."""
    last = lightmap.TEXELS - 1.001
    fx = tl.minimum(tl.maximum(x / lightmap.TEXEL_M - 0.5, 0.0), last)
    fy = tl.minimum(tl.maximum(y / lightmap.TEXEL_M - 0.5, 0.0), last)
    ix, iy = fx.to(tl.int32), fy.to(tl.int32)
    wx, wy = fx - ix, fy - iy
    at = ix * lightmap.TEXELS + iy
    near, near_open = _texel(light + at, needed)
    right, right_open = _texel(light + at + 1, needed)
    up, up_open = _texel(light + at + lightmap.TEXELS, needed)
    both, both_open = _texel(light + at + lightmap.TEXELS + 1, needed)
    lamps = mixed(mixed(near, right, wy), mixed(up, both, wy), wx)
    openness = lerp(lerp(near_open, right_open, wy), lerp(up_open, both_open, wy), wx)
    low = lerp(_height(shadow + at, needed), _height(shadow + at + 1, needed), wy)
    next_row = shadow + at + lightmap.TEXELS
    high = lerp(_height(next_row, needed), _height(next_row + 1, needed), wy)
    return lamps, openness, lerp(low, high, wx)


@triton.jit
def _texel(place: tl.tensor, needed: tl.tensor) -> tuple[Color, tl.tensor]:
    red, green, blue, openness = unpack_halves(tl.load(place, mask=needed, other=0))
    return Color(red, green, blue), openness


@triton.jit
def _height(place: tl.tensor, needed: tl.tensor) -> tl.tensor:
    return tl.load(place, mask=needed, other=0.0).to(tl.float32)


@triton.jit
def in_fog(air: tl.tensor, color: Color, rays: Rays, hits: Hits) -> Color:
    """Colours seen through the air before them."""
    share = 1.0 - tl.exp(-power(hits.t * rays.length / tl.load(air + air_row.FOG_M), look.FOG_POWER))
    return mixed(color, load_color(air + air_row.HORIZON), share)
