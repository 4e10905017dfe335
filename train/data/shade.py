"""Colours of what rays meet: patterns, pictures on walls, light, fog and sky. Light is linear until the tone curve."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from . import look
from .blueprint import CELL
from .cast import Hits, Rays
from .lightmap import TEXEL_M, TEXELS
from .patterns import FIRST_DECAL, LEVELS, PAGE_TEXELS, SIZE, Pattern
from .scene import CELLS, OVERHEAD, SOLID, Paints, Scene, unpack
from .worlds import air_field


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
    facing: Tensor
    """Cosine between ray and normal, in (0, 1]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Paint:
    """What a table of `Paints` says of each pixel."""

    first: Tensor
    """(N, P, 4) float16 first colour and glow."""
    second: Tensor
    """(N, P, 4) float16 second colour and number."""

    def mixed(self, texel: Tensor) -> Tensor:
        """(N, P, 3) colour where the atlas says (mix, shade, …)."""
        return torch.lerp(self.first[..., :3], self.second[..., :3], texel[..., 0:1]) * texel[..., 1:2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Spot:
    """Where to look in the atlas, each (N, P)."""

    page: Tensor
    """int32."""
    u: Tensor
    """Periods."""
    v: Tensor
    footprint: Tensor
    """A pixel's width in periods."""

    def unless(self, condition: Tensor, page: int, u: Tensor, v: Tensor) -> Spot:
        """At the finest level of another page where the condition holds."""
        return Spot(
            page=torch.where(condition, page, self.page),
            u=torch.where(condition, u, self.u),
            v=torch.where(condition, v, self.v),
            footprint=torch.where(condition, 1 / SIZE, self.footprint),
        )


def sample_atlas(texels: Tensor, spot: Spot) -> Tensor:
    """(N, P, 4) float16 bilinear sample of repeating pages."""
    level = (spot.footprint * SIZE).log2_().round_().clamp_(0, LEVELS - 1).int()
    size = SIZE >> level
    base = spot.page * PAGE_TEXELS + 4 * (SIZE * SIZE - size * size) // 3
    fu, fv = spot.u * size - 0.5, spot.v * size - 0.5
    iu, iv = fu.floor(), fv.floor()
    wu, wv = (fu - iu).half()[..., None], (fv - iv).half()[..., None]
    mask = size - 1
    c0, c1 = iu.int() & mask, (iu.int() + 1) & mask
    r0, r1 = (iv.int() & mask) * size + base, ((iv.int() + 1) & mask) * size + base
    near, right, up, both = (unpack(texels[r + c]) for r in (r0, r1) for c in (c0, c1))
    return torch.lerp(torch.lerp(near, right, wu), torch.lerp(up, both, wu), wv)


def _paint(paints: Paints, at: Tensor) -> Paint:
    return Paint(first=unpack(paints.first[at]), second=unpack(paints.second[at]))


def _frames(rays: Rays) -> Tensor:
    """(N, 1) numbers of the frames."""
    return torch.arange(len(rays.dx), device=rays.dx.device)[:, None]


def locate(rays: Rays, hits: Hits, scene: Scene, length: Tensor) -> Surface:
    """Surface of each pixel; `length` is a ray's over its horizontal part."""
    t = hits.t.clamp_max(look.FARTHEST_M)
    x, y = rays.origin[:, :1] + t * rays.dx, rays.origin[:, 1:2] + t * rays.dy
    z = rays.origin[:, 2:3] + t * rays.slope
    at = hits.solid + _frames(rays) * scene.solids_per_frame
    solid = [plane[at] for plane in scene.solids[:8]]
    side = hits.side
    is_solid = side == look.ROUND
    nx, ny, nz = _solid_normal(solid, x, y, z)
    nx = torch.where(is_solid, nx, torch.where(side == look.WALL_X, -rays.dx.sign(), 0.0))
    ny = torch.where(is_solid, ny, torch.where(side == look.WALL_Y, -rays.dy.sign(), 0.0))
    nz = torch.where(is_solid, nz, (side == look.GROUND).float() - (side == look.CEILING).float())
    around = torch.atan2(y - solid[1], x - solid[0]) * solid[7].clamp_min(look.LEAST_GIRTH_M)
    facing = (nx * rays.dx + ny * rays.dy + nz * rays.slope).abs() / length
    return Surface(
        x=x,
        y=y,
        z=z,
        normal=(nx, ny, nz),
        u=torch.where(is_solid, around, torch.where(side == look.WALL_X, y, x)),
        v=torch.where(is_solid | (side < look.GROUND), z, y),
        facing=facing.clamp_min(look.LEAST_FACING),
    )


def _solid_normal(solid: list[Tensor], x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Outward normal of x² + y² = a + b·z + c·z²; straight up or down on the end discs."""
    across, over = x - solid[0], y - solid[1]
    z0, z1, a, b, c, reach = solid[2:8]
    gradient = -(0.5 * b + c * z)
    square = across**2 + over**2
    rim = a + (b + c * z) * z - square
    is_disc = rim > look.DISC_DEPTH * reach**2 + look.DISC_DEPTH_M2
    length = torch.sqrt(square + gradient**2).clamp_min(1e-5)
    up = torch.where((z - z0).abs() < (z - z1).abs(), -1.0, 1.0)
    return (
        torch.where(is_disc, 0.0, across / length),
        torch.where(is_disc, 0.0, over / length),
        torch.where(is_disc, up, gradient / length),
    )


def _surface_paint(rays: Rays, hits: Hits, surface: Surface, scene: Scene, width: Tensor) -> tuple[Paint, Spot]:
    """What each surface is made of and its place in the pattern; `width` is a pixel's on the surface, in metres."""
    kind = (hits.side - 1).clamp(0, OVERHEAD).int()
    at = torch.where(hits.side == look.ROUND, hits.solid + SOLID * CELLS, hits.cell + kind * CELLS)
    at = at + _frames(rays) * scene.surfaces_per_frame
    paint, frequency = _paint(scene.surfaces, at), scene.surfaces.frequency[at]
    page = paint.second[..., 3].int()
    return paint, Spot(page=page, u=surface.u * frequency, v=surface.v * frequency, footprint=width * frequency)


def _decal_paint(rays: Rays, hits: Hits, surface: Surface, scene: Scene, width: Tensor) -> tuple[Paint, Spot, Tensor]:
    """Colours of the picture on each wall, its place in the atlas, and whether there is any."""
    paint = _paint(scene.decals, hits.cell + _frames(rays) * CELLS)
    number = paint.second[..., 3].int()
    up = (surface.z - look.DECAL_BOTTOM_M) / (look.DECAL_TOP_M - look.DECAL_BOTTOM_M)
    page = FIRST_DECAL + (number - 1).clamp_min(0)
    v = up.clamp(look.DECAL_MARGIN, 1 - look.DECAL_MARGIN)
    spot = Spot(page=page, u=surface.u / CELL, v=v, footprint=width / CELL)
    return paint, spot, (hits.side < look.GROUND) & (number > 0) & (up > 0) & (up < 1)


def blend(
    surface: Surface, paint: Paint, texel: Tensor, decal: Paint, picture: Tensor, shown: Tensor
) -> tuple[Tensor, Tensor]:
    """(N, P, 3) albedo and (N, P, 3) own light of surfaces, with pictures where they are shown."""
    color, glow = paint.mixed(texel), paint.first[..., 3:4]
    is_facade = paint.second[..., 3:4] == int(Pattern.FACADE)
    own = torch.where(is_facade, color.new_tensor(look.WINDOW_LIGHT) * (texel[..., 2:3] * glow), color * glow)
    alpha = picture[..., 3:4] * shown[..., None]
    ink = decal.mixed(picture)
    color = torch.lerp(color, ink, alpha)
    own = torch.lerp(own, ink * (picture[..., 2:3] * decal.first[..., 3:4]), alpha)
    along = torch.sin(look.TONE_ALONG * surface.u + look.TONE_UP * surface.v.sin())
    slow = along * torch.sin(look.TONE_X * surface.x - look.TONE_Y * surface.y)
    return color * _weight(1 + look.TONE_SHARE * slow), own


def _weight(values: Tensor) -> Tensor:
    """(N, P, 1) float16 factors of colours."""
    return values.half()[..., None]


def _air_color(scene: Scene, name: str) -> Tensor:
    """(N, 1, 3) float16."""
    return air_field(scene.air, name)[:, None].half()


def illuminate(surface: Surface, hits: Hits, scene: Scene) -> Tensor:
    """(N, P, 3) light that falls on each hit: sky, sun with shadows, lamps, darker corners."""
    nx, ny, nz = surface.normal
    texel, shadow = _sample_light(scene, surface.x + look.LIFT_M * nx, surface.y + look.LIFT_M * ny)
    lamps, openness = texel[..., :3], texel[..., 3].float()
    bounce = air_field(scene.air, "ground_bounce")
    sun = air_field(scene.air, "sun_direction")[:, :, None]
    facing_sun = (nx * sun[:, 0] + ny * sun[:, 1] + nz * sun[:, 2]).clamp_min(0)
    seen = ((surface.z + look.SHADOW_LIFT_M - shadow) * look.SHADOW_EDGE).clamp(0, 1) * facing_sun
    above = (surface.z / look.CORNER_TOP_M).clamp(0, 1) * (hits.side != look.GROUND)
    corner = openness + (1 - openness) * above
    foot = (look.FOOT_LIGHT + surface.z * look.FOOT_RISE).clamp_max(1.0)
    corner = torch.where(hits.side < look.GROUND, corner * foot, corner)
    sky = look.SKY_SHARE + look.SKY_UP * nz + bounce + look.SKY_X * nx.abs() + look.SKY_Y * ny.abs()
    lamp_share = look.LAMP_SHARE + look.LAMP_X * nx.abs() + look.LAMP_Y * ny.abs() + look.LAMP_UP * nz.clamp_min(0)
    fade = 1.0 / (1.0 + look.LAMP_FADE * (surface.z - look.LAMP_HEIGHT_M).clamp_min(0) ** 2)
    light = lamps * _weight(lamp_share * fade)
    light = torch.addcmul(light, _air_color(scene, "ambient"), _weight(sky * corner))
    return torch.addcmul(light, _air_color(scene, "sun_color"), _weight(seen))


def _sample_light(scene: Scene, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(N, P, 4) float16 lamp light and openness, and (N, P) the height of the shadow, between texels."""
    fx = (x / TEXEL_M - 0.5).clamp_(0, TEXELS - 1.001)
    fy = (y / TEXEL_M - 0.5).clamp_(0, TEXELS - 1.001)
    ix, iy = fx.int(), fy.int()
    wx, wy = fx - ix, fy - iy
    at = ((scene.world[:, None].int() * TEXELS + ix) * TEXELS + iy).long()
    corners = (0, 1, TEXELS, TEXELS + 1)
    light = _between([unpack(scene.light[corner:][at]) for corner in corners], _weight(wx), _weight(wy))
    return light, _between([scene.shadow[corner:][at].float() for corner in corners], wx, wy)


def _between(corners: list[Tensor], wx: Tensor, wy: Tensor) -> Tensor:
    return torch.lerp(torch.lerp(corners[0], corners[1], wy), torch.lerp(corners[2], corners[3], wy), wx)


def clouds_at(rays: Rays, scene: Scene, rise: Tensor) -> tuple[Tensor, Tensor]:
    """(N, P) u and v on the page of noise; `rise` is the sine of the elevation."""
    spread = look.CLOUD_SPREAD / (rise + look.CLOUD_HEIGHT)
    return rays.dx * spread + scene.air[:, :1] * look.CLOUD_SHIFT, rays.dy * spread


def sky(rays: Rays, scene: Scene, length: Tensor, turn: Tensor, puffs: Tensor, stars: Tensor) -> Tensor:
    """(N, P, 3) light of the sky in each direction: gradient, clouds, stars, sun or moon, mountains.

    `turn` is the azimuth; `puffs` and `stars` (N, P) are what the page of noise shows there.
    """
    sin_up = rays.slope / length
    rise = sin_up.clamp_min(0)
    high = 1 - (1 - rise).pow(look.GRADIENT_POWER)
    color = torch.lerp(_air_color(scene, "horizon"), _air_color(scene, "zenith"), _weight(high))
    sun = air_field(scene.air, "sun_direction")[:, :, None]
    cos_up = torch.sqrt((1 - sin_up**2).clamp_min(0))
    toward = cos_up * (rays.dx * sun[:, 0] + rays.dy * sun[:, 1]) + sin_up * sun[:, 2]
    edge = air_field(scene.air, "sun_size")
    ahead = toward.clamp_min(0)
    halo = ahead.pow(look.HALO_WIDE_POWER) * look.HALO_WIDE + ahead.pow(look.HALO_NARROW_POWER) * look.HALO_NARROW
    disc = ((toward - edge) / (look.DISC_EDGE * (1 - edge).abs())).clamp(0, 1) * (edge < 1)
    puff = ((puffs - look.CLOUD_FROM) * look.CLOUD_EDGE).clamp(0, 1)
    cover = puff * air_field(scene.air, "clouds") * (rise * look.CLOUD_RISE).clamp(0, 1)
    sun_color = _air_color(scene, "sun_color")
    color = torch.addcmul(color, sun_color, _weight(halo * (1 - look.HALO_BEHIND * cover)))
    color = color + _weight(stars * air_field(scene.air, "stars"))
    color = torch.lerp(color, _air_color(scene, "cloud_color"), _weight(look.CLOUD_SHARE * cover))
    glare = sun_color * look.DISC_LIGHT + look.DISC_BASE
    color = torch.addcmul(color, glare, _weight(disc * (1 - look.DISC_BEHIND * cover)))
    ridge = air_field(scene.air, "ridge")
    top = ridge[:, :1]
    for wave, turns in enumerate(look.RIDGE_WAVES):
        top = top + ridge[:, 1 + wave : 2 + wave] * torch.sin(turn * turns + ridge[:, 4 + wave : 5 + wave]) / (wave + 1)
    below = ((top - rays.slope) * look.RIDGE_EDGE).clamp(0, 1) * (ridge[:, :1] > 0)
    return torch.lerp(color, _air_color(scene, "ridge_color"), _weight(below))


def shade(rays: Rays, hits: Hits, scene: Scene, pixel_angle: float) -> Tensor:
    """(N, P, 3) float16 display values in [0, 1] of every pixel; `pixel_angle` is a pixel's width at one metre."""
    length = torch.sqrt(1 + rays.slope**2)
    distance = hits.t * length
    surface = locate(rays, hits, scene, length)
    width = distance * pixel_angle / surface.facing.pow(look.FACING_POWER)
    paint, pattern = _surface_paint(rays, hits, surface, scene, width)
    decal, hanging, shown = _decal_paint(rays, hits, surface, scene, width)
    # The sky's clouds and stars share lookups with surfaces and the pictures on them, which are nowhere else.
    is_sky, sin_up, turn = hits.t >= look.FAR, rays.slope / length, torch.atan2(rays.dy, rays.dx)
    noise = int(Pattern.NOISE)
    cloud_u, cloud_v = clouds_at(rays, scene, sin_up.clamp_min(0))
    around = turn * (0.5 * look.STARS_ROUND / torch.pi)
    texel = sample_atlas(scene.atlas, pattern.unless(is_sky, noise, cloud_u, cloud_v))
    picture = sample_atlas(scene.atlas, hanging.unless(is_sky, noise, around, sin_up * look.STARS_UP))
    albedo, own = blend(surface, paint, texel, decal, picture, shown)
    color = torch.addcmul(own, albedo, illuminate(surface, hits, scene))
    fog = 1 - torch.exp(-((distance / air_field(scene.air, "fog_m")).pow(look.FOG_POWER)))
    color = torch.lerp(color, _air_color(scene, "horizon"), _weight(fog))
    background = sky(rays, scene, length, turn, texel[..., 0].float(), picture[..., 2].float())
    return tone(torch.where(is_sky[..., None], background, color))


def tone(color: Tensor) -> Tensor:
    """Light to display values: a soft shoulder, then the square root that `palette.linear` undoes."""
    return (color * (1 + look.SHOULDER * color) / (1 + look.SHOULDER_FALL * color * color)).clamp_(0, 1).sqrt_()
