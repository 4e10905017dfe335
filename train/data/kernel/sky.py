# mypy: disable-error-code="untyped-decorator, no-any-return"
"""The sky behind everything: `shade.sky`."""

from __future__ import annotations

import triton
import triton.language as tl

from .. import look
from . import air_row, tables
from .arithmetic import arctangent, clip, power, sine
from .colors import Color, added, load_color, mixed
from .rays import Rays
from .surfaces import Texel, sample_atlas


@triton.jit
def sky(air: tl.tensor, atlas: tl.tensor, rays: Rays, needed: tl.tensor) -> Color:
    """Light of the sky in each direction: gradient, clouds, stars, sun or moon, mountains."""
    sin_up = rays.slope / rays.length
    rise = tl.maximum(sin_up, 0.0)
    turn = arctangent(rays.dy, rays.dx)
    high = 1.0 - power(1.0 - rise, look.GRADIENT_POWER)
    color = mixed(load_color(air + air_row.HORIZON), load_color(air + air_row.ZENITH), high)
    spread = look.CLOUD_SPREAD / (rise + look.CLOUD_HEIGHT)
    shift = tl.load(air) * look.CLOUD_SHIFT
    puffs = _noise(atlas, rays.dx * spread + shift, rays.dy * spread, needed).mix
    puff = clip((puffs - look.CLOUD_FROM) * look.CLOUD_EDGE)
    cover = puff * tl.load(air + air_row.CLOUDS) * clip(rise * look.CLOUD_RISE)
    halo, disc = _sun(air, rays, sin_up)
    sun_color = load_color(air + air_row.SUN_COLOR)
    color = added(color, sun_color, halo * (1.0 - look.HALO_BEHIND * cover))
    stars = tl.load(air + air_row.STARS)
    if stars > 0:
        around = turn * (0.5 * look.STARS_ROUND / 3.141592653589793)
        shine = _noise(atlas, around, sin_up * look.STARS_UP, needed).glow * stars
        color = Color(color.red + shine, color.green + shine, color.blue + shine)
    color = mixed(color, load_color(air + air_row.CLOUD_COLOR), look.CLOUD_SHARE * cover)
    glare = disc * (1.0 - look.DISC_BEHIND * cover)
    base = look.DISC_BASE * glare
    color = added(color, sun_color, look.DISC_LIGHT * glare)
    color = Color(color.red + base, color.green + base, color.blue + base)
    return mixed(color, load_color(air + air_row.RIDGE_COLOR), _mountains(air, rays.slope, turn))


@triton.jit
def _noise(atlas: tl.tensor, u: tl.tensor, v: tl.tensor, needed: tl.tensor) -> Texel:
    """The page of noise at its finest level."""
    return sample_atlas(atlas, tl.zeros_like(u).to(tl.int32) + tables.NOISE_PAGE, u, v, tl.zeros_like(u), needed)


@triton.jit
def _sun(air: tl.tensor, rays: Rays, sin_up: tl.tensor) -> tuple[tl.tensor, tl.tensor]:
    """The glow around the sun or moon, and its disc."""
    sun = air + air_row.SUN_DIRECTION
    cos_up = tl.sqrt(tl.maximum(1.0 - sin_up * sin_up, 0.0))
    toward = cos_up * (rays.dx * tl.load(sun) + rays.dy * tl.load(sun + 1)) + sin_up * tl.load(sun + 2)
    ahead = tl.maximum(toward, 0.0)
    halo = look.HALO_WIDE * power(ahead, look.HALO_WIDE_POWER)
    halo += look.HALO_NARROW * power(ahead, look.HALO_NARROW_POWER)
    edge = tl.load(air + air_row.SUN_SIZE)
    disc = tl.where(edge < 1, clip((toward - edge) / (look.DISC_EDGE * tl.abs(1.0 - edge))), 0.0)
    return halo, disc


@triton.jit
def _mountains(air: tl.tensor, slope: tl.tensor, turn: tl.tensor) -> tl.tensor:
    """1 below the ridge on the horizon, 0 above it or where there is none."""
    ridge = air + air_row.RIDGE
    base = tl.load(ridge)
    top = base + tl.zeros_like(slope)
    for wave in tl.static_range(3):
        phase = turn * look.RIDGE_WAVES[wave] + tl.load(ridge + 4 + wave)
        top += tl.load(ridge + 1 + wave) * sine(phase) / (wave + 1)
    return tl.where(base > 0, clip((top - slope) * look.RIDGE_EDGE), 0.0)
