# mypy: disable-error-code="untyped-decorator, no-any-return"
"""The kernel: one program a tile of pixels, from camera to bytes."""

from __future__ import annotations

import triton
import triton.language as tl

from .. import blueprint, lightmap, look, scene
from . import air_row, solids
from .arithmetic import any_of
from .colors import Color, chosen, times, tone
from .light import illuminate, in_fog
from .plan import march
from .rays import look_through
from .sky import sky
from .solids import cast_solids
from .surfaces import Materials, locate, paint


@triton.jit
def render_tiles(
    images: tl.tensor,
    cameras: tl.tensor,
    worlds: tl.tensor,
    plan: tl.tensor,
    fabric: tl.tensor,
    first: tl.tensor,
    second: tl.tensor,
    frequency: tl.tensor,
    solid_rows: tl.tensor,
    air_rows: tl.tensor,
    tallest: tl.tensor,
    light: tl.tensor,
    shadow: tl.tensor,
    atlas: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    pixel_angle: tl.tensor,
    SUPERSAMPLE: tl.constexpr,
    SAMPLES: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    NUMBERS: tl.constexpr,
) -> None:
    """Writes images (N, height, width, 3) uint8 of N cameras (N, 7) that stand in worlds (N,) int32.

    A tile has ROWS × COLUMNS pixels of SUPERSAMPLE² samples each; SAMPLES is that number or the next power of two.
    NUMBERS stands for all constants from other modules: Triton keys its cache of compiled kernels by arguments.
    """
    across = tl.cdiv(width, COLUMNS)
    tiles = across * tl.cdiv(height, ROWS)
    frame, tile = tl.program_id(0) // tiles, tl.program_id(0) % tiles
    ray = tl.arange(0, ROWS * COLUMNS * SAMPLES)
    pixel, sample = ray // SAMPLES, ray % SAMPLES
    row = tile // across * ROWS + pixel // COLUMNS
    column = tile % across * COLUMNS + pixel % COLUMNS
    u = (column * SUPERSAMPLE + sample % SUPERSAMPLE + 0.5) / (width * SUPERSAMPLE) * 2.0 - 1.0
    v = (row * SUPERSAMPLE + sample // SUPERSAMPLE + 0.5) / (height * SUPERSAMPLE) * 2.0 - 1.0

    world = tl.load(worlds + frame).to(tl.int64)
    materials_at = world * blueprint.MAX_MATERIALS
    texels_at = world * (lightmap.TEXELS * lightmap.TEXELS)
    solid_rows += world * (blueprint.MAX_SOLIDS * solids.WIDTH)
    air = air_rows + world * air_row.WIDTH
    rays = look_through(cameras + frame * 7, u, v)
    hits = march(plan + world * scene.CELLS, rays, tl.load(tallest + world))
    hits = cast_solids(solid_rows, rays, hits)

    is_sky = hits.side == look.SKY
    color = Color(tl.zeros_like(u), tl.zeros_like(u), tl.zeros_like(u))
    if any_of(hits.side != look.SKY):
        surface = locate(solid_rows, rays, hits, pixel_angle)
        materials = Materials(first + materials_at, second + materials_at, frequency + materials_at)
        albedo, own = paint(fabric + world * scene.CELLS, materials, solid_rows, atlas, hits, surface)
        falling = times(albedo, illuminate(air, light + texels_at, shadow + texels_at, hits, surface))
        lit = Color(falling.red + own.red, falling.green + own.green, falling.blue + own.blue)
        color = in_fog(air, lit, rays, hits)
    if any_of(is_sky):
        color = chosen(is_sky, sky(air, atlas, rays, is_sky), color)

    counts = sample < SUPERSAMPLE * SUPERSAMPLE
    place = tl.reshape(row * width + column, (ROWS * COLUMNS, SAMPLES))
    inside = tl.reshape((row < height) & (column < width), (ROWS * COLUMNS, SAMPLES))
    first_of_pixel = tl.max(place, axis=1) * 3
    is_pixel = tl.max(inside.to(tl.int32), axis=1) > 0
    image = images + frame.to(tl.int64) * (height * width * 3) + first_of_pixel
    tl.store(image, _mean(color.red, counts, ROWS * COLUMNS, SAMPLES, SUPERSAMPLE), mask=is_pixel)
    tl.store(image + 1, _mean(color.green, counts, ROWS * COLUMNS, SAMPLES, SUPERSAMPLE), mask=is_pixel)
    tl.store(image + 2, _mean(color.blue, counts, ROWS * COLUMNS, SAMPLES, SUPERSAMPLE), mask=is_pixel)


@triton.jit
def _mean(
    light: tl.tensor, counts: tl.tensor, PIXELS: tl.constexpr, SAMPLES: tl.constexpr, SUPERSAMPLE: tl.constexpr
) -> tl.tensor:
    """Bytes of pixels from the light of their samples."""
    value = tl.reshape(tl.where(counts, tone(light), 0.0), (PIXELS, SAMPLES))
    return (tl.sum(value, axis=1) * (255.0 / (SUPERSAMPLE * SUPERSAMPLE)) + 0.5).to(tl.uint8)
