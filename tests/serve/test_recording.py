"""`worldloom play` against a service that speaks the protocol, and what it measures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from worldloom.errors import NotAnImage, ScriptError
from worldloom.serve.commands.play import play
from worldloom.serve.recording import Measurements, describe_weights, format_measurements
from worldloom_client import Held, Pose, WorldFrame, WorldInfo

from .fake_service import FakeService

INFO = WorldInfo(
    session_id="s",
    is_player=True,
    preset="fake",
    trained=True,
    width=4,
    height=4,
    frame_rate=16,
    first_chunk_frames=57,
    frames_per_chunk=40,
)


@pytest.fixture
def service() -> Iterator[FakeService]:
    with FakeService().running() as running:
        yield running


def frame_count(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_play_records_every_frame_of_the_script(service: FakeService, tmp_path: Path) -> None:
    script = tmp_path / "my.script"
    script.write_text("forward 40; right + camera_right 20; reverse")
    out = tmp_path / "clip.mp4"
    result = CliRunner().invoke(play, [service.url, "--script", str(script), "--out", str(out), "--seed", "5"])
    assert result.exit_code == 0, result.output
    assert frame_count(out) == 120
    assert "120 frames in 3 chunks" in result.output and "UNTRAINED" in result.output
    assert service.sessions["s0"].start == {"seed": 5}
    assert [len(event.script.frames) for event in service.scripts] == [120]


def test_play_fills_the_chunks_that_are_asked_for(service: FakeService, tmp_path: Path) -> None:
    out = tmp_path / "clip.mp4"
    options = [service.url, "--script", "random:3", "--chunks", "2", "--out", str(out)]
    result = CliRunner().invoke(play, options)
    assert result.exit_code == 0, result.output
    assert frame_count(out) == 97


def test_play_sends_an_image(service: FakeService, tmp_path: Path) -> None:
    image = tmp_path / "start.png"
    Image.fromarray(np.full((20, 30, 3), 200, np.uint8)).save(image)
    options = [service.url, "--image", str(image), "--chunks", "1", "--out", str(tmp_path / "clip.mp4")]
    assert CliRunner().invoke(play, options).exit_code == 0


def test_play_refuses_sample_and_image_together(tmp_path: Path) -> None:
    (tmp_path / "start.png").write_bytes(b"")
    result = CliRunner().invoke(play, ["url", "--image", str(tmp_path / "start.png"), "--sample", "garden"])
    assert result.exit_code == 2 and "exclude" in result.output


def test_play_finds_a_broken_script_before_it_opens_a_session(service: FakeService, tmp_path: Path) -> None:
    (tmp_path / "my.script").write_text("jump")
    result = CliRunner().invoke(play, [service.url, "--script", str(tmp_path / "my.script")])
    assert isinstance(result.exception, ScriptError) and not service.sessions


def test_play_keeps_what_came_before_the_session_was_lost(service: FakeService, tmp_path: Path) -> None:
    service.faults.fail_after = (70, NotAnImage("the world is gone"))
    out = tmp_path / "clip.mp4"
    result = CliRunner().invoke(play, [service.url, "--out", str(out)])
    assert isinstance(result.exception, NotAnImage)
    assert 60 < frame_count(out) <= 71


def frame(frame_id: int, chunk: int, received_s: float, stages_ms: dict[str, float] | None = None) -> WorldFrame:
    return WorldFrame(
        frame_id=frame_id,
        branch=0,
        chunk=chunk,
        image=np.zeros((4, 4, 3), np.uint8),
        codec="jpeg",
        held=Held(),
        pose=Pose(),
        received_s=received_s,
        latency_s=0.5 if frame_id == 0 else None,
        stages_ms=stages_ms or {},
    )


def test_pace_counts_whole_chunks_and_stages_add_up_over_pieces() -> None:
    seen = Measurements(started_s=100.0, info=INFO)
    for frame_id, chunk, at in [(0, 0, 102), (40, 0, 103), (57, 1, 104), (97, 2, 106), (137, 3, 108), (140, 3, 108.1)]:
        seen.add(frame(frame_id, chunk, at, {"plan": 1.0, "decode": 10.0, "encode": 2.0}))
    assert seen.first_frame_s == 2
    assert seen.frames_per_s == pytest.approx(20)
    assert seen.chunk_times_s == [2, 2, 2]
    assert seen.latencies_s == [0.5]
    assert seen.chunk_stages_ms[0] == {"plan": 1.0, "decode": 20.0, "encode": 4.0}
    report = format_measurements(seen)
    assert "20.0" in report and "decode" in report


def test_one_chunk_is_paced_from_the_start() -> None:
    seen = Measurements(started_s=100.0, info=INFO)
    seen.add(frame(0, 0, 101.0))
    seen.add(frame(1, 0, 102.0))
    assert seen.frames_per_s == pytest.approx(1)
    assert "no stage times" in format_measurements(seen)


def test_trained_weights_are_told_from_untrained_ones() -> None:
    assert "UNTRAINED" not in describe_weights(INFO)
