"""Records of fleets that nobody has, from records that were measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import ConfigError
from ...model.clip import NEW_FRAMES
from ...model.preset import Preset
from ...parallel.fleet import Fleet, expected_fps_total, fleet
from ...parallel.planner import Placement, Resources
from ...parallel.times import GroupTimes, MeasuredTimes, decoding_s, expert_steps
from .figures import CHUNK, CHUNK_P95, STEPS
from .records import RESULTS, EngineRecord, Record, read_records
from .setting import decoder_choice, what_ran


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A measured record, and what the arithmetic makes of the times of all."""

    name: str
    measured: float
    """Frames a second in all."""
    expected: float


def measured_times(preset: Preset, runs: Mapping[str, EngineRecord]) -> MeasuredTimes:
    """The fastest of these runs of the preset on each number of GPUs that share a step, with the preset's own decoder
    where one of them had it.

    Raises ConfigError where there is none.
    """
    decode_s = _decode_s(preset, runs.values())
    groups: dict[int, GroupTimes] = {}
    names: dict[int, str] = {}
    for name, record in runs.items():
        ranks = 1 if record.placement is Placement.SINGLE else record.gpus
        times = _group_times(preset, record, decoding_s(preset, None) if decode_s is None else decode_s)
        if record.placement is not Placement.PIPELINED and (ranks not in groups or times.step_s < groups[ranks].step_s):
            groups[ranks], names[ranks] = times, name
    if not groups:
        raise ConfigError(
            f"no run of preset {preset.name!r} in {preset.precision} on a GPU was measured",
            hint="Add a record of 'worldloom bench' first.",
        )
    return MeasuredTimes(groups=groups, runs=tuple(names[ranks] for ranks in sorted(names)), decode_s=decode_s)


def known_times(preset: Preset, gpu_name: str, *, results: Path = RESULTS) -> MeasuredTimes | None:
    """What the checkout's records say of the preset on GPUs of this name; None where they say nothing."""
    runs = measured_runs(preset, read_records(results)) if results.is_dir() else {}
    same = {name: record for name, record in runs.items() if record.device == gpu_name}
    groups = [record for record in same.values() if record.placement is not Placement.PIPELINED]
    return measured_times(preset, same) if groups else None


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
    times = measured_times(preset, runs)
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
    times = measured_times(preset, runs)
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


def _decode_s(preset: Preset, records: Iterable[EngineRecord]) -> float | None:
    """Seconds of a chunk on one GPU, by the preset's own decoder."""
    choice = decoder_choice(preset)
    seen = [
        record.stages["decode"]
        for record in records
        if record.decoder == choice and record.decoder_ranks == 1 and record.stages.get("decode", 0.0) > 0
    ]
    return min(seen, default=None)


def _group_times(preset: Preset, record: EngineRecord, decode_s: float) -> GroupTimes:
    """Steps are what is left of a chunk's time: measured beside decoding, they hold some of that too."""
    forwards = 2 if preset.sampling.guidance > 1 else 1
    experts = sum(steps > 0 for steps in expert_steps(preset))
    groups = record.gpus if record.placement is Placement.SINGLE else 1
    prepare_s = record.stages.get("prepare", 0.0)
    left_s = NEW_FRAMES * groups / record.fps_total - prepare_s - decode_s * groups / record.gpus
    return GroupTimes(
        prepare_s=prepare_s / (experts * forwards),
        step_s=(left_s if left_s > 0 else record.stages[STEPS]) / (record.steps * forwards),
        decode_s=decode_s,
    )


def _stages_of(preset: Preset, record: EngineRecord) -> tuple[int, ...]:
    """Ranks of each stage: of a pipeline, as the planner splits them."""
    if record.placement is not Placement.PIPELINED:
        return (record.gpus,)
    front = max(1, round(record.gpus * expert_steps(preset)[0] / sum(expert_steps(preset))))
    return min(front, record.gpus - 1), max(1, record.gpus - front)
