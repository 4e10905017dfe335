"""Benchmark records: their form, those that are stored, and the table of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError
from worldloom.errors import ConfigError
from worldloom.model.clip import NEW_FRAMES
from worldloom.serve.bench.many_gpus import BEGIN, END, many_gpus_table, write_many_gpus
from worldloom.serve.bench.records import EngineRecord, Record, ServedRecord, read_record, read_records, write_record
from worldloom.serve.bench.table import format_table
from worldloom.serve.commands.bench import bench

from .samples import ENGINE, SERVED, engine_record, gateway_record, served_record

BENCH_DIR = Path(__file__).parents[3] / "ops" / "bench"
FIELDS = (
    "preset, gpus, sessions, height, width, steps, precision, decoder, placement, fps, fps_total, stages, "
    "first_frame_s, peak_memory_gb, rank_memory_gb, decoder_ranks, exposed_step_s, device, versions, commit, source"
)


def test_an_engine_record_has_exactly_the_agreed_fields() -> None:
    assert set(EngineRecord.model_fields) == set(FIELDS.split(", "))


def test_a_file_comes_back_as_the_kind_of_record_that_it_is(tmp_path: Path) -> None:
    for record in (engine_record(), engine_record(peak_memory_gb=None), served_record(), gateway_record()):
        path = tmp_path / "new" / "record.json"
        write_record(record, path)
        assert read_record(path) == record and type(read_record(path)) is type(record)


@pytest.mark.parametrize(
    "changes",
    [
        {"source": "guessed"},
        {"fps": 0},
        {"fps": float("nan")},
        {"sessions": 4},
        {"precision": "fp4"},
        {"decoder": "p90"},
        {"stages": {"plan": -1}},
        {"peak_memory_gb": 0},
        {"chunks": 60},
    ],
)
def test_what_cannot_be_is_no_record(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        engine_record(**changes)


@pytest.mark.parametrize("fields", [ENGINE, SERVED])
def test_a_record_misses_no_field(fields: dict[str, Any], tmp_path: Path) -> None:
    kind = EngineRecord if fields is ENGINE else ServedRecord
    for name in fields:
        with pytest.raises(ValidationError):
            kind.model_validate({key: value for key, value in fields.items() if key != name})
    (tmp_path / "other.json").write_text('{"machine": "some"}')
    with pytest.raises(ConfigError, match=r"other\.json"):
        read_records(tmp_path)


def test_the_stored_table_is_that_of_the_stored_records() -> None:
    assert (BENCH_DIR / "table.md").read_text(encoding="utf-8") == format_table(read_records(BENCH_DIR / "results"))


def test_the_readme_has_the_table_of_many_gpus(tmp_path: Path) -> None:
    written = tmp_path / "README.md"
    stored = (BENCH_DIR.parents[1] / "README.md").read_text(encoding="utf-8")
    written.write_text(stored, encoding="utf-8")
    write_many_gpus(written, read_records(BENCH_DIR / "results"))
    assert written.read_text(encoding="utf-8") == stored
    written.write_text("no place", encoding="utf-8")
    with pytest.raises(ConfigError, match="no place for the table"):
        write_many_gpus(written, {})


def test_what_is_only_computed_is_not_among_what_was_measured() -> None:
    fleet = engine_record(gpus=64, sessions=60, fps=40, fps_total=2400, source="simulated")
    records: dict[str, Record] = {
        "fleet": fleet,
        "slower": engine_record(fps=40, fps_total=40),
        "one": engine_record(),
        "two": engine_record(gpus=2, placement="replicated", fps=70, fps_total=70),
    }
    one, two, last = many_gpus_table(records).splitlines()[2:]
    assert "| 1 | single | 1 | **41.5** | 42 |" in one and "measured, NVIDIA H200" in one
    assert "| 2 | replicated | 1 | **70.0** |" in two
    assert "(40.0) | (2400)" in last and "**simulated**, not measured" in last
    measured, _, simulated = format_table(records).partition("## Simulated")
    assert "fleet.json" in simulated and "fleet.json" not in measured and "one.json" not in simulated


def test_stored_runs_of_the_mock_show_actions_as_soon_as_is_promised() -> None:
    stored = read_records(BENCH_DIR / "results").values()
    mocks = [record for record in stored if isinstance(record, ServedRecord) and record.preset.startswith("mock")]
    assert len(mocks) >= 2
    for record in mocks:
        play_s = NEW_FRAMES / record.frame_rate
        assert record.action_to_frame_p50_s <= record.steps_s + play_s / 2 + 0.1
        assert record.action_to_frame_p95_s <= record.steps_s + play_s + 0.1


def test_a_table_shows_each_record_once_the_fastest_first(tmp_path: Path) -> None:
    records: dict[str, Record] = {
        "slow": engine_record(fps=20, fps_total=20),
        "fast": engine_record(),
        "live": served_record(),
        "door": gateway_record(),
    }
    for name, record in records.items():
        write_record(record, tmp_path / f"{name}.json")
    out, readme = tmp_path / "table.md", tmp_path / "README.md"
    readme.write_text(f"{BEGIN}{END}", encoding="utf-8")
    options = ["table", "--results", str(tmp_path), "--out", str(out), "--readme", str(readme)]
    done = CliRunner().invoke(bench, options, catch_exceptions=False)
    assert done.exit_code == 0 and "4 records" in done.output
    rows = [line for line in out.read_text(encoding="utf-8").splitlines() if "abc1234" in line]
    names = ["fast", "slow", "live", "door", "door"]
    assert [line.rpartition("(results/")[2] for line in rows] == [f"{name}.json) |" for name in names]
    assert "| **41.5** |" in rows[0] and "| 970.0 |" in rows[0] and "3 of 2490" in rows[2]
    assert "| **32** | 10.0 / 30.0 / 50.0 | 0.00 % |" in rows[3]
