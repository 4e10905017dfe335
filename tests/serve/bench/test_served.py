"""`worldloom bench serve`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from worldloom.errors import PresetUnknown, ServiceError
from worldloom.serve.bench.records import ServedRecord, read_record
from worldloom.serve.bench.served import late_frames
from worldloom.serve.commands.bench import bench
from worldloom.serve.service import ServiceHandle


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


def test_a_running_service_is_measured_by_its_own_client(mock_service: ServiceHandle, tmp_path: Path) -> None:
    file = tmp_path / "served.json"
    options = ["serve", "--url", mock_service.url, "--preset", "mock", "--seconds", "2", "--sessions", "2"]
    result = CliRunner().invoke(bench, [*options, "--json", str(file)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "action to frame" in result.output and "late frames" in result.output
    record = read_record(file)
    assert isinstance(record, ServedRecord)
    assert (record.preset, record.sessions, record.gpus, record.codec) == ("mock", 2, 0, "jpeg")
    assert record.fps_total >= 2 * record.fps > 0 and record.frames > 2 * 97
    assert 0 < record.action_to_frame_p50_s <= record.action_to_frame_p95_s


def test_a_service_of_another_preset_and_an_absent_one_are_errors(mock_service: ServiceHandle) -> None:
    options = ["serve", "--seconds", "1"]
    other = CliRunner().invoke(bench, [*options, "--url", mock_service.url, "--preset", "pocket"])
    assert isinstance(other.exception, PresetUnknown)
    absent = CliRunner().invoke(bench, [*options, "--url", "http://127.0.0.1:9", "--preset", "mock"])
    assert isinstance(absent.exception, ServiceError)
