"""Episodes: exact poses, no wall ever touched, rich in turns and returns."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from worldloom.errors import InputError
from worldloom.model.poses import integrate_poses
from worldloom.train.data.habits import PITCH_LIMIT_DEG, Styles
from worldloom.train.data.motion import integrate, metres, place, sketch
from worldloom.train.data.paths import (
    BODY_RADIUS_M,
    Episodes,
    clearance_at,
    come_back,
    sample_episodes,
    scripted,
)
from worldloom.train.data.worlds import Worlds, sample_worlds

FRAMES = 161


@pytest.fixture(scope="module")
def worlds() -> Worlds:
    return sample_worlds(range(8)).select(list(range(8)) * 8)


@pytest.fixture(scope="module")
def episodes(worlds: Worlds) -> Episodes:
    return sample_episodes(worlds, FRAMES, 7)


def random_actions(seed: int, frames: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    keyboard = (rng.random((3, frames, 6)) < 0.4).astype(np.float32)
    mouse = (rng.choice([0, 0.01, 0.1, -0.1, 0.3, -1.2], (3, frames, 2))).astype(np.float32)
    return torch.from_numpy(keyboard), torch.from_numpy(mouse)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 80))
def test_batched_poses_equal_the_models(seed: int, frames: int) -> None:
    keyboard, mouse = random_actions(seed, frames)
    poses = integrate(keyboard, mouse)
    for row in range(3):
        expected = integrate_poses(keyboard[row].numpy(), mouse[row].numpy())
        np.testing.assert_allclose(poses[row].numpy(), expected, rtol=0, atol=2e-3)


def test_quick_sums_equal_frame_by_frame_poses() -> None:
    keyboard, mouse = random_actions(1, 60)
    exact = integrate(keyboard, mouse)
    quick = sketch(exact[:, 10], keyboard[:, 10:40], mouse[:, 10:40])
    torch.testing.assert_close(quick, exact[:, 11:41], rtol=0, atol=5e-3)


def test_placed_poses_keep_distances_and_headings() -> None:
    keyboard, mouse = random_actions(2, 30)
    poses = integrate(keyboard, mouse)
    start = torch.tensor([[500.0, 700.0, 160.0, 0.0, 37.0]]).expand(3, -1)
    world = place(start, poses)
    torch.testing.assert_close(world[:, 0], start)
    moved, original = world.diff(dim=1)[..., :2].norm(dim=-1), poses.diff(dim=1)[..., :2].norm(dim=-1)
    torch.testing.assert_close(moved, original, rtol=0, atol=1e-2)
    torch.testing.assert_close(world[..., 4] - poses[..., 4], torch.full_like(world[..., 4], 37.0))


def test_no_frame_is_nearer_to_a_wall_than_a_body(worlds: Worlds, episodes: Episodes) -> None:
    assert clearance_at(worlds, *metres(episodes.poses)).min() >= BODY_RADIUS_M - 0.13


def test_poses_follow_from_actions(episodes: Episodes) -> None:
    torch.testing.assert_close(integrate(episodes.keyboard, episodes.mouse), episodes.model_poses)
    torch.testing.assert_close(place(episodes.poses[:, 0], episodes.model_poses), episodes.poses, rtol=0, atol=0.05)


def test_episodes_are_rich(episodes: Episodes) -> None:
    walked = episodes.poses.diff(dim=1)[..., :2].norm(dim=-1)
    assert (walked.sum(1) > 200).float().mean() > 0.8
    assert 0.35 < (walked > 1).float().mean() < 0.9
    assert (episodes.mouse[..., 1].abs() > 0.02).float().mean() > 0.3
    assert episodes.poses[..., 3].abs().max() <= PITCH_LIMIT_DEG
    assert 0.02 < (episodes.poses[..., 3].abs() > 3).float().mean() < 0.5
    strafes = (episodes.keyboard[..., 2] != episodes.keyboard[..., 3]).float().mean()
    assert strafes > 0.05


def test_many_episodes_come_back_to_where_they_looked_before(episodes: Episodes) -> None:
    poses = episodes.model_poses
    back = 0
    for episode in poses:
        late = episode[FRAMES // 2 :]
        distance = (late[:, :2] - episode[0, :2]).norm(dim=-1)
        turn = (late[:, 4] - episode[0, 4] + 180) % 360 - 180
        far = (episode[:, :2] - episode[0, :2]).norm(dim=-1).max() > 60
        back += int(far and bool(((distance < 5) & (turn.abs() < 5)).any()))
    assert back / len(poses) > 0.15


def test_the_same_seed_gives_the_same_episodes_and_another_others(worlds: Worlds, episodes: Episodes) -> None:
    again = sample_episodes(worlds, FRAMES, 7)
    assert torch.equal(again.keyboard, episodes.keyboard)
    assert torch.equal(again.poses, episodes.poses)
    assert not torch.equal(sample_episodes(worlds, FRAMES, 8).keyboard, episodes.keyboard)


def test_a_script_starts_where_it_stays_clear(worlds: Worlds) -> None:
    keyboard, mouse = torch.zeros(81, 6), torch.zeros(81, 2)
    keyboard[:30, 0] = 1
    mouse[30:60, 1] = 0.1
    found = scripted(worlds.select(range(4)), keyboard, mouse)
    assert clearance_at(worlds.select(range(4)), *metres(found.poses)).min() >= BODY_RADIUS_M
    assert (found.poses[:, 30, :2] - found.poses[:, 0, :2]).norm(dim=-1).min() > 360
    assert torch.equal(found.keyboard[2], keyboard)


def test_a_script_that_leaves_every_world_is_refused_with_numbers(worlds: Worlds) -> None:
    keyboard = torch.zeros(600, 6)
    keyboard[:, 0] = 1
    with pytest.raises(InputError, match="600 frames"):
        scripted(worlds.select([0]), keyboard, torch.zeros(600, 2), draws=64)


@pytest.mark.parametrize("kind", [1, 2])
@given(turn=st.sampled_from([-0.3, -0.1, 0.1, 0.13, 0.25]), key=st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_who_turns_through_half_a_circle_on_the_way_out_comes_home_all_the_same(
    kind: int, turn: float, key: int
) -> None:
    frames = 221
    keyboard, mouse = torch.zeros(1, frames, 6), torch.zeros(1, frames, 2)
    keyboard[..., key] = 1.0
    mouse[..., 1] = turn
    styles = Styles(
        returns=torch.tensor([kind]), spin=torch.zeros(1), circling=torch.zeros(1).bool(), lengths=torch.zeros(1, 2)
    )
    keys, camera = come_back(keyboard, mouse, styles)
    pause = 40 if kind == 2 else 0
    out = int((frames - 1 - pause) // 2 * 0.55)
    poses = integrate(keys, camera)[0]
    assert float(poses[:, :2].norm(dim=-1).max()) > 50
    assert float(poses[2 * out + pause, :2].norm()) < 1.0
