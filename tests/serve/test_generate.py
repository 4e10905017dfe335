"""`worldloom generate` with the mock model, whose frames tell what made them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from worldloom.cluster.mock_frames import MockFrame, read_frame
from worldloom.errors import NotAnImage, PresetUnknown
from worldloom.serve.actions import concatenate, still
from worldloom.serve.commands.generate import chunks_of, generate
from worldloom.serve.scripts import load_script, parse_script


def run(*options: object) -> Result:
    return CliRunner().invoke(generate, [*map(str, options)], standalone_mode=False)


def frames_in(clip: Path) -> list[MockFrame]:
    with av.open(str(clip)) as container:
        pictures = [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    return [read_frame(np.asarray(picture.resize((224, 128), Image.Resampling.BOX))) for picture in pictures]


def test_a_clip_shows_the_actions_frame_by_frame(tmp_path: Path) -> None:
    script, clip = tmp_path / "there.script", tmp_path / "clip.mp4"
    script.write_text("forward 30; left + camera_right 20; still 13; back 36")
    result = run("--preset", "mock", "--actions", script, "--out", clip)
    assert result.exception is None, result.output
    assert "99 frames" in result.output
    assert str(clip) in result.output
    seen = frames_in(clip)
    actions = parse_script(script.read_text())
    assert [frame.keys for frame in seen] == [tuple(row[:4].astype(bool)) for row in actions.keyboard]
    assert [frame.chunk for frame in seen] == [0] * 57 + [1] * 40 + [2] * 2


def test_chunks_cut_a_script_or_go_on_after_its_end(tmp_path: Path) -> None:
    clip = tmp_path / "cut.mp4"
    run("--preset", "mock", "--actions", "random:3", "--chunks", 1, "--out", clip)
    expected = load_script("random:3", frames=57)
    assert [frame.keys for frame in frames_in(clip)] == [tuple(row[:4].astype(bool)) for row in expected.keyboard]
    short, clip = tmp_path / "short.script", tmp_path / "short.mp4"
    short.write_text("forward 5")
    run("--preset", "mock", "--actions", short, "--chunks", 1, "--out", clip)
    padded = concatenate([parse_script("forward 5"), still(52)])
    assert [frame.keys[0] for frame in frames_in(clip)] == [bool(row[0]) for row in padded.keyboard]


def test_a_contact_sheet_and_ones_own_image_can_be_asked_for(tmp_path: Path) -> None:
    image, sheet = tmp_path / "start.png", tmp_path / "sheet.png"
    Image.new("RGB", (50, 70), (200, 40, 40)).save(image)
    result = run(
        "--preset", "mock", "--image", image, "--prompt", "a red wall", "--chunks", 1,
        "--out", tmp_path / "clip.mp4", "--sheet", sheet,
    )  # fmt: skip
    assert result.exception is None, result.output
    assert Image.open(sheet).width > 500


def test_the_whole_model_runs_and_says_that_it_is_untrained(tmp_path: Path) -> None:
    result = run("--preset", "tiny", "--chunks", 1, "--out", tmp_path / "clip.mp4", "--device", "cpu")
    assert result.exception is None, result.output
    assert "UNTRAINED" in result.output


@pytest.mark.parametrize(("frames", "chunks"), [(1, 1), (57, 1), (58, 2), (97, 2), (98, 3)])
def test_chunks_hold_all_frames(frames: int, chunks: int) -> None:
    assert chunks_of(frames) == chunks


def test_wrong_use_is_explained(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    text = tmp_path / "no.png"
    text.write_text("no image")
    assert isinstance(run("--preset", "mock", "--image", text, "--out", clip).exception, NotAnImage)
    assert isinstance(run("--preset", "atlantis", "--out", clip).exception, PresetUnknown)
    assert "exclude" in str(run("--image", text, "--sample", "garden", "--out", clip).exception)
    assert not clip.exists()
