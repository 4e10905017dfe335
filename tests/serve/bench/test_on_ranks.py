"""The benchmark on several ranks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from worldloom.errors import ConfigError
from worldloom.model.preset import load_preset
from worldloom.parallel.planner import Placement
from worldloom.parallel.ranks import Ranks
from worldloom.serve.bench.figures import ChunkTimes
from worldloom.serve.bench.on_ranks import RanksRunner, launched_ranks, merge_times
from worldloom.serve.bench.records import EngineRecord, read_record
from worldloom.serve.bench.run import BenchConfig
from worldloom.serve.bench.table import format_table, scaling_efficiency

from .samples import engine_record

MIXTURE = """
extends = "tiny"
name = "tiny-mixture"

[mixture]
boundary = 0.9
viewpoints = ["first_person"]
"""


def test_a_mixture_is_measured_on_two_processes_with_an_expert_each(tmp_path: Path) -> None:
    preset, file = tmp_path / "mixture.toml", tmp_path / "record.json"
    preset.write_text(MIXTURE)
    options = ["--preset", str(preset), "--device", "cpu", "--chunks", "2", "--json", str(file)]
    options += ["--sessions", "2", "--sessions", "1"]
    command = [sys.executable, "-m", "worldloom.serve.bench", *options, "--gpus", "2", "--placement", "pipelined"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    alone, record = (read_record(tmp_path / f"record_s{sessions}.json") for sessions in (1, 2))
    assert isinstance(record, EngineRecord) and isinstance(alone, EngineRecord)
    assert (alone.placement, alone.sessions) == ("pipelined", 1)
    assert (record.placement, record.sessions, record.gpus) == ("pipelined", 2, 0)
    assert record.exposed_step_s is not None and record.rank_memory_gb == ()
    # What either of them does is there.
    assert record.stages.keys() >= {"prepare", "steps", "decode"}
    # Only one of the ranks tells, once for each run.
    assert done.stdout.count("frames a second") == 2


def times(session: int, chunk: int, last_frame_s: float, **stages: float) -> ChunkTimes:
    return ChunkTimes(
        session=session,
        chunk=chunk,
        planned_s=last_frame_s - 1,
        first_frame_s=last_frame_s - 0.1,
        last_frame_s=last_frame_s,
        stages=stages,
    )


def test_a_chunk_is_what_its_ranks_have_seen_of_it() -> None:
    front = [times(0, 0, 5.0, prepare=0.2, step0=0.3), times(1, 0, 6.0, prepare=0.2)]
    back = [times(0, 0, 5.5, prepare=0.1, step1=0.4, decode=0.2), times(1, 0, 5.2)]
    merged = merge_times([(front, {(1, 0)}), (back, {(0, 0)})])
    assert [(one.session, one.last_frame_s) for one in merged] == [(0, 5.5), (1, 6.0)]
    assert merged[0].stages == {"prepare": 0.2, "step0": 0.3, "step1": 0.4, "decode": 0.2}
    assert merged[0].planned_s == 4.0


def test_the_table_says_how_well_gpus_scale() -> None:
    alone, slower = engine_record(fps=40, fps_total=40), engine_record(fps=30, fps_total=30)
    four = engine_record(
        gpus=4, placement="replicated", fps=120, fps_total=120, exposed_step_s=0.004, rank_memory_gb=(21.0, 20.5)
    )
    assert scaling_efficiency(four, [alone, slower, four]) == 0.75
    assert scaling_efficiency(four, [engine_record(precision="bf16"), four]) is None
    table = format_table({"four": four, "alone": alone})
    assert "| 75 % | 4.0 | 21.0 / 20.5 |" in table
    assert "Several GPUs" not in format_table({"alone": alone})


def test_as_many_ranks_as_gpus_are_asked_for() -> None:
    config = BenchConfig(preset=load_preset("tiny"), chunks=2, device="cpu", gpus=3)
    with pytest.raises(ConfigError, match="3 GPUs are asked for, torchrun has started 1"), launched_ranks(config):
        pass


def test_gpus_that_work_each_for_itself_need_a_session_each() -> None:
    ranks = Ranks(rank=0, size=4, device=Ranks.alone("cpu").device)
    with pytest.raises(ConfigError, match="2 sessions on 4 GPUs"):
        RanksRunner(load_preset("tiny"), ranks, Placement.SINGLE, sessions=2)
