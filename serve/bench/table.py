"""The records of a folder as markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .figures import CHUNK_P95, STEPS
from .records import EngineRecord, GatewayRecord, ModelRecord, Record, ServedRecord

HEAD = """# Records

Made by `worldloom bench table` from the files in [results](results); what the columns mean is in
[README.md](README.md). Times are milliseconds unless the column says otherwise, medians over a run's chunks.
"""


def format_table(records: Mapping[str, Record]) -> str:
    """Markdown of all records by file name, fastest first within the same preset."""
    runs = [(name, record) for name, record in records.items() if isinstance(record, EngineRecord)]
    engine = [(name, record) for name, record in runs if record.source == "measured"]
    simulated = [(name, record) for name, record in runs if record.source == "simulated"]
    served = [(name, record) for name, record in records.items() if isinstance(record, ServedRecord)]
    gateways = [(name, record) for name, record in records.items() if isinstance(record, GatewayRecord)]
    parts = [HEAD]
    if engine:
        parts.append("## Engine: actions to RGB frames in host memory\n\n" + _engine_table(engine))
    shared = [(name, record) for name, record in engine if record.gpus > 1]
    if shared:
        parts.append("## Several GPUs: what sharing the work costs\n\n" + _shared_table(shared, engine))
    if served:
        parts.append("## Service: a client on the same machine\n\n" + _served_table(served))
    if gateways:
        parts.append("## Gateway: pushed frames to players on the same machine\n\n" + _gateway_table(gateways))
    if simulated:
        parts.append("## Simulated: fleets that nobody has, computed from measured runs\n\n" + _engine_table(simulated))
    return "\n".join(parts)


def _engine_table(rows: list[tuple[str, EngineRecord]]) -> str:
    heads = (
        *_COMMON_HEADS, "frames/s", "in all", "chunk p95", "prepare", "steps", "decode", "first frame s", "memory GB",
        *_LAST_HEADS,
    )  # fmt: skip
    return markdown(
        heads,
        [
            (
                *_common(record),
                f"**{record.fps:.1f}**",
                f"{record.fps_total:.1f}",
                _ms(record.stages.get(CHUNK_P95)),
                _ms(record.stages.get("prepare")),
                _ms(record.stages.get(STEPS)),
                _ms(record.stages.get("decode")),
                f"{record.first_frame_s:.2f}",
                "–" if record.peak_memory_gb is None else f"{record.peak_memory_gb:.1f}",
                *_last(name, record),
            )
            for name, record in sorted(rows, key=_order)
        ],
    )


def _shared_table(rows: list[tuple[str, EngineRecord]], engine: list[tuple[str, EngineRecord]]) -> str:
    heads = (
        *_COMMON_HEADS, "in all", "scaling", "exposed ms a step", "memory of each rank GB", *_LAST_HEADS,
    )  # fmt: skip
    return markdown(
        heads,
        [
            (
                *_common(record),
                f"**{record.fps_total:.1f}**",
                _percent(scaling_efficiency(record, [other for _, other in engine])),
                _ms(record.exposed_step_s),
                " / ".join(f"{value:.1f}" for value in record.rank_memory_gb) or "–",
                *_last(name, record),
            )
            for name, record in sorted(rows, key=_order)
        ],
    )


def scaling_efficiency(record: EngineRecord, others: Sequence[EngineRecord]) -> float | None:
    """Frames a second in all, as a share of what as many GPUs would make that each do as well as one alone.

    One alone is the best of the `others` that ran the same on one such GPU; None where there is none.
    """
    alone = [other.fps_total for other in others if other.gpus == 1 and _what(other) == _what(record)]
    return record.fps_total / (record.gpus * max(alone)) if alone else None


def _what(record: EngineRecord) -> tuple[object, ...]:
    size = record.height, record.width, record.steps
    return record.preset, size, record.precision, record.decoder, record.device, record.source


def _served_table(rows: list[tuple[str, ServedRecord]]) -> str:
    heads = (
        *_COMMON_HEADS, "codec", "seconds", "frames/s", "in all", "late", "played at", "steps",
        "action to frame p50 / p95", "text to frame", "image to frame", "image to clip", *_LAST_HEADS,
    )  # fmt: skip
    return markdown(
        heads,
        [
            (
                *_common(record),
                record.codec,
                f"{record.seconds:.0f}",
                f"**{record.fps:.1f}**",
                f"{record.fps_total:.1f}",
                f"{record.late_frames} of {record.frames}",
                f"{record.frame_rate:g}",
                _ms(record.steps_s),
                _pair(record.action_to_frame_p50_s, record.action_to_frame_p95_s),
                _pair(record.create_to_frame_text_p50_s, record.create_to_frame_text_p95_s),
                _pair(record.create_to_frame_image_p50_s, record.create_to_frame_image_p95_s),
                _pair(record.create_to_clip_p50_s, record.create_to_clip_p95_s),
                *_last(name, record),
            )
            for name, record in sorted(rows, key=_order)
        ],
    )


def _gateway_table(rows: list[tuple[str, GatewayRecord]]) -> str:
    """Each load has a row: the limit's in bold."""
    heads = ("frames/s", "frame kB", "seconds", "sessions", "overhead p50 / p95 / p99", "lost", *_LAST_HEADS)
    return markdown(
        heads,
        [
            (
                f"{record.frame_rate:g}",
                f"{record.frame_bytes / 1000:g}",
                f"{record.seconds:g}",
                f"**{load.sessions}**" if load.sessions == record.limit_sessions else str(load.sessions),
                f"{_ms(load.overhead_p50_s)} / {_ms(load.overhead_p95_s)} / {_ms(load.overhead_p99_s)}",
                f"{100 * load.loss:.2f} %",
                *_last(name, record),
            )
            for name, record in rows
            for load in record.loads
        ],
    )


_COMMON_HEADS = ("preset", "size", "steps", "GPUs", "placement", "sessions", "precision", "decoder")
_LAST_HEADS = ("device", "commit", "source", "record")


def _common(record: ModelRecord) -> tuple[str, ...]:
    return (
        record.preset,
        f"{record.height}×{record.width}",
        str(record.steps),
        str(record.gpus),
        record.placement,
        str(record.sessions),
        record.precision,
        record.decoder,
    )


def _last(name: str, record: Record) -> tuple[str, ...]:
    return record.device, record.commit, record.source, f"[{name}](results/{name}.json)"


def _order(row: tuple[str, ModelRecord]) -> tuple[str, int, int, float, str]:
    name, record = row
    return record.preset, record.gpus, record.sessions, -record.fps, name


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _pair(p50_s: float, p95_s: float) -> str:
    return f"{1000 * p50_s:.0f} / {1000 * p95_s:.0f}"


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1000 * seconds:.1f}"


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
