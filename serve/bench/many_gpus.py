"""The README's table of many GPUs: what was measured, and what is only computed from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...errors import ConfigError
from .records import EngineRecord, Record
from .table import markdown

BEGIN = "<!-- many GPUs: made by `worldloom bench table` -->"
END = "<!-- end of the table -->"


def many_gpus_table(records: Mapping[str, Record]) -> str:
    """Markdown: of each preset the best run on one GPU, all on several, and below them the fleets that are computed."""
    engine = [record for record in records.values() if isinstance(record, EngineRecord) and record.gpus > 0]
    measured = [record for record in engine if record.source == "measured"]
    best: dict[str, EngineRecord] = {}
    for record in measured:
        if record.gpus == 1 and record.fps > getattr(best.get(record.preset), "fps", 0):
            best[record.preset] = record
    shown = [record for record in measured if record.gpus > 1 or record is best.get(record.preset)]
    simulated = [record for record in engine if record.source == "simulated"]
    heads = ("preset", "GPUs", "share a world", "sessions", "frames/s of each", "in all", "precision", "decoder", "")
    rows = [_row(record) for record in [*sorted(shown, key=_order), *sorted(simulated, key=_order)]]
    return markdown(heads, rows)


def write_many_gpus(file: Path, records: Mapping[str, Record]) -> None:
    """Put the table into a file, between the marks that are there. Raises ConfigError where they are not."""
    text = file.read_text(encoding="utf-8")
    before, found, rest = text.partition(BEGIN)
    _, ends, after = rest.partition(END)
    if not found or not ends:
        raise ConfigError(f"{file} has no place for the table", hint=f"Put {BEGIN} and {END} where it belongs.")
    file.write_text(f"{before}{BEGIN}\n{many_gpus_table(records)}{END}{after}", encoding="utf-8")


def _row(record: EngineRecord) -> tuple[str, ...]:
    is_measured = record.source == "measured"
    return (
        record.preset,
        str(record.gpus),
        record.placement,
        str(record.sessions),
        f"**{record.fps:.1f}**" if is_measured else f"({record.fps:.1f})",
        f"{record.fps_total:.0f}" if is_measured else f"({record.fps_total:.0f})",
        record.precision,
        record.decoder,
        f"measured, {record.device}" if is_measured else "**simulated**, not measured",
    )


def _order(record: EngineRecord) -> tuple[str, int, int, float]:
    return record.preset, record.gpus, record.sessions, -record.fps
