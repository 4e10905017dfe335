"""The renderer: geometry against brute force, and what a camera must see."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from worldloom.model.poses import extrinsics_of
from worldloom.train.data.blueprint import CELL, EYE, GRID
from worldloom.train.data.cast import camera_rays, cast_columns, cast_plan, cast_solids, near_solids
from worldloom.train.data.look import FAR, ROUND, SKY, WALL_X
from worldloom.train.data.paths import sample_episodes
from worldloom.train.data.render import render
from worldloom.train.data.worlds import Worlds, sample_worlds

HEIGHT, WIDTH = 24, 40


@pytest.fixture(scope="module")
def worlds() -> Worlds:
    return sample_worlds([0, 1, 2, 3])


def pose_at(x: float, y: float, pitch: float = 0.0, yaw: float = 0.0) -> Tensor:
    return torch.tensor([[x * 100, y * 100, EYE * 100, pitch, yaw]])


def empty_plan() -> Tensor:
    """(1, GRID·GRID, 7) open floor without a roof, closed by a wall of 3 m."""
    cells = torch.zeros(GRID, GRID, 7)
    cells[..., 1] = 1000.0
    for edge in (0, -1):
        cells[edge, :, 0] = 3.0
        cells[:, edge, 0] = 3.0
    return cells.flatten(0, 1)[None]


@pytest.mark.parametrize(("pitch", "yaw"), [(0.0, 0.0), (17.0, 65.0), (-25.0, -140.0)])
def test_rays_agree_with_the_models_camera(pitch: float, yaw: float) -> None:
    pose = pose_at(10, 12, pitch, yaw)
    rays = camera_rays(pose, HEIGHT, WIDTH, 64)
    camera = extrinsics_of(pose.numpy())[0]
    v, u = np.meshgrid(
        (np.arange(HEIGHT) + 0.5) / HEIGHT * 2 - 1, (np.arange(WIDTH) + 0.5) / WIDTH * 2 - 1, indexing="ij"
    )
    expected = np.stack([u, v, np.ones_like(u)], -1) @ camera[:3, :3].T
    expected /= np.hypot(expected[..., :1], expected[..., 1:2])
    found = torch.stack([rays.dx[0], rays.dy[0], rays.slope[0]], -1).view(HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-5)


def test_a_wall_straight_ahead_is_at_its_distance() -> None:
    cells = empty_plan()
    rays = camera_rays(pose_at(24.3, 20.5), HEIGHT, WIDTH, 64)
    hits = cast_plan(rays, cast_columns(rays, cells), cells)
    middle = HEIGHT // 2 * WIDTH + WIDTH // 2
    wall_x = (GRID - 1) * CELL
    x = 24.3 + hits.t * rays.dx
    level = rays.slope[0, middle - WIDTH // 4].abs() < 0.06
    assert level
    assert hits.side[0, middle] == WALL_X
    assert x[0, middle] == pytest.approx(wall_x, abs=1e-3)


def test_plan_hits_agree_with_marching_along_rays(worlds: Worlds) -> None:
    poses = sample_episodes(worlds, 2, 1).poses[:, 0]
    cells = worlds.cells.flatten(1, 2)
    rays = camera_rays(poses, HEIGHT, WIDTH, 512)
    hits = cast_plan(rays, cast_columns(rays, cells), cells)
    marched = march(rays.origin, rays.dx, rays.dy, rays.slope, cells)
    seen = (marched < 40) & (hits.t < 40)
    agree = (hits.t - marched).abs() <= 0.06 + 0.02 * marched
    # Columns are a fraction of a pixel wide, so only silhouettes may differ.
    assert agree[seen].float().mean() > 0.97
    assert ((marched < 40) == (hits.t < 40)).float().mean() > 0.97


def march(origin: Tensor, dx: Tensor, dy: Tensor, slope: Tensor, cells: Tensor) -> Tensor:
    """Distance at which steps of 2 cm first enter a block or a ceiling."""
    best = torch.full_like(dx, FAR)
    for t in torch.arange(0.02, 41, 0.02).flip(0):
        ix = ((origin[:, :1] + t * dx) / CELL).long().clamp(0, GRID - 1)
        iy = ((origin[:, 1:2] + t * dy) / CELL).long().clamp(0, GRID - 1)
        z = origin[:, 2:3] + t * slope
        bounds = torch.gather(cells[..., :2], 1, (ix * GRID + iy)[..., None].expand(-1, -1, 2))
        best = torch.where((z <= bounds[..., 0]) | (z >= bounds[..., 1]), t, best)
    return best


def test_a_cylinder_a_cone_and_a_ball_are_hit_where_they_stand() -> None:
    # Columns: x, y, z0, z1, then radius² = a + b·z + c·z², reach, material.
    cylinder = [14.0, 20.0, 0.0, 3.0, 1.0, 0.0, 0.0, 1.0, 0.0]
    cone = [10.0, 24.0, 0.0, 4.0, 4.0, -2.0, 0.25, 2.0, 0.0]
    ball = [6.0, 20.0, 0.6, 2.6, 1.0 - 1.6**2, 3.2, -1.0, 1.0, 0.0]
    solids = torch.tensor([[cylinder, cone, ball] + [[-1e4, -1e4, -2, -1, 0, 0, 0, 0, 0]] * 40])
    cells = empty_plan()
    expected = {0.0: 3.0, 90.0: 4.0 - (2 - 0.5 * EYE), 180.0: 3.0}
    for yaw, distance in expected.items():
        rays = camera_rays(pose_at(10, 20, 0, yaw), 31, 31, 64)
        plan = cast_plan(rays, cast_columns(rays, cells), cells)
        hits = cast_solids(rays, near_solids(rays, solids), plan)
        assert hits.side[0, 15 * 31 + 15] == ROUND
        assert hits.t[0, 15 * 31 + 15] == pytest.approx(distance, abs=1e-3)


def test_frames_are_fixed_by_seed_and_pose_whatever_the_batch(worlds: Worlds) -> None:
    poses = sample_episodes(worlds, 5, 2).poses[:, ::2]
    together = render(worlds, poses, HEIGHT, WIDTH)
    assert together.shape == (4, 3, HEIGHT, WIDTH, 3)
    assert together.dtype == torch.uint8
    alone = render(worlds.select([2]), poses[2:3, 1:2], HEIGHT, WIDTH)
    assert (alone[0, 0].int() - together[2, 1].int()).abs().max() <= 1


def test_turning_right_moves_the_picture_left(worlds: Worlds) -> None:
    start = sample_episodes(worlds, 2, 3).poses[1, :1]
    turned = start.clone()
    turned[:, 4] += 6.0
    before, after = render(worlds.select([1]), torch.cat([start, turned])[None], 32, 96)[0].float()
    shifts = range(-12, 13)
    errors = [(before[:, 24 + s : 72 + s] - after[:, 24:72]).abs().mean().item() for s in shifts]
    # Near the middle a turn of 6 degrees shifts by tan(6°) of half the width: 5 pixels.
    assert shifts[int(np.argmin(errors))] == pytest.approx(5, abs=1)


def test_pictures_have_content_and_kinds_look_different(worlds: Worlds) -> None:
    frames = render(worlds, sample_episodes(worlds, 2, 4).poses[:, :1], HEIGHT, WIDTH)[:, 0].float()
    assert (frames.flatten(1).std(1) > 10).all()
    means = frames.mean((1, 2))
    assert torch.cdist(means, means).fill_diagonal_(99).min() > 3


def test_looking_straight_up_or_down_stays_finite(worlds: Worlds) -> None:
    poses = sample_episodes(worlds, 2, 5).poses[:, :1].repeat(1, 3, 1)
    poses[:, :, 3] = torch.tensor([89.9, -89.9, 60.0])
    frames = render(worlds, poses, HEIGHT, WIDTH)
    assert frames[:, 0].float().mean() > 2


def test_the_open_sky_has_no_ceiling() -> None:
    cells = empty_plan()
    rays = camera_rays(pose_at(24, 24, -89.9), HEIGHT, WIDTH, 64)
    hits = cast_plan(rays, cast_columns(rays, cells), cells)
    assert (hits.side == SKY).all()


def test_worlds_carry_their_tables_to_another_device(worlds: Worlds) -> None:
    moved = replace(worlds, seeds=worlds.seeds).to("cpu")
    assert moved.device == torch.device("cpu")
    assert torch.equal(moved.atlas, worlds.atlas)
