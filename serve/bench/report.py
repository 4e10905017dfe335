"""What a run's records say, for a terminal."""

from __future__ import annotations

from .figures import CHUNK, CHUNK_P95
from .records import EngineRecord, GatewayRecord, Record, ServedRecord
from .run import BenchRun

_BAR_WIDTH = 30


def format_run(run: BenchRun) -> str:
    """Rate, latency, memory, and a table of stages."""
    record = run.record
    chunks = max(times.chunk for times in run.chunks) + 1
    lines = [
        f"{_title(record)}, {chunks} chunks",
        f"frames a second       {record.fps:9.2f}" + _in_all(record),
        f"chunk to chunk        {record.stages[CHUNK]:9.4f} s p50, {record.stages[CHUNK_P95]:.4f} s p95",
        f"time to first frame   {record.first_frame_s:9.3f} s",
    ]
    if record.peak_memory_gb is not None:
        lines.append(f"peak memory           {record.peak_memory_gb:9.2f} GB")
    if record.rank_memory_gb:
        lines.append(f"… of each rank         {', '.join(f'{value:.1f}' for value in record.rank_memory_gb)} GB")
    if record.exposed_step_s is not None:
        lines.append(f"exposed messages      {1e3 * record.exposed_step_s:9.2f} ms a step")
    if run.power:
        lines.append(f"power                 {run.power}")
    return "\n".join([*lines, "", *_stage_table(record.stages), "", _provenance(record)])


def format_served(record: ServedRecord) -> str:
    """Rate, late frames and latencies."""
    return "\n".join(
        [
            f"{_title(record)}, {record.codec} for {record.seconds:.1f} s",
            f"frames a second       {record.fps:9.2f}" + _in_all(record),
            f"late frames           {record.late_frames:9d} of {record.frames}",
            f"action to frame       {_seconds(record.action_to_frame_p50_s, record.action_to_frame_p95_s)}",
            f"text to frame         {_seconds(record.create_to_frame_text_p50_s, record.create_to_frame_text_p95_s)}",
            f"image to frame        {_seconds(record.create_to_frame_image_p50_s, record.create_to_frame_image_p95_s)}",
            f"image to clip         {_seconds(record.create_to_clip_p50_s, record.create_to_clip_p95_s)}",
            "",
            _provenance(record),
        ]
    )


def format_gateway(record: GatewayRecord) -> str:
    """The limit, and a row for each load."""
    rows = [f"{'sessions':>8}{'p50 ms':>10}{'p95 ms':>10}{'p99 ms':>10}{'lost':>10}"]
    for load in record.loads:
        overheads = (load.overhead_p50_s, load.overhead_p95_s, load.overhead_p99_s)
        rows.append(f"{load.sessions:>8}" + "".join(f"{1000 * s:>10.1f}" for s in overheads) + f"{load.loss:>10.2%}")
    title = f"one gateway carries {record.limit_sessions} sessions of {record.frame_rate:g} frames a second"
    return "\n".join([f"{title} of {record.frame_bytes / 1000:g} kB", "", *rows, "", _provenance(record)])


def _title(record: EngineRecord | ServedRecord) -> str:
    return (
        f"{record.preset} {record.height}×{record.width}, {record.steps} steps, {record.precision}, "
        f"decoder {record.decoder}, {_devices(record)}, {record.sessions} session{'s' * (record.sessions > 1)}"
    )


def _devices(record: EngineRecord | ServedRecord) -> str:
    return {0: "on the CPU", 1: "one GPU"}.get(record.gpus, f"{record.gpus} GPUs, {record.placement}")


def _in_all(record: EngineRecord | ServedRecord) -> str:
    return f"   ({record.fps_total:.2f} in all)" if record.sessions > 1 else ""


def _seconds(p50_s: float, p95_s: float) -> str:
    return f"{p50_s:9.3f} s p50, {p95_s:.3f} s p95"


def _provenance(record: Record) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    return f"{record.device}; {versions}; commit {record.commit}"


def _stage_table(stages: dict[str, float]) -> list[str]:
    parts = {name: seconds for name, seconds in stages.items() if name not in (CHUNK, CHUNK_P95)}
    longest = max(*parts.values(), stages[CHUNK])
    rows = [f"{'stage':<12}{'p50 ms':>10}"]
    for name, seconds in parts.items():
        rows.append(f"{name:<12}{1000 * seconds:>10.2f}  {'█' * round(_BAR_WIDTH * seconds / longest)}".rstrip())
    return rows
