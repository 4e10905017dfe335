# mypy: disable-error-code="untyped-decorator, no-any-return"
"""Where and what rays hit, and what it is made of: `shade.locate`, `shade.sample_atlas` and `shade.blend`."""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl

from .. import blueprint, look, patterns
from . import tables
from .arithmetic import any_of, arctangent, lerp, power, sine, unpack_halves
from .colors import Color, mixed, scaled
from .rays import Hits, Rays
from .solids import WIDTH


class Surface(NamedTuple):
    """As `shade.Surface`, and whether a ray hit anything at all."""

    exists: tl.tensor
    x: tl.tensor
    y: tl.tensor
    z: tl.tensor
    nx: tl.tensor
    ny: tl.tensor
    nz: tl.tensor
    u: tl.tensor
    v: tl.tensor
    width: tl.tensor
    """Metres that a pixel covers."""


class Texel(NamedTuple):
    """Of the atlas, see `patterns`."""

    mix: tl.tensor
    shade: tl.tensor
    glow: tl.tensor
    alpha: tl.tensor


class Materials(NamedTuple):
    """Pointers to the world's materials, see `Tables`."""

    first: tl.tensor
    second: tl.tensor
    frequency: tl.tensor


@triton.jit
def locate(solids: tl.tensor, rays: Rays, hits: Hits, pixel_angle: tl.tensor) -> Surface:
    """Surface of each ray. solids: pointer to the world's; pixel_angle: a pixel's width at one metre."""
    t = tl.minimum(hits.t, look.FARTHEST_M)
    x, y, z = rays.x + t * rays.dx, rays.y + t * rays.dy, rays.eye + t * rays.slope
    side = hits.side
    nx = tl.where(side == look.WALL_X, tl.where(rays.dx < 0, 1.0, -1.0), 0.0)
    ny = tl.where(side == look.WALL_Y, tl.where(rays.dy < 0, 1.0, -1.0), 0.0)
    nz = tl.where(side == look.GROUND, 1.0, tl.where(side == look.CEILING, -1.0, 0.0))
    u = tl.where(side == look.WALL_X, y, x)
    is_round = side == look.ROUND
    if any_of(is_round):
        row = solids + hits.solid * WIDTH
        across, over = x - tl.load(row, mask=is_round, other=0.0), y - tl.load(row + 1, mask=is_round, other=0.0)
        round_x, round_y, round_z = _solid_normal(row, is_round, across, over, z)
        nx, ny, nz = tl.where(is_round, round_x, nx), tl.where(is_round, round_y, ny), tl.where(is_round, round_z, nz)
        girth = tl.maximum(tl.load(row + 7, mask=is_round, other=0.0), look.LEAST_GIRTH_M)
        u = tl.where(is_round, arctangent(over, across) * girth, u)
    v = tl.where(is_round | (side < look.GROUND), z, y)
    facing = tl.abs(nx * rays.dx + ny * rays.dy + nz * rays.slope) / rays.length
    blur = power(tl.maximum(facing, look.LEAST_FACING), -look.FACING_POWER)
    width = hits.t * rays.length * pixel_angle * blur
    return Surface(side != look.SKY, x, y, z, nx, ny, nz, u, v, width)


@triton.jit
def _solid_normal(
    row: tl.tensor, is_round: tl.tensor, across: tl.tensor, over: tl.tensor, z: tl.tensor
) -> tuple[tl.tensor, tl.tensor, tl.tensor]:
    """Outward normal; straight up or down on the end discs. row: pointers to the solids."""
    bottom, top = tl.load(row + 2, mask=is_round, other=0.0), tl.load(row + 3, mask=is_round, other=0.0)
    a, b = tl.load(row + 4, mask=is_round, other=0.0), tl.load(row + 5, mask=is_round, other=0.0)
    c, reach = tl.load(row + 6, mask=is_round, other=0.0), tl.load(row + 7, mask=is_round, other=0.0)
    gradient = -(0.5 * b + c * z)
    square = across * across + over * over
    is_disc = a + (b + c * z) * z - square > look.DISC_DEPTH * reach * reach + look.DISC_DEPTH_M2
    per_length = 1.0 / tl.maximum(tl.sqrt(square + gradient * gradient), 1e-5)
    up = tl.where(tl.abs(z - bottom) < tl.abs(z - top), -1.0, 1.0)
    return (
        tl.where(is_disc, 0.0, across * per_length),
        tl.where(is_disc, 0.0, over * per_length),
        tl.where(is_disc, up, gradient * per_length),
    )


@triton.jit
def sample_atlas(
    atlas: tl.tensor, page: tl.tensor, u: tl.tensor, v: tl.tensor, footprint: tl.tensor, needed: tl.tensor
) -> Texel:
    """Bilinear samples of repeating pages where they are needed; u and v in periods, footprint a pixel's width."""
    level = tl.floor(tl.log2(tl.maximum(footprint * patterns.SIZE, 1.0)) + 0.5)
    size = patterns.SIZE >> tl.minimum(level, patterns.LEVELS - 1.0).to(tl.int32)
    base = page * patterns.PAGE_TEXELS + (patterns.SIZE * patterns.SIZE - size * size) * 4 // 3
    fu, fv = u * size - 0.5, v * size - 0.5
    iu, iv = tl.floor(fu), tl.floor(fv)
    left, low = iu.to(tl.int32) & (size - 1), iv.to(tl.int32) & (size - 1)
    right, high = (left + 1) & (size - 1), (low + 1) & (size - 1)
    below, above = atlas + base + low * size, atlas + base + high * size
    a = _texel(below + left, needed)
    b = _texel(below + right, needed)
    c = _texel(above + left, needed)
    d = _texel(above + right, needed)
    return _between(_between(a, b, fu - iu), _between(c, d, fu - iu), fv - iv)


@triton.jit
def _texel(place: tl.tensor, needed: tl.tensor) -> Texel:
    mix, shade, glow, alpha = unpack_halves(tl.load(place, mask=needed, other=0))
    return Texel(mix, shade, glow, alpha)


@triton.jit
def _between(a: Texel, b: Texel, weight: tl.tensor) -> Texel:
    return Texel(
        lerp(a.mix, b.mix, weight),
        lerp(a.shade, b.shade, weight),
        lerp(a.glow, b.glow, weight),
        lerp(a.alpha, b.alpha, weight),
    )


@triton.jit
def paint(
    fabric: tl.tensor, materials: Materials, solids: tl.tensor, atlas: tl.tensor, hits: Hits, surface: Surface
) -> tuple[Color, Color]:
    """Albedo and own light of surfaces, with pictures on walls."""
    exists = surface.exists
    is_round = hits.side == look.ROUND
    word = tl.load(fabric + hits.cell, mask=exists, other=0)
    place = tl.minimum(tl.maximum(hits.side - 1, 0), look.CEILING - 1)
    chosen = (word >> (place * tables.MATERIAL_BITS)) & tables.MATERIAL_MASK
    round_material = tl.load(solids + hits.solid * WIDTH + 8, mask=is_round, other=0.0)
    chosen = tl.where(is_round, round_material.to(tl.int32), chosen)
    first, second, glow, number = _colors(materials, chosen, exists)
    frequency = tl.load(materials.frequency + chosen, mask=exists, other=0.0)
    page = number.to(tl.int32)
    texel = sample_atlas(atlas, page, surface.u * frequency, surface.v * frequency, surface.width * frequency, exists)
    color = scaled(mixed(first, second, texel.mix), texel.shade)
    is_facade = page == tables.FACADE_PAGE
    window = texel.glow * glow
    own = Color(
        tl.where(is_facade, look.WINDOW_LIGHT[0] * window, color.red * glow),
        tl.where(is_facade, look.WINDOW_LIGHT[1] * window, color.green * glow),
        tl.where(is_facade, look.WINDOW_LIGHT[2] * window, color.blue * glow),
    )
    picture = word >> tables.PICTURE_SHIFT
    up = (surface.z - look.DECAL_BOTTOM_M) / (look.DECAL_TOP_M - look.DECAL_BOTTOM_M)
    shown = exists & (hits.side < look.GROUND) & (picture > 0) & (up > 0) & (up < 1)
    if any_of(shown):
        color, own = _hang(materials, atlas, word, picture, up, shown, surface, color, own)
    along = sine(look.TONE_ALONG * surface.u + look.TONE_UP * sine(surface.v))
    slow = along * sine(look.TONE_X * surface.x - look.TONE_Y * surface.y)
    return scaled(color, 1.0 + look.TONE_SHARE * slow), own


@triton.jit
def _colors(materials: Materials, chosen: tl.tensor, needed: tl.tensor) -> tuple[Color, Color, tl.tensor, tl.tensor]:
    """First and second colour, glow and pattern of the chosen materials."""
    red, green, blue, glow = unpack_halves(tl.load(materials.first + chosen, mask=needed, other=0))
    red_2, green_2, blue_2, number = unpack_halves(tl.load(materials.second + chosen, mask=needed, other=0))
    return Color(red, green, blue), Color(red_2, green_2, blue_2), glow, number


@triton.jit
def _hang(
    materials: Materials,
    atlas: tl.tensor,
    word: tl.tensor,
    picture: tl.tensor,
    up: tl.tensor,
    shown: tl.tensor,
    surface: Surface,
    color: Color,
    own: Color,
) -> tuple[Color, Color]:
    """Albedo and own light with pictures over them where they are shown, `up` being how far up the picture."""
    chosen = (word >> (tables.PICTURE * tables.MATERIAL_BITS)) & tables.MATERIAL_MASK
    first, second, glow, _ = _colors(materials, chosen, shown)
    v = tl.minimum(tl.maximum(up, look.DECAL_MARGIN), 1 - look.DECAL_MARGIN)
    page = patterns.FIRST_DECAL + picture - 1
    texel = sample_atlas(atlas, page, surface.u / blueprint.CELL, v, surface.width / blueprint.CELL, shown)
    alpha = tl.where(shown, texel.alpha, 0.0)
    ink = scaled(mixed(first, second, texel.mix), texel.shade)
    return mixed(color, ink, alpha), mixed(own, scaled(ink, texel.glow * glow), alpha)
