"""Scenes, what of them was seen before, and poses found from views."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from worldloom.errors import InputError
from worldloom.model.poses import Float32
from worldloom.model.preset import VideoConfig
from worldloom.train.data.paths import BODY_RADIUS_M, clearance_at
from worldloom.train.data.worlds import HELD_OUT_FROM
from worldloom.train.evaluation.control import star
from worldloom.train.evaluation.metrics import psnr, to_signed
from worldloom.train.evaluation.moves import hold, is_reversible
from worldloom.train.evaluation.pose_match import angle_between, find_pose, look, metres_between, mismatch
from worldloom.train.evaluation.scenes import Scene, others_like, scenes_for_script, scenes_to_explore

VIDEO = VideoConfig(height=64, width=96, frame_rate=16)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def scene() -> Scene:
    return scenes_for_script(star(), 1, 0, VIDEO, CPU)[0]


def pose(x: float = 0, y: float = 0, pitch: float = 0, yaw: float = 0) -> Float32:
    return np.array([[x, y, 0, pitch, yaw]], np.float32)


def test_scenes_are_held_out_and_their_scripts_touch_no_wall(scene: Scene) -> None:
    assert scene.seed >= HELD_OUT_FROM and scene.number == scene.seed - HELD_OUT_FROM
    x, y = (scene.in_world(star().poses())[:, :2].T / 100).float()
    assert clearance_at(scene.world, x[None], y[None]).min() >= BODY_RADIUS_M - 0.13
    assert scene.image.shape == (64, 96, 3) and len(scene.prompt) > 20


def test_a_script_that_fits_nowhere_is_refused() -> None:
    with pytest.raises(InputError, match="500 frames fits into 0 of 2 worlds"):
        scenes_for_script(hold("W", frames=500), 1, 0, VIDEO, CPU, tries=2)


def test_paths_to_explore_are_lively_and_can_be_walked_back() -> None:
    ((scene, path),) = scenes_to_explore(1, 60, 4, VIDEO, CPU)
    assert len(path) == 60 and is_reversible(path)
    assert np.abs(np.diff(path.poses(), axis=0)).sum() > 100
    others = others_like(scene, 2)
    assert {other.world.attributes[0].kind for other in others} == {scene.world.attributes[0].kind}
    assert len({scene.seed, *(other.seed for other in others)}) == 3


def test_equal_poses_have_equal_views_at_every_size(scene: Scene) -> None:
    poses = np.concatenate([pose(), pose(yaw=30), pose()])
    for shrink in (1, 4):
        frames = scene.truth(poses, shrink)
        assert frames.shape == (3, 64 // shrink, 96 // shrink, 3)
        assert torch.equal(frames[0], frames[2]) and not torch.equal(frames[0], frames[1])


def test_the_start_view_shows_itself_and_half_of_a_view_turned_by_half_its_width(scene: Scene) -> None:
    poses = np.concatenate([pose(), pose(yaw=45), pose(yaw=-45), pose(yaw=180)])
    here, right, left, behind = scene.seen(poses).float()
    assert here.mean() > 0.98
    assert right[:, :46].mean() > 0.85 and right[:, 50:].mean() == 0
    assert left[:, 50:].mean() > 0.85 and left[:, :46].mean() == 0
    assert behind.mean() == 0


def test_what_is_seen_from_far_too_small_or_hidden_does_not_count(scene: Scene) -> None:
    near, back = scene.seen(np.concatenate([pose(x=60), pose(x=-150)])).float().mean(dim=(1, 2))
    assert 0.3 < near < 1 and 0.1 < back < 0.95


def test_seen_pixels_have_the_colours_of_the_start_view() -> None:
    """Walks ahead in a daylight scene and paints the new view from the old one's pixels by the same geometry."""
    scene = scenes_for_script(star(), 1, 3, VIDEO, CPU)[0]
    views, seen = to_signed(scene.truth(np.concatenate([pose(), pose(yaw=10)]))), scene.seen(pose(yaw=10))[0]
    columns = torch.arange(96)
    u = (columns + 0.5) / 96 * 2 - 1
    turned = torch.tan(torch.atan(u) + np.radians(10))
    source = ((turned + 1) / 2 * 96).long().clamp(0, 95)
    middle = slice(30, 34)
    painted = views[0][:, middle][:, :, source]
    assert float(psnr(painted, views[1][:, middle], seen[middle])) > 18
    assert float(psnr(painted, views[1][:, middle])) < float(psnr(painted, views[1][:, middle], seen[middle]))


@pytest.mark.parametrize("true", [pose(x=60, y=20, pitch=5, yaw=-10), pose(yaw=20)])
def test_the_pose_of_a_view_is_found_from_a_poor_guess(scene: Scene, true: Float32) -> None:
    found = find_pose(scene, scene.truth(true)[0], pose()[0])
    assert angle_between(found, true[0]) < 1.5
    assert metres_between(found, true[0]) < 0.25


def test_the_true_pose_mismatches_least(scene: Scene) -> None:
    poses = np.concatenate([pose(yaw=-24), pose(), pose(yaw=24)])
    errors = mismatch(scene.truth(pose(yaw=24))[0], look(scene, poses, 2))
    assert int(errors.argmin()) == 2
    assert mismatch(scene.truth(pose())[0], look(scene, pose(yaw=180), 2)).tolist() == [np.inf]


def test_angles_and_distances_between_poses() -> None:
    assert angle_between(pose()[0], pose(yaw=30)[0]) == pytest.approx(30, abs=1e-3)
    assert angle_between(pose(yaw=170)[0], pose(yaw=-170)[0]) == pytest.approx(20, abs=1e-3)
    assert angle_between(pose(pitch=-12)[0], pose(pitch=12, x=50)[0]) == pytest.approx(24, abs=1e-3)
    assert metres_between(pose()[0], pose(x=30, y=40)[0]) == pytest.approx(0.5)
