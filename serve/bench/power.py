"""Power and clocks of the GPUs during a run: a short test hides what a sustained one is limited by."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import Self

INTERVAL_MS = 500
_FIELDS = ("index", "power.draw", "clocks.sm", "temperature.gpu", "memory.used")


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuSample:
    """One GPU at one moment."""

    gpu: int
    power_w: float
    clock_mhz: float
    temperature_c: float
    memory_mib: float


def parse_sample(line: str) -> GpuSample | None:
    """A line of `nvidia-smi --format=csv,noheader,nounits` of this module's fields; None where a number misses."""
    try:
        gpu, *values = line.split(",")
        power, clock, temperature, memory = map(float, values)
        return GpuSample(gpu=int(gpu), power_w=power, clock_mhz=clock, temperature_c=temperature, memory_mib=memory)
    except ValueError:
        return None


def summarize(samples: list[GpuSample]) -> str:
    """Of the GPU that drew most: median and highest power, median and lowest clock, temperature, memory."""
    by_gpu: defaultdict[int, list[GpuSample]] = defaultdict(list)
    for sample in samples:
        by_gpu[sample.gpu].append(sample)
    if not by_gpu:
        return ""
    busiest = max(by_gpu.values(), key=lambda seen: statistics.fmean(sample.power_w for sample in seen))
    power = [sample.power_w for sample in busiest]
    clock = [sample.clock_mhz for sample in busiest]
    return (
        f"GPU {busiest[0].gpu}: {statistics.median(power):.0f} W p50, {max(power):.0f} W most; "
        f"{statistics.median(clock):.0f} MHz p50, {min(clock):.0f} MHz least; "
        f"{max(sample.temperature_c for sample in busiest):.0f} °C; "
        f"{max(sample.memory_mib for sample in busiest) / 1024:.1f} GiB in use"
    )


class PowerMeter:
    """Samples all GPUs twice a second while its context is open; does nothing where there is no `nvidia-smi`."""

    def __init__(self) -> None:
        self.samples: list[GpuSample] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader = threading.Thread(target=self._read, name="power-meter", daemon=True)

    def __enter__(self) -> Self:
        program = shutil.which("nvidia-smi")
        if program is not None:
            query = [f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits", f"--loop-ms={INTERVAL_MS}"]
            self._process = subprocess.Popen(
                [program, *query], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
            self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._reader.join()
            self._process.wait()

    def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        for line in self._process.stdout:
            sample = parse_sample(line)
            if sample is not None:
                self.samples.append(sample)
