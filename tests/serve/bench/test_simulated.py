"""Fleets from measured records."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from worldloom.errors import ConfigError
from worldloom.model.precision import Precision
from worldloom.model.preset import load_preset
from worldloom.serve.bench.records import EngineRecord, Record, read_record, write_record
from worldloom.serve.bench.simulated import compare, known_times, measured_runs, simulate
from worldloom.serve.commands.bench import bench

from .samples import engine_record, served_record

PRESET = load_preset("mg3-5b").with_random_weights().with_precision(Precision.FP8)
H200_BYTES = 150_000_000_000
CHUNK_S = 0.05 + 3 * 0.25 + 0.1
ONE = engine_record(
    fps=40 / CHUNK_S,
    fps_total=40 / CHUNK_S,
    stages={"prepare": 0.05, "steps": 0.75, "decode": 0.1, "chunk": CHUNK_S, "chunk_p95": CHUNK_S},
)


def test_what_was_measured_is_expected() -> None:
    four = engine_record(gpus=4, sessions=4, fps=40 / CHUNK_S, fps_total=160 / CHUNK_S, stages=ONE.stages)
    for row in compare(PRESET, {"one": ONE, "four": four}):
        assert row.expected == pytest.approx(row.measured)


def test_fleets_grow_with_their_gpus_and_play_at_full_rate() -> None:
    records = [simulate(PRESET, gpus, H200_BYTES, {"one": ONE}) for gpus in (8, 64, 1000)]
    for record in records:
        assert record.source == "simulated" and record.fps >= 0.99 * PRESET.video.frame_rate
        assert record.fps_total == pytest.approx(record.fps * record.sessions, rel=1e-3)
    eight, sixty_four, thousand = (record.sessions for record in records)
    assert sixty_four == 8 * eight and thousand == pytest.approx(125 * eight, rel=0.02)


def test_only_runs_of_the_same_model_on_gpus_count() -> None:
    others: dict[str, Record] = {
        "bf16": engine_record(precision="bf16"),
        "cpu": engine_record(gpus=0),
        "guess": engine_record(source="simulated"),
        "served": served_record(),
    }
    assert measured_runs(PRESET, {"one": ONE, **others}) == {"one": ONE}
    with pytest.raises(ConfigError, match="no run of preset 'mg3-5b' in fp8"):
        simulate(PRESET, 8, H200_BYTES, measured_runs(PRESET, others))


def test_what_is_known_is_of_the_same_gpus_and_decoder(tmp_path: Path) -> None:
    assert known_times(PRESET, ONE.device, results=tmp_path / "none") is None
    write_record(ONE, tmp_path / "one.json")
    full = {**ONE.stages, "decode": 1.1}
    write_record(engine_record(stages=full, decoder="full", fps=80, fps_total=80), tmp_path / "quick.json")
    bands = engine_record(stages={**full, "decode": 0.02}, gpus=4, placement="replicated", decoder_ranks=4)
    write_record(bands, tmp_path / "bands.json")
    found = known_times(PRESET, ONE.device, results=tmp_path)
    assert found is not None and found.runs == ("quick", "bands")
    assert found.groups[1].step_s == pytest.approx((0.5 - 0.05 - 0.1) / 3) and found.decode_s == 0.1
    assert known_times(PRESET, "another GPU", results=tmp_path) is None


def test_the_command_adds_records(tmp_path: Path) -> None:
    write_record(ONE, tmp_path / "one.json")
    options = ["simulate", "--preset", "mg3-5b", "--random-weights", "--precision", "fp8", "--gpus", "64", "--write"]
    result = CliRunner().invoke(bench, [*options, "--results", str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 0 and "one" in result.output and "64 GPUs" in result.output
    written = read_record(tmp_path / "mg3-5b_fp8_simulated_64.json")
    assert isinstance(written, EngineRecord) and written.gpus == 64
