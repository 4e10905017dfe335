"""`worldloom bench serve`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from worldloom.errors import PresetUnknown, ServiceError
from worldloom.serve.bench import players
from worldloom.serve.bench.players import SETTLED_CHUNKS, ActionTimes
from worldloom.serve.bench.records import ServedRecord, read_record
from worldloom.serve.bench.served import late_frames
from worldloom.serve.commands.bench import bench
from worldloom.serve.service import ServiceHandle
from worldloom_client.playout import PlayOut

set_rate = PlayOut.set_rate


def test_frames_that_come_in_time_are_not_late_and_a_gap_delays_all_after_it() -> None:
    burst = [0.0] * 40
    assert late_frames(burst, 40) == 0
    assert late_frames([*burst, *[0.9] * 40], 40) == 0
    # The next chunk comes 0.5 s after the last frame was shown: its first frame is late, the rest wait for it.
    assert late_frames([*burst, *[1.5] * 40, *[2.4] * 40], 40) == 1
    assert late_frames([], 40) == 0


@given(st.lists(st.floats(0.03, 1), min_size=1, max_size=50), st.floats(1, 30))
def test_every_frame_is_late_that_comes_slower_than_it_is_played(gaps: list[float], rate: float) -> None:
    arrivals = np.cumsum([0.0, *(gap + 1 / rate for gap in gaps)]).tolist()
    assert late_frames(arrivals, rate) == len(gaps)
    assert late_frames(arrivals, 1e-6) == 0


def test_every_action_of_the_time_is_counted_until_its_frame_is_shown() -> None:
    times = ActionTimes(2.0)
    times.sent(1, 9.0)
    times.shown(100, SETTLED_CHUNKS - 1, {1: 90}, 9.5)
    assert times.taken_s == [] and not times.is_over
    times.shown(137, SETTLED_CHUNKS, {}, 10.0)
    times.sent(2, 10.5)
    times.sent(3, 11.9)
    times.sent(4, 12.0)
    times.shown(176, SETTLED_CHUNKS, {2: 177}, 11.95)
    assert times.taken_s == []
    times.shown(177, SETTLED_CHUNKS + 1, {2: 177, 3: 217}, 12.5)
    assert times.taken_s == [2.0] and not times.is_over
    times.shown(217, SETTLED_CHUNKS + 2, {3: 217, 4: 217}, 15.0)
    assert times.taken_s == [2.0, pytest.approx(3.1)] and times.is_over


def test_a_running_service_is_measured_by_its_own_client(
    mock_service: ServiceHandle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(players, "SETTLED_CHUNKS", 0)
    # Players in a hurry: at the preset's rate the first clip alone takes four seconds.
    monkeypatch.setattr(PlayOut, "set_rate", lambda self, rate: set_rate(self, 10 * rate))
    file = tmp_path / "served.json"
    options = [
        "serve",
        "--url",
        mock_service.url,
        "--preset",
        "mock",
        "--seconds",
        "2",
        "--starts",
        "1",
        "--sessions",
        "2",
    ]
    result = CliRunner().invoke(bench, [*options, "--json", str(file)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "action to frame" in result.output and "late frames" in result.output
    record = read_record(file)
    assert isinstance(record, ServedRecord)
    assert (record.preset, record.sessions, record.gpus, record.codec) == ("mock", 2, 0, "jpeg")
    assert record.fps_total >= 2 * record.fps > 0 and record.frames > 2 * 97
    assert 0 < record.action_to_frame_p50_s <= record.action_to_frame_p95_s
    assert 0 < record.create_to_frame_image_p50_s <= record.create_to_clip_p50_s


def test_a_service_of_another_preset_and_an_absent_one_are_errors(mock_service: ServiceHandle) -> None:
    options = ["serve", "--seconds", "1"]
    other = CliRunner().invoke(bench, [*options, "--url", mock_service.url, "--preset", "pocket"])
    assert isinstance(other.exception, PresetUnknown)
    absent = CliRunner().invoke(bench, [*options, "--url", "http://127.0.0.1:9", "--preset", "mock"])
    assert isinstance(absent.exception, ServiceError)
