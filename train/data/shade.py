"""Colours of what rays meet: patterns, pictures on walls, light, fog and sky. Light is linear until the tone curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from .blueprint import CELL
from .cast import FAR, Hits, Rays
from .drawing import CELL_FIELDS
from .lightmap import TEXEL_M, TEXELS
from .patterns import FIRST_DECAL, LEVELS, PAGE_TEXELS, SIZE, Pattern
from .worlds import air_field

DECAL_BOTTOM_M: Final = 0.05
DECAL_TOP_M: Final = 2.35
_COLUMN: Final = {name: index for index, name in enumerate(CELL_FIELDS)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """Per-frame views of the worlds' tables, N frames."""

    cells: Tensor
    """(N, GRID·GRID, 7)."""
    materials: Tensor
    """(N, MAX_MATERIALS, 9)."""
    solids: Tensor
    """(N, MAX_SOLIDS, 9)."""
    air: Tensor
    """(N, width)."""
    light: Tensor
    """(B·TEXELS·TEXELS, 5) of all worlds."""
    world: Tensor
    """(N,) world of each frame."""
    atlas: Tensor
    """(texels, 4), `patterns.atlas`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """Where and what was hit, each (N, P) unless said."""

    x: Tensor
    y: Tensor
    z: Tensor
    normal: tuple[Tensor, Tensor, Tensor]
    u: Tensor
    """Metres along the surface."""
    v: Tensor
    """Metres up the surface, or across it."""
    material: Tensor
    """Number within the world."""
    facing: Tensor
    """Cosine between ray and normal, in (0, 1]."""


def sample_atlas(texels: Tensor, page: Tensor, u: Tensor, v: Tensor, footprint: Tensor) -> Tensor:
    """(…, 4) bilinear sample of repeating pages at u, v in periods; `footprint` is a pixel's width in periods."""
    level = torch.log2((footprint * SIZE).clamp_min(1.0)).round().long().clamp_max(LEVELS - 1)
    size = SIZE >> level
    base = page * PAGE_TEXELS + 4 * (SIZE * SIZE - size * size) // 3
    fu, fv = u * size - 0.5, v * size - 0.5
    iu, iv = fu.floor(), fv.floor()
    wu, wv = (fu - iu)[..., None], (fv - iv)[..., None]
    mask = size - 1
    c0, c1 = iu.long() & mask, (iu.long() + 1) & mask
    r0, r1 = (iv.long() & mask) * size + base, ((iv.long() + 1) & mask) * size + base
    top = torch.lerp(texels[r0 + c0], texels[r0 + c1], wu)
    return torch.lerp(top, torch.lerp(texels[r1 + c0], texels[r1 + c1], wu), wv)


def _take(table: Tensor, index: Tensor) -> Tensor:
    """(N, P, width) rows of a per-frame table."""
    return torch.gather(table, 1, index[..., None].expand(-1, -1, table.shape[-1]))


def locate(rays: Rays, hits: Hits, scene: Scene) -> tuple[Surface, Tensor]:
    """Surface of each pixel, and the (N, P, 7) cell row there."""
    t = hits.t.clamp_max(500.0)
    x, y = rays.origin[:, :1] + t * rays.dx, rays.origin[:, 1:2] + t * rays.dy
    z = rays.origin[:, 2:3] + t * rays.slope
    cell = _take(scene.cells, hits.cell)
    solid = _take(scene.solids, hits.solid)
    side, zero = hits.side, torch.zeros_like(t)
    is_solid, is_wall = side == 4, side < 2
    nx, ny, nz = _solid_normal(solid, x, y, z)
    nx = torch.where(is_solid, nx, torch.where(side == 0, -rays.dx.sign(), zero))
    ny = torch.where(is_solid, ny, torch.where(side == 1, -rays.dy.sign(), zero))
    nz = torch.where(is_solid, nz, torch.where(side == 2, 1.0, torch.where(side == 3, -1.0, zero)))
    around = torch.atan2(y - solid[..., 1], x - solid[..., 0]) * solid[..., 7].clamp_min(0.3)
    u = torch.where(is_solid, around, torch.where(side == 0, y, x))
    v = torch.where(is_solid | is_wall, z, y)
    on_top = torch.where(cell[..., _COLUMN["height"]] > 0, cell[..., _COLUMN["wall"]], cell[..., _COLUMN["floor"]])
    flat = torch.where(side == 3, cell[..., _COLUMN["overhead"]], on_top)
    material = torch.where(is_solid, solid[..., 8], torch.where(is_wall, cell[..., _COLUMN["wall"]], flat))
    length = torch.sqrt(1 + rays.slope**2)
    facing = (nx * rays.dx + ny * rays.dy + nz * rays.slope).abs() / length
    surface = Surface(
        x=x, y=y, z=z, normal=(nx, ny, nz), u=u, v=v, material=material.long(), facing=facing.clamp_min(0.02)
    )
    return surface, cell


def _solid_normal(solid: Tensor, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Outward normal of x² + y² = a + b·z + c·z²; straight up or down on the end discs."""
    across, over = x - solid[..., 0], y - solid[..., 1]
    z0, z1, a, b, c = solid[..., 2:7].unbind(-1)
    gradient = -(0.5 * b + c * z)
    rim = a + b * z + c * z * z - across**2 - over**2
    is_disc = rim > 0.02 * solid[..., 7] ** 2 + 1e-3
    length = torch.sqrt(across**2 + over**2 + gradient**2).clamp_min(1e-5)
    up = torch.where((z - z0).abs() < (z - z1).abs(), -1.0, 1.0)
    zero = torch.zeros_like(x)
    return (
        torch.where(is_disc, zero, across / length),
        torch.where(is_disc, zero, over / length),
        torch.where(is_disc, up, gradient / length),
    )


def paint(surface: Surface, cell: Tensor, hits: Hits, scene: Scene, pixel: Tensor) -> tuple[Tensor, Tensor]:
    """(N, P, 3) albedo and (N, P, 3) own light. `pixel` is a pixel's width in metres at the hit."""
    row = _take(scene.materials, surface.material)
    footprint = pixel / surface.facing.pow(0.7)
    texel = sample_atlas(
        scene.atlas, row[..., 0].long(), surface.u * row[..., 1], surface.v * row[..., 1], footprint * row[..., 1]
    )
    color = torch.lerp(row[..., 2:5], row[..., 5:8], texel[..., 0:1]) * texel[..., 1:2]
    own = color.new_tensor((1.0, 0.78, 0.42)) * (texel[..., 2] * row[..., 8])[..., None]
    is_shining = (row[..., 8] > 0) & (row[..., 0] != int(Pattern.FACADE))
    own = torch.where(is_shining[..., None], color * row[..., 8:9], own)
    decal = _take(scene.materials, cell[..., _COLUMN["decal_material"]].long())
    number = cell[..., _COLUMN["decal"]].long()
    up = (surface.z - DECAL_BOTTOM_M) / (DECAL_TOP_M - DECAL_BOTTOM_M)
    picture = sample_atlas(
        scene.atlas, FIRST_DECAL + (number - 1).clamp_min(0), surface.u / CELL, up.clamp(0.004, 0.996), footprint / CELL
    )
    shown = (hits.side < 2) & (number > 0) & (up > 0) & (up < 1)
    alpha = picture[..., 3:4] * shown[..., None]
    ink = torch.lerp(decal[..., 2:5], decal[..., 5:8], picture[..., 0:1]) * picture[..., 1:2]
    gleam = ink * (picture[..., 2:3] * decal[..., 8:9])
    color = torch.lerp(color, ink, alpha)
    own = torch.lerp(own, gleam, alpha)
    # A slow change of tone over metres, so that two stretches of one wall never look the same.
    slow = torch.sin(0.41 * surface.u + 0.9 * surface.v.sin()) * torch.sin(0.29 * surface.x - 0.23 * surface.y)
    return color * (1 + 0.16 * slow)[..., None], own * air_field(scene.air, "glow")[:, None]


def illuminate(surface: Surface, hits: Hits, scene: Scene) -> Tensor:
    """(N, P, 3) light that falls on each hit: sky, sun with shadows, lamps, darker corners."""
    nx, ny, nz = surface.normal
    lift = 0.22
    texel = _sample_light(scene, surface.x + lift * nx, surface.y + lift * ny)
    lamps, shadow, openness = texel[..., :3], texel[..., 3], texel[..., 4]
    ambient = air_field(scene.air, "ambient")[:, None]
    bounce = air_field(scene.air, "ground_bounce")
    sun = air_field(scene.air, "sun_direction")[:, :, None]
    facing_sun = (nx * sun[:, 0] + ny * sun[:, 1] + nz * sun[:, 2]).clamp_min(0)
    seen = ((surface.z + 0.15 - shadow) * 2.5).clamp(0, 1) * facing_sun
    # Corners matter less higher up a wall.
    corner = torch.lerp(openness, torch.ones_like(openness), (surface.z / 3.5).clamp(0, 1) * (hits.side != 2))
    foot = (0.55 + surface.z * 0.9).clamp_max(1.0)
    corner = torch.where(hits.side < 2, corner * foot, corner)
    # Walls across x and across y, floors and ceilings each get their own share, as a room's do.
    sky = 0.72 + 0.28 * nz + bounce + 0.10 * nx.abs() - 0.06 * ny.abs()
    lamp_share = 0.62 + 0.25 * nx.abs() + 0.12 * ny.abs() + 0.3 * nz.clamp_min(0)
    fade = 1.0 / (1.0 + 0.05 * (surface.z - 1.8).clamp_min(0) ** 2)
    light = ambient * (sky * corner)[..., None] + lamps * (lamp_share * fade)[..., None]
    return light + air_field(scene.air, "sun_color")[:, None] * seen[..., None]


def _sample_light(scene: Scene, x: Tensor, y: Tensor) -> Tensor:
    fx = (x / TEXEL_M - 0.5).clamp(0, TEXELS - 1.001)
    fy = (y / TEXEL_M - 0.5).clamp(0, TEXELS - 1.001)
    ix, iy = fx.long(), fy.long()
    wx, wy = (fx - ix)[..., None], (fy - iy)[..., None]
    at = (scene.world[:, None] * TEXELS + ix) * TEXELS + iy
    low = torch.lerp(scene.light[at].float(), scene.light[at + 1].float(), wy)
    return torch.lerp(low, torch.lerp(scene.light[at + TEXELS].float(), scene.light[at + TEXELS + 1].float(), wy), wx)


def sky(rays: Rays, scene: Scene) -> Tensor:
    """(N, P, 3) light of the sky in each direction: gradient, clouds, stars, sun or moon, mountains."""

    def field(name: str) -> Tensor:
        return air_field(scene.air, name)[:, None]

    sin_up = rays.slope / torch.sqrt(1 + rays.slope**2)
    rise = sin_up.clamp_min(0)
    color = torch.lerp(field("horizon"), field("zenith"), (1 - (1 - rise).pow(2.5))[..., None])
    sun = air_field(scene.air, "sun_direction")[:, :, None]
    cos_up = torch.sqrt((1 - sin_up**2).clamp_min(0))
    toward = cos_up * (rays.dx * sun[:, 0] + rays.dy * sun[:, 1]) + sin_up * sun[:, 2]
    edge = air_field(scene.air, "sun_size")
    halo = toward.clamp_min(0).pow(24) * 0.35 + toward.clamp_min(0).pow(200) * 0.4
    disc = ((toward - edge) / (0.15 * (1 - edge).abs())).clamp(0, 1) * (edge < 1)
    page = torch.full_like(rays.column, int(Pattern.NOISE))
    spread = 1.0 / (rise + 0.16)
    level = torch.full_like(rise, 1 / 128)
    drift = scene.air[:, :1] * 31
    puffs = sample_atlas(scene.atlas, page, rays.dx * spread * 0.17 + drift, rays.dy * spread * 0.17, level)
    turn = torch.atan2(rays.dy, rays.dx)
    stars = sample_atlas(scene.atlas, page, turn * (3 / torch.pi), sin_up * 1.5, level)[..., 2] * air_field(
        scene.air, "stars"
    )
    cover = ((puffs[..., 0] - 0.42) * 3.0).clamp(0, 1) * air_field(scene.air, "clouds") * (rise * 6).clamp(0, 1)
    color = color + field("sun_color") * (halo * (1 - 0.5 * cover))[..., None] + stars[..., None]
    color = torch.lerp(color, field("cloud_color"), (0.85 * cover)[..., None])
    color = color + (field("sun_color") * 2.5 + 0.45) * (disc * (1 - 0.7 * cover))[..., None]
    ridge = air_field(scene.air, "ridge")
    top = ridge[:, :1]
    for wave, turns in enumerate((2, 5, 11)):
        top = top + ridge[:, 1 + wave : 2 + wave] * torch.sin(turn * turns + ridge[:, 4 + wave : 5 + wave]) / (wave + 1)
    below = ((top - rays.slope) * 60).clamp(0, 1) * (ridge[:, :1] > 0)
    return torch.lerp(color, field("ridge_color"), below[..., None])


def shade(rays: Rays, hits: Hits, scene: Scene, pixel_angle: float) -> Tensor:
    """(N, P, 3) display values in [0, 1] of every pixel; `pixel_angle` is a pixel's width at one metre."""
    surface, cell = locate(rays, hits, scene)
    length = torch.sqrt(1 + rays.slope**2)
    distance = hits.t * length
    albedo, own = paint(surface, cell, hits, scene, distance * pixel_angle)
    color = albedo * illuminate(surface, hits, scene) + own
    background = sky(rays, scene)
    fog = 1 - torch.exp(-((distance / air_field(scene.air, "fog_m")).pow(1.4)))
    color = torch.lerp(color, air_field(scene.air, "horizon")[:, None].expand_as(color), fog[..., None])
    color = torch.where((hits.t >= FAR)[..., None], background, color)
    return tone(color)


def tone(color: Tensor) -> Tensor:
    """Light to display values: a soft shoulder, then the square root that `palette.linear` undoes."""
    return (color * (1 + 0.11 * color) / (1 + 0.45 * color * color)).clamp(0, 1).sqrt()
