"""Sources other than the renderer: actions from motion, recorded cameras, captures and their drift, Doom."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worldloom.errors import ConfigError
from worldloom.model.poses import STEP, extrinsics_of, integrate_poses
from worldloom.train.data.captures import read_captures
from worldloom.train.data.doom import DoomConfig, play_doom, to_model_poses
from worldloom.train.data.drift import measure_drift, picture_motion, pose_motion
from worldloom.train.data.infer import infer_actions, poses_of, walking_scale
from worldloom.train.data.recorded import TO_MODEL_AXES, WindowConfig, read_recordings
from worldloom.train.data.video import encode_mp4

WINDOW = WindowConfig(frames=20, height=16, width=24)


def random_walk(seed: int, frames: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Keys held for some frames and gentle turns, far from the ±180° seam."""
    rng = np.random.default_rng(seed)
    keyboard, mouse = np.zeros((frames, 6), np.float32), np.zeros((frames, 2), np.float32)
    for start in range(0, frames, 8):
        keyboard[start : start + 8, :4] = rng.random(4) < 0.35
        mouse[start : start + 8, 1] = rng.choice([0, 0.1, -0.1, 0.25])
    keyboard[-1] = mouse[-1] = 0
    return keyboard, mouse


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_inferred_actions_walk_the_path_of_the_true_ones(seed: int) -> None:
    keyboard, mouse = random_walk(seed, 60)
    found = infer_actions(integrate_poses(keyboard, mouse))
    assert found.position_error < 0.05
    assert found.angle_error_deg < 0.31
    np.testing.assert_allclose(found.poses, integrate_poses(found.keyboard, found.mouse))


def test_slow_walks_become_taps_that_keep_up() -> None:
    poses = np.zeros((80, 5))
    poses[:, 0] = np.arange(80) * 0.4 * STEP
    found = infer_actions(poses)
    assert found.position_error < 1.0
    assert 0.25 < found.keyboard[:, 0].mean() < 0.55


def test_poses_come_back_from_camera_matrices() -> None:
    poses = integrate_poses(*random_walk(3, 40))
    np.testing.assert_allclose(poses_of(extrinsics_of(poses)), poses, atol=1e-3)


def test_walking_scale_makes_brisk_frames_one_step_and_leaves_a_standing_camera() -> None:
    positions = np.zeros((50, 3))
    positions[:, 0] = np.arange(50) * 0.02
    assert walking_scale(positions) * 0.02 == pytest.approx(STEP)
    assert walking_scale(np.zeros((5, 3))) == 1.0


def moving_picture(poses: npt.NDArray[np.float32], *, late: npt.NDArray[np.int64] | int = 0) -> npt.NDArray[np.uint8]:
    """Waves that shift as the camera turns and walks; `late` says by how many frames the picture lags."""
    index = np.clip(np.arange(len(poses)) - late, 0, len(poses) - 1)
    phase = poses[index, 4] / 20 + poses[index, 0] / 300 + poses[index, 1] / 400
    columns = np.arange(48)[None, None, :] / 5
    rows = np.arange(32)[None, :, None] / 6
    waves = 127 + 100 * np.sin(columns + rows + phase[:, None, None])
    return np.repeat(waves[..., None], 3, -1).astype(np.uint8)


def write_recording(folder: Path, name: str, poses: npt.NDArray[np.float32], scale: float) -> npt.NDArray[np.float64]:
    """A video and its usual right-down-forward cameras in another scale and place."""
    ours = extrinsics_of(poses)
    cameras = np.tile(np.eye(4), (len(poses), 1, 1))
    cameras[:, :3, :3] = TO_MODEL_AXES.T @ ours[:, :3, :3]
    cameras[:, :3, 3] = scale * ours[:, :3, 3] @ TO_MODEL_AXES + [3.0, -2.0, 7.0]
    (folder / f"{name}.mp4").write_bytes(encode_mp4(moving_picture(poses), 30))
    return cameras


def test_recordings_with_npz_or_text_become_windows_with_the_true_actions(tmp_path: Path) -> None:
    keyboard, mouse = random_walk(5, 45)
    keyboard[:, :4] = 0
    keyboard[:, 0] = 1
    poses = integrate_poses(keyboard, mouse)
    cameras = write_recording(tmp_path, "a", poses, scale=4.0)
    np.savez(tmp_path / "a.npz", extrinsics_c2w=cameras, intrinsics=np.diag([30.0, 30.0, 1.0]) + 0)
    cameras = write_recording(tmp_path, "b", poses, scale=0.3)
    rows = [[0, 0.5, 0.5, 0.5, 0.5, 0, 0, *np.linalg.inv(camera)[:3].ravel()] for camera in cameras]
    text = "https://example.org/b\n" + "\n".join(" ".join(f"{value:.9f}" for value in row) for row in rows)
    (tmp_path / "b.txt").write_text(text)
    (tmp_path / "b.json").write_text('{"prompts": ["a street"]}')
    bad: list[tuple[str, str]] = []
    samples = list(read_recordings(tmp_path, WINDOW, lambda *why: bad.append(why)))
    assert not bad
    assert [sample.key for sample in samples] == ["a-0000", "a-0001", "b-0000", "b-0001"]
    for sample in samples:
        start = 20 * int(sample.key[-1])
        assert sample.frames.shape == (20, 16, 24, 3)
        np.testing.assert_array_equal(sample.keyboard[:-1], keyboard[start : start + 19])
        np.testing.assert_allclose(sample.mouse[:-1], mouse[start : start + 19], atol=2e-3)
        assert np.linalg.det(sample.extrinsics[:, :3, :3]) == pytest.approx(-np.ones(20), abs=1e-4)
    assert samples[2].prompts == ("a street",)
    np.testing.assert_allclose(samples[2].intrinsics, [12, 8, 12, 8])


def test_recordings_that_cannot_be_used_are_named_with_the_reason(tmp_path: Path) -> None:
    poses = integrate_poses(*random_walk(6, 24))
    for name in ("alone", "damaged", "short"):
        cameras = write_recording(tmp_path, name, poses, scale=1.0)
    np.savez(tmp_path / "short.npz", extrinsics_c2w=cameras[:10], intrinsics=np.eye(3))
    (tmp_path / "damaged.npz").write_bytes(b"PK no zip")
    (tmp_path / "noise.mp4").write_bytes(b"\x00" * 100)
    (tmp_path / "noise.txt").write_text("x\n")
    bad: dict[str, str] = {}
    assert not list(read_recordings(tmp_path, WINDOW, bad.__setitem__))
    assert sorted(bad) == ["alone.mp4", "damaged.mp4", "noise.mp4", "short.mp4"]
    assert "neither" in bad["alone.mp4"]
    assert "24 frames but 10 cameras" in bad["short.mp4"]
    assert "video" in bad["noise.mp4"]


def varied_walk(frames: int) -> npt.NDArray[np.float32]:
    keyboard, mouse = random_walk(9, frames)
    rng = np.random.default_rng(1)
    mouse[:, 1] = np.repeat(rng.choice([0, 0.1, -0.1, 0.3, -0.3], frames // 5 + 1), 5)[:frames]
    return integrate_poses(keyboard, mouse)


@pytest.mark.parametrize("late", [-6, 0, 5])
def test_a_constant_offset_is_found(late: int) -> None:
    poses = varied_walk(240)
    report = measure_drift(picture_motion(moving_picture(poses, late=late)), pose_motion(poses))
    assert report.is_certain
    assert report.offset_frames == pytest.approx(late, abs=0.8)
    assert report.drift_frames == pytest.approx(0, abs=1.0)
    assert report.is_aligned(1.5) == (late == 0)


def test_a_growing_drift_is_found() -> None:
    poses = varied_walk(320)
    late = np.round(np.arange(320) * 0.03).astype(np.int64)
    report = measure_drift(picture_motion(moving_picture(poses, late=late)), pose_motion(poses))
    assert report.is_certain
    assert report.drift_frames == pytest.approx(9.6, abs=3)
    assert not report.is_aligned(1.5)


def test_a_camera_that_never_moves_is_not_judged() -> None:
    still = np.zeros((100, 5), np.float32)
    assert not measure_drift(picture_motion(moving_picture(still)), pose_motion(still)).is_certain


def write_capture(folder: Path, name: str, *, late: int = 0, gap: bool = False) -> None:
    keyboard, _ = random_walk(9, 120)
    poses = varied_walk(120)
    (folder / f"{name}.mp4").write_bytes(encode_mp4(moving_picture(poses, late=late), 30))
    with (folder / f"{name}.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["tick", "x", "y", "z", "pitch", "yaw", "w", "s", "a", "d"])
        for row, (x, y, z, pitch, yaw) in enumerate(poses.tolist()):
            tick = row * 2 + (4 if gap and row > 50 else 0)
            table.writerow([tick, x, y, z + 90, -pitch, yaw, *keyboard[row, :4]])


def test_captures_are_cut_into_windows_and_drifting_ones_named(tmp_path: Path) -> None:
    write_capture(tmp_path, "good")
    write_capture(tmp_path, "late", late=6)
    write_capture(tmp_path, "gap", gap=True)
    bad: dict[str, str] = {}
    samples = list(read_captures(tmp_path, WINDOW, bad.__setitem__))
    assert {sample.meta["file"] for sample in samples} == {"good.mp4"}
    assert len(samples) == 6
    assert "drifts" in bad["late.mp4"]
    assert "ticks go from 100 to 106" in bad["gap.mp4"]
    poses = varied_walk(120)
    second = samples[1]
    assert second.meta["first_tick"] == 40
    np.testing.assert_allclose(second.poses[0], 0, atol=1e-4)
    walked = np.linalg.norm(np.diff(second.poses[:, :2], axis=0), axis=1)
    np.testing.assert_allclose(walked, np.linalg.norm(np.diff(poses[20:40, :2], axis=0), axis=1), atol=1e-2)


def test_dooms_world_is_turned_into_the_models() -> None:
    # Walks north-west and turns left: in the model ahead and to the left, yaw falling.
    rows = np.asarray([[0, 0, 41, 90, 0], [-1, 1, 41, 100, 0.0]])
    poses = to_model_poses(rows)
    np.testing.assert_allclose(poses[0], 0, atol=1e-9)
    np.testing.assert_allclose(poses[1], [1, -1, 0, 0, -10], atol=1e-9)


def test_doom_gives_samples_when_installed(tmp_path: Path) -> None:
    pytest.importorskip("vizdoom")
    bad: dict[str, str] = {}
    samples = list(play_doom(DoomConfig(maps=(1,), samples_per_map=1, frames=20, height=24, width=32), bad.__setitem__))
    assert len(samples) + len(bad) == 1
    for sample in samples:
        assert sample.meta["position_error_steps"] < 3
        assert sample.frames.std() > 5


def test_doom_without_vizdoom_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "vizdoom", None)
    with pytest.raises(ConfigError, match="ViZDoom") as caught:
        list(play_doom(DoomConfig(maps=(1,)), lambda *_: None))
    assert "train" in caught.value.hint
