"""Records of fleets that nobody has, from records that were measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...errors import ConfigError
from ...model.preset import Preset
from ...parallel.fleet import Fleet, expected_fps_total, fleet
from ...parallel.planner import Placement, Resources
from ...parallel.times import GroupTimes, MeasuredTimes, expert_steps
from .figures import CHUNK, CHUNK_P95, STEPS
from .records import EngineRecord, Record
from .setting import what_ran


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A measured record, and what the arithmetic makes of the times of all."""

    name: str
    measured: float
    """Frames a second in all."""
    expected: float


def measured_times(preset: Preset, records: Iterable[EngineRecord]) -> MeasuredTimes:
    """The fastest of these runs of the preset on each number of GPUs that share a step.

    Raises ConfigError where there is none.
    """
    groups: dict[int, GroupTimes] = {}
    for record in records:
        ranks = 1 if record.placement is Placement.SINGLE else record.gpus
        times = _group_times(preset, record)
        if record.placement is not Placement.PIPELINED and (ranks not in groups or times.step_s < groups[ranks].step_s):
            groups[ranks] = times
    if not groups:
        raise ConfigError(
            f"no run of preset {preset.name!r} in {preset.precision} on a GPU was measured",
            hint="Add a record of 'worldloom bench' first.",
        )
    return MeasuredTimes(groups=groups)


def measured_runs(preset: Preset, records: Mapping[str, Record]) -> dict[str, EngineRecord]:
    """The records from which a fleet of the preset can be simulated."""
    return {
        name: record
        for name, record in records.items()
        if isinstance(record, EngineRecord)
        and record.source == "measured"
        and record.gpus > 0
        and (record.preset, record.precision) == (preset.name, preset.precision)
    }


def compare(preset: Preset, runs: Mapping[str, EngineRecord]) -> list[Comparison]:
    """What was measured beside what is expected, of every run."""
    times = measured_times(preset, runs.values())
    return [
        Comparison(
            name=name,
            measured=record.fps_total,
            expected=expected_fps_total(
                preset,
                times,
                gpus=record.gpus,
                placement=record.placement,
                sessions=record.sessions,
                stages=_stages_of(preset, record),
            ),
        )
        for name, record in runs.items()
    ]


def simulate(preset: Preset, gpus: int, gpu_bytes: int, runs: Mapping[str, EngineRecord]) -> EngineRecord:
    """The record that so many GPUs of such memory would leave with as many sessions as they play at full rate."""
    times = measured_times(preset, runs.values())
    like = next(iter(runs.values()))
    found = fleet(preset, Resources(gpus=gpus, gpu_bytes=gpu_bytes), times)
    return EngineRecord(
        **what_ran(preset, gpus=gpus, sessions=found.sessions) | {"placement": found.plan.layout.placement},
        device=like.device,
        versions=like.versions,
        commit=like.commit,
        source="simulated",
        fps=round(found.fps, 3),
        fps_total=round(found.fps_total, 3),
        stages=_stages(found),
        first_frame_s=round(found.plan.chunk.latency_s, 5),
        peak_memory_gb=round(found.plan.rank_bytes / 1e9, 2),
    )


def format_comparison(rows: Sequence[Comparison]) -> str:
    """For people."""
    lines = [f"{'measured run':<44}{'frames/s':>10}{'expected':>10}{'error':>8}"]
    for row in rows:
        error = f"{100 * (row.expected / row.measured - 1):+.0f} %"
        lines.append(f"{row.name:<44}{row.measured:>10.1f}{row.expected:>10.1f}{error:>8}")
    return "\n".join(lines)


def _stages(found: Fleet) -> dict[str, float]:
    chunk_s = 1 / found.plan.chunk.rate(-(-found.sessions // found.plan.groups))
    busy = {f"stage{index}": round(seconds, 5) for index, seconds in enumerate(found.plan.chunk.stage_s)}
    return {**busy, CHUNK: round(chunk_s, 5), CHUNK_P95: round(chunk_s, 5)}


def _group_times(preset: Preset, record: EngineRecord) -> GroupTimes:
    forwards = 2 if preset.sampling.guidance > 1 else 1
    experts = sum(steps > 0 for steps in expert_steps(preset))
    stages = record.stages
    return GroupTimes(
        prepare_s=stages.get("prepare", 0.0) / (experts * forwards),
        step_s=stages[STEPS] / (record.steps * forwards),
        decode_s=stages.get("decode", 0.0),
    )


def _stages_of(preset: Preset, record: EngineRecord) -> tuple[int, ...]:
    """Ranks of each stage: of a pipeline, as the planner splits them."""
    if record.placement is not Placement.PIPELINED:
        return (record.gpus,)
    front = max(1, round(record.gpus * expert_steps(preset)[0] / sum(expert_steps(preset))))
    return min(front, record.gpus - 1), max(1, record.gpus - front)
