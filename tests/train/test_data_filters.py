"""Filters, reports and the `worldloom data` commands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from worldloom.model.poses import extrinsics_of, integrate_poses, intrinsics_of
from worldloom.train.commands.data import data
from worldloom.train.data.filters import FilterConfig, first_fault
from worldloom.train.data.report import Report
from worldloom.train.data.sample import Sample
from worldloom.train.data.sheet import contact_sheet

LIMITS = FilterConfig()


@pytest.fixture
def good() -> Sample:
    """Twelve frames of a picture that shifts as the camera turns."""
    keyboard, mouse = np.zeros((12, 6), np.float32), np.full((12, 2), (0.0, 0.1), np.float32)
    keyboard[:, 0] = 1
    poses = integrate_poses(keyboard, mouse)
    columns, rows, time = np.arange(40)[None, None], np.arange(24)[None, :, None], np.arange(12)[:, None, None]
    waves = 127 + 100 * np.sin(columns / 5 + rows / 6 + time / 40)
    return Sample(
        key="good",
        frames=np.repeat(waves[..., None], 3, -1).astype(np.uint8),
        poses=poses,
        extrinsics=extrinsics_of(poses).astype(np.float32),
        intrinsics=intrinsics_of(24, 40).astype(np.float32),
        keyboard=keyboard,
        mouse=mouse,
        prompts=("a garden",),
        frames_per_second=40.0,
        source="rendered",
    )


def fault_of(sample: Sample) -> str | None:
    found = first_fault(sample, LIMITS)
    return found[0] if found else None


def test_a_good_sample_passes(good: Sample) -> None:
    assert fault_of(good) is None


def test_each_fault_is_found_by_its_filter(good: Sample) -> None:
    cut = good.frames.copy()
    cut[6:] = 255 - cut[6:]
    infinite = good.poses.copy()
    infinite[3, 0] = np.inf
    mirrored = good.extrinsics.copy()
    mirrored[:, :3, 0] *= -1
    skewed = good.extrinsics.copy()
    skewed[2, :3, 0] *= 1.2
    jumped = good.extrinsics.copy()
    jumped[5:, 0, 3] += 2.0
    spun = good.poses.copy()
    spun[7:, 4] += 90
    assert fault_of(replace(good, frames=np.full_like(good.frames, 4))) == "dark"
    assert fault_of(replace(good, frames=good.frames[:1].repeat(12, 0))) == "static"
    assert fault_of(replace(good, frames=cut)) == "jumpy"
    assert fault_of(replace(good, poses=infinite)) == "broken_pose"
    for extrinsics in (mirrored, skewed, jumped):
        assert fault_of(replace(good, extrinsics=extrinsics)) == "broken_pose"
    assert fault_of(replace(good, poses=spun)) == "broken_pose"


def test_standing_still_on_purpose_and_dark_rooms_with_lamps_pass(good: Sample) -> None:
    still = np.zeros((12, 6), np.float32), np.zeros((12, 2), np.float32)
    poses = integrate_poses(*still)
    resting = replace(
        good,
        frames=good.frames[:1].repeat(12, 0),
        keyboard=still[0],
        mouse=still[1],
        poses=poses,
        extrinsics=extrinsics_of(poses).astype(np.float32),
    )
    assert fault_of(resting) is None
    lamp = good.frames // 24
    lamp[:, 2:6, 3:12] = good.frames[:, 2:6, 3:12]
    assert fault_of(replace(good, frames=lamp)) is None


def test_the_report_names_everything_and_counts_what_is_kept(good: Sample, tmp_path: Path) -> None:
    report = Report()
    report.bad_file("shard-000000.tar/x", "no video")
    dark = replace(good, key="dim", frames=np.full_like(good.frames, 3))
    assert [sample.key for sample in report.passing([good, dark, good])] == ["good", "good"]
    report.write(tmp_path / "r.json")
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["unreadable"] == [{"file": "shard-000000.tar/x", "reason": "no video"}]
    assert found["dropped"][0]["sample"] == "dim"
    assert found["statistics"]["frames"] == 24
    assert found["statistics"]["share_of_keys"]["W"] == 1.0
    assert found["statistics"]["metres_walked"] == pytest.approx(2 * 11 * 0.1235, abs=0.01)
    assert any("dim" in line for line in report.lines())


def test_a_contact_sheet_has_a_row_a_sample_and_captions(good: Sample) -> None:
    sheet = contact_sheet([good, good], columns=4)
    assert sheet.shape == (2 * (24 + 14), 4 * 40, 3)
    np.testing.assert_array_equal(sheet[:24, :40], good.frames[0])
    assert sheet[24:38].max() > 150


SMALL = ["--worlds", "2", "--frames", "4", "--size", "16x24", "--shard-size", "1"]


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(data, list(arguments))
    return result.exit_code, result.output


def test_render_check_and_preview_work_and_render_resumes(tmp_path: Path) -> None:
    folder, sheet = tmp_path / "set", tmp_path / "sheet.png"
    code, text = run("render", "--out", str(folder), *SMALL)
    assert code == 0, text
    first = (folder / "shard-000000.tar").read_bytes()
    (folder / "shard-000001.tar").unlink()
    before = (folder / "shard-000000.tar").stat().st_mtime_ns
    assert run("render", "--out", str(folder), *SMALL)[0] == 0
    assert (folder / "shard-000001.tar").exists()
    assert (folder / "shard-000000.tar").stat().st_mtime_ns == before
    assert (folder / "shard-000000.tar").read_bytes() == first
    code, text = run("check", str(folder))
    assert code == 0, text
    assert "2 samples kept" in text
    code, text = run("preview", str(folder), "--out", str(sheet), "--columns", "3")
    assert code == 0, text
    assert sheet.stat().st_size > 100


def test_check_names_a_bad_shard_and_ends_with_1(tmp_path: Path) -> None:
    assert run("render", "--out", str(tmp_path), *SMALL)[0] == 0
    (tmp_path / "shard-000001.tar").write_bytes(b"garbage" * 300)
    code, text = run("check", str(tmp_path))
    assert code == 1
    assert "skipped shard-000001.tar" in text
    assert "1 samples kept" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["render", "--out", "x", "--size", "big"], "HEIGHTxWIDTH"),
        (["render", "--out", "x", "--size", "15x24"], "even"),
        (["import", "doom", "--out", "x", "--maps", "0-90"], "maps"),
        (["import", "recorded", "--out", "x"], "FOLDER"),
    ],
)
def test_wrong_use_is_explained(arguments: list[str], message: str) -> None:
    code, text = run(*arguments)
    assert code == 2
    assert message in text
