"""Reading `nvidia-smi`."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from worldloom.serve.bench.power import GpuSample, PowerMeter, parse_sample, summarize


def test_a_line_is_read_and_one_without_numbers_is_not() -> None:
    sample = parse_sample("0, 652.12, 1755, 61, 40211\n")
    assert sample == GpuSample(gpu=0, power_w=652.12, clock_mhz=1755, temperature_c=61, memory_mib=40211)
    assert parse_sample("0, [N/A], 1755, 61, 40211") is None
    assert parse_sample("No devices were found") is None


def test_the_busiest_gpu_is_summed_up() -> None:
    idle = [parse_sample(f"1, 80, 345, 30, {memory}") for memory in (0, 90000)]
    busy = [parse_sample(f"0, {power}, {clock}, 60, 10240") for power, clock in ((600, 1980), (700, 1500), (650, 1700))]
    text = summarize([sample for sample in idle + busy if sample is not None])
    assert text == "GPU 0: 650 W p50, 700 W most; 1700 MHz p50, 1500 MHz least; 60 °C; 10.0 GiB in use"
    assert summarize([]) == ""


def test_the_meter_reads_the_tool_while_it_is_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nwhile :; do echo '0, 500, 1500, 50, 1024'; sleep 0.05; done\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with PowerMeter() as meter:
        deadline = time.monotonic() + 30
        while not meter.samples and time.monotonic() < deadline:
            time.sleep(0.01)
    assert meter.samples[0].power_w == 500
    count = len(meter.samples)
    time.sleep(0.15)
    assert len(meter.samples) == count


def test_a_machine_without_the_tool_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with PowerMeter() as meter:
        pass
    assert meter.samples == []
