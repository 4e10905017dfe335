"""`worldloom bench` on small things: the mock, a tiny model, actors."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from worldloom.errors import ConfigError, DoesNotFit
from worldloom.model.preset import load_preset
from worldloom.serve.bench.figures import ChunkTimes
from worldloom.serve.bench.records import EngineRecord, read_record
from worldloom.serve.bench.report import format_run
from worldloom.serve.bench.run import BenchConfig, BenchRun, run_bench
from worldloom.serve.bench.setting import decoder_choice
from worldloom.serve.commands.bench import bench

STAGES = {"plan", "retrieve", "prepare", "steps", "commit", "decode", "chunk", "chunk_p95"}


def run(config: BenchConfig) -> tuple[BenchRun, list[ChunkTimes]]:
    seen: list[ChunkTimes] = []
    return run_bench(config, seen.append), seen


def check(made: BenchRun, seen: list[ChunkTimes], *, sessions: int, chunks: int) -> EngineRecord:
    """Every chunk once and in order; moments in the order in which things happen."""
    assert made.chunks == seen
    for session in range(sessions):
        mine = [times for times in seen if times.session == session]
        assert [times.chunk for times in mine] == list(range(chunks))
        assert all(times.planned_s < times.first_frame_s <= times.last_frame_s for times in mine)
        assert all(one.last_frame_s < other.last_frame_s for one, other in pairwise(mine))
    assert made.record.stages.keys() >= STAGES and made.record.stages["retrieve"] > 0
    assert made.record.sessions == sessions and made.record.source == "measured"
    assert "frames a second" in format_run(made) and f"{chunks} chunks" in format_run(made)
    return made.record


def test_a_tiny_model_is_measured_with_a_trace_of_what_comes_after(tmp_path: Path) -> None:
    trace = tmp_path / "traces" / "trace.json"
    config = BenchConfig(preset=load_preset("tiny"), chunks=2, sessions=2, device="cpu", profile=trace, commit="f00")
    record = check(*run(config), sessions=2, chunks=2)
    assert (record.preset, record.height, record.width, record.steps) == ("tiny", 64, 96, 3)
    assert (record.gpus, record.peak_memory_gb, record.commit) == (0, None, "f00")
    assert record.versions.keys() >= {"python", "torch"} and "copy" in record.stages
    assert any("conv" in event["name"] for event in json.loads(trace.read_text())["traceEvents"] if "name" in event)


def test_actors_on_ray_are_measured_likewise(http_port: int) -> None:
    config = BenchConfig(preset=load_preset("mock"), chunks=4, sessions=2, through_ray=True)
    check(*run(config), sessions=2, chunks=4)


def test_the_command_needs_neither_ray_nor_codecs_and_writes_the_record(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    program = (
        "import sys\nfor name in ('ray', 'av', 'websockets', 'fastapi'): sys.modules[name] = None\n"
        f"sys.argv = ['bench', '--preset', 'mock', '--chunks', '5', '--decoder', 'p50', '--json', {str(file)!r}]\n"
        "import runpy\nrunpy.run_module('worldloom.serve.bench', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "decode" in done.stdout and str(file) in done.stdout
    record = read_record(file)
    assert isinstance(record, EngineRecord) and (record.preset, record.decoder) == ("mock", "p50")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--preset", "tiny", "--chunks", "2", "--device", "cpu", "--memory-limit-gb", "1e6"], DoesNotFit),
        (["--preset", "mock", "--chunks", "1"], SystemExit),
        (["--preset", "mock", "--through", "ray", "--profile", "trace.json"], SystemExit),
    ],
)
def test_what_cannot_be_measured_is_refused(options: list[str], error: type[BaseException]) -> None:
    result = CliRunner().invoke(bench, options)
    assert result.exit_code != 0 and isinstance(result.exception, error)


def test_a_decoder_without_a_name_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"0\.6"):
        decoder_choice(replace(load_preset("tiny"), decoder_pruning_rate=0.6))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_memory_on_a_gpu_is_measured_and_bounded() -> None:
    config = BenchConfig(preset=load_preset("tiny"), chunks=3, device="cuda:0", memory_limit_gb=1)
    record = check(*run(config), sessions=1, chunks=3)
    assert record.gpus == 1 and record.peak_memory_gb is not None and 0 < record.peak_memory_gb <= 1
    with pytest.raises(DoesNotFit, match="tiny"):
        run(replace(config, memory_limit_gb=record.peak_memory_gb / 100))
