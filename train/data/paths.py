"""Episodes: actions whose poses never cross walls, planned for a batch of worlds at once, and scripted ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from ...errors import InputError
from ...model.poses import METRES_PER_UNIT
from .blueprint import EYE
from .habits import PITCH_LIMIT_DEG, Styles, draw_candidates, draw_styles, lean
from .lightmap import TEXEL_M, TEXELS
from .motion import integrate, metres, place, sketch
from .worlds import Worlds

BODY_RADIUS_M: Final = 0.4
"""A player's half width; cameras nearer to a wall show little but its texture."""
_START_RADIUS_M: Final = 0.7
_CANDIDATES: Final = 24
_STRETCH: Final = (8, 32)
"""Fewest and most frames of one stretch of a path."""
_START_DRAWS: Final = 96
_VIEW_M: Final = 8.0
_EAGER: Final = 0.75
"""How often a player who can go somewhere does."""
_HALF_TURN: Final = 12.0
"""Mouse units in 180 degrees."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Episodes:
    """B episodes of F frames."""

    keyboard: Tensor
    """(B, F, 6) float32 in {0, 1}: W, S, A, D and two unused columns."""
    mouse: Tensor
    """(B, F, 2) float32: pitch and yaw a frame in units of 15 degrees."""
    poses: Tensor
    """(B, F, 5) float32 in the world: x, y, z in units of a centimetre, pitch and yaw in degrees. For the renderer."""
    model_poses: Tensor
    """(B, F, 5) float32, the same from the origin: what the model integrates from the actions."""


def clearance_at(worlds: Worlds, x: Tensor, y: Tensor) -> Tensor:
    """(B, …) metres from points (B, …) to the nearest obstacle of their world; 0 off the plan."""
    ix, iy = (x / TEXEL_M).long(), (y / TEXEL_M).long()
    outside = (x < 0) | (y < 0) | (ix >= TEXELS) | (iy >= TEXELS)
    at = ix.clamp(0, TEXELS - 1) * TEXELS + iy.clamp(0, TEXELS - 1)
    found = torch.gather(worlds.clearance.flatten(1), 1, at.flatten(1)).view_as(at).float()
    return torch.where(outside, torch.zeros_like(found), found)


def sample_episodes(worlds: Worlds, num_frames: int, seed: int) -> Episodes:
    """One episode in each world, on the worlds' device; the same for the same worlds, length and seed.

    About half wander; the others come back by the exact reverse of their actions or by turning round, walk in circles
    or look about. Some stand still for a while.
    """
    generator = torch.Generator().manual_seed(seed)
    styles = draw_styles(len(worlds), generator)
    start = _starts(worlds, generator)
    keyboard, mouse = _wander(worlds, start, styles, num_frames, generator)
    keyboard, mouse = come_back(keyboard, mouse, styles)
    return _finish(worlds, start, keyboard, mouse)


def _finish(worlds: Worlds, start: Tensor, keyboard: Tensor, mouse: Tensor) -> Episodes:
    """Exact poses; whoever would touch something after all stands still from there on."""
    poses = integrate(keyboard, mouse)
    near = clearance_at(worlds, *metres(place(start, poses))) < BODY_RADIUS_M - TEXEL_M / 2
    stopped = near.int().cummax(1).values.bool()
    # Row f − 1 leads to pose f.
    stop_rows = torch.cat([stopped[:, 1:], stopped[:, -1:]], 1)
    if bool(stopped.any()):
        keyboard = keyboard.masked_fill(stop_rows[..., None], 0.0)
        poses = integrate(keyboard, mouse)
    return Episodes(keyboard=keyboard, mouse=mouse, poses=place(start, poses), model_poses=poses)


def _starts(worlds: Worlds, generator: torch.Generator) -> Tensor:
    """(B, 5) poses at clear places that look into the open."""
    batch, device = len(worlds), worlds.device
    draws = torch.rand(batch, _START_DRAWS, 3, generator=generator).to(device)
    span = TEXELS * TEXEL_M
    x, y, yaw = draws[..., 0] * span, draws[..., 1] * span, (draws[..., 2] - 0.5) * 360
    fits = clearance_at(worlds, x, y) >= _START_RADIUS_M
    view = _view_length(worlds, x, y, yaw)
    best = torch.argmax(torch.where(fits, view + 4 * draws[..., 2], view - 100.0), 1, keepdim=True)
    x, y, yaw = (torch.gather(value, 1, best)[:, 0] for value in (x, y, yaw))
    flat = torch.zeros_like(x)
    return torch.stack([x / METRES_PER_UNIT, y / METRES_PER_UNIT, flat + EYE / METRES_PER_UNIT, flat, yaw], -1)


def _view_length(worlds: Worlds, x: Tensor, y: Tensor, yaw: Tensor) -> Tensor:
    """(B, n) metres that one can walk straight ahead, up to _VIEW_M."""
    steps = torch.arange(0.4, _VIEW_M, 0.4, device=x.device)
    heading = torch.deg2rad(yaw)[..., None]
    clear = clearance_at(worlds, x[..., None] + steps * heading.cos(), y[..., None] + steps * heading.sin()) > 0.2
    return clear.int().cummin(-1).values.sum(-1) * 0.4


def _wander(
    worlds: Worlds, start: Tensor, styles: Styles, num_frames: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(B, F, 6) and (B, F, 2): stretch by stretch the first of several random candidates that stays clear."""
    device, batch = worlds.device, len(worlds)
    pose = torch.zeros(batch, 5, device=device)
    keyboard, mouse, done = [], [], 0
    while done < num_frames:
        length = min(int(torch.randint(*_STRETCH, (1,), generator=generator)), num_frames - done)
        drawn = lean(draw_candidates(pose[:, 3], _CANDIDATES, length, generator), styles)
        keys, camera = drawn.keyboard.to(device), drawn.mouse.to(device)
        ahead = sketch(pose[:, None].expand(-1, _CANDIDATES, -1), keys, camera)
        world = place(start[:, None], ahead)
        clear = clearance_at(worlds, *metres(world)).amin(-1) >= BODY_RADIUS_M
        level = ahead[..., 3].abs().amax(-1) <= PITCH_LIMIT_DEG
        fits = clear & level
        fits[:, -1] = True
        # Standing about always fits, so without this most would soon do nothing else.
        eager = (torch.rand(batch, 1, generator=generator) < _EAGER).to(device)
        moves = (ahead[:, :, -1, :2] - pose[:, None, :2]).norm(dim=-1) > 10
        pick = (fits.int() + (fits & moves & eager).int()).argmax(1)
        rows = torch.arange(batch, device=device)
        keyboard.append(keys[rows, pick])
        mouse.append(camera[rows, pick])
        pose = ahead[rows, pick, -1]
        done += length
    return torch.cat(keyboard, 1), torch.cat(mouse, 1)


def come_back(keyboard: Tensor, mouse: Tensor, styles: Styles) -> tuple[Tensor, Tensor]:
    """Rewrites the episodes that return: out, a pause or half a turn, back to where they began, and then out again."""
    batch, frames = keyboard.shape[:2]
    device = keyboard.device
    kind = styles.returns.to(device)[:, None]
    keyboard = keyboard.masked_fill(_loses_its_way(keyboard, mouse, kind)[..., None], 0.0)
    share, extra = styles.lengths.to(device).unbind(-1)
    pause = torch.where(kind[:, 0] == 2, 40 + (40 * extra).long(), (12 * extra).long())
    longest = (frames - 1 - pause) // 2
    out = (longest * (0.55 + 0.45 * share)).long()
    out = torch.where(longest < 8, frames, out)[:, None]
    row = torch.arange(frames, device=device).expand(batch, -1)
    resting = (row >= out) & (row < out + pause[:, None])
    going_back = (row >= out + pause[:, None]) & (row < 2 * out + pause[:, None])
    again = row >= 2 * out + pause[:, None]
    mirrored = 2 * out + pause[:, None] - 1 - row
    source = torch.where(going_back, mirrored, torch.where(again, row - 2 * out - pause[:, None], row))
    source = torch.where(kind == 0, row, source).clamp(0, frames - 1)
    keys = torch.gather(keyboard, 1, source[..., None].expand(-1, -1, 6))
    camera = torch.gather(mouse, 1, source[..., None].expand(-1, -1, 2))
    opposite = keys[..., [1, 0, 3, 2, 4, 5]]
    backwards = (going_back & (kind == 1))[..., None]
    keys = torch.where(backwards, opposite, keys)
    camera = torch.where((going_back & (kind > 0))[..., None], -camera, camera)
    rest = (resting & (kind > 0)) | (again & (kind == 2))
    keys = keys.masked_fill(rest[..., None], 0.0)
    camera = camera.masked_fill(rest[..., None], 0.0)
    turn = (_HALF_TURN / pause.clamp_min(1))[:, None].expand_as(camera[..., 1])
    camera[..., 1] = torch.where(resting & (kind == 2), turn, camera[..., 1])
    return keys, camera


def _loses_its_way(keyboard: Tensor, mouse: Tensor, kind: Tensor) -> Tensor:
    """(B, F) rows in which who will return must not walk: the way back would lead elsewhere.

    A step goes along the mean of the yaw before and after it, which flips where yaw wraps around at ±180 degrees, and
    not on the same row when that is crossed the other way. After half a turn it wraps at 0.
    """
    yaw = integrate(keyboard, mouse)[..., 4]
    yaw = torch.cat([yaw, yaw[:, -1:]], 1)
    behind = torch.where(yaw > 0, yaw - 180, yaw + 180)
    wraps = [(y[:, 1:] - y[:, :-1]).abs() > 90 for y in (yaw, behind)]
    at_end = [(y[:, 1:].abs() == 180) | (y[:, :-1].abs() == 180) for y in (yaw, behind)]
    crosses, crosses_behind = (wrap | end for wrap, end in zip(wraps, at_end, strict=True))
    return ((kind > 0) & crosses) | ((kind == 2) & crosses_behind)


def scripted(worlds: Worlds, keyboard: Tensor, mouse: Tensor, seed: int = 0, draws: int = 4096) -> Episodes:
    """The same actions (F, 6) and (F, 2) in every world, from the start where they keep farthest from walls.

    Raises InputError, naming the world, when none of `draws` random starts stays clear.
    """
    batch, device = len(worlds), worlds.device
    keys, camera = (rows.to(device)[None].expand(batch, -1, -1) for rows in (keyboard.float(), mouse.float()))
    poses = integrate(keys[:1], camera[:1])
    points = torch.rand(batch, draws, 3, generator=torch.Generator().manual_seed(seed)).to(device)
    span_units = TEXELS * TEXEL_M / METRES_PER_UNIT
    level = torch.zeros(batch, draws, device=device)
    start = torch.stack(
        [points[..., 0] * span_units, points[..., 1] * span_units, level + EYE / METRES_PER_UNIT, level,
         (points[..., 2] - 0.5) * 360], -1,
    )  # fmt: skip
    tightest = torch.stack(
        [clearance_at(worlds, *metres(place(start, poses[:, f : f + 1])))[..., 0] for f in range(poses.shape[1])]
    ).amin(0)
    x, y = metres(start)
    view = _view_length(worlds, x, y, start[..., 4])
    score = tightest.clamp_max(0.9) + 0.05 * view
    best = torch.argmax(torch.where(tightest >= BODY_RADIUS_M, score, torch.full_like(score, -1.0)), 1)
    rows = torch.arange(batch, device=device)
    stuck = [worlds.seeds[i] for i in (tightest[rows, best] < BODY_RADIUS_M).nonzero()[:, 0].tolist()]
    if stuck:
        raise InputError(
            f"the script of {keyboard.shape[0]} frames touches a wall from each of {draws} starts in worlds {stuck}",
            hint="shorten the script, draw more starts, or take other seeds",
        )
    poses = poses.expand(batch, -1, -1)
    return Episodes(keyboard=keys, mouse=camera, poses=place(start[rows, best], poses), model_poses=poses)
