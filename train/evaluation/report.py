"""Results of a measurement: tables of figures, aims met or missed, and pictures; as JSON and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor

Value: TypeAlias = str | float | bool | list[float]
Row: TypeAlias = dict[str, Value]
Picture: TypeAlias = list[npt.NDArray[np.uint8]]
"""Rows of frames (n, H, W, 3), drawn one under the other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows with the same keys; `columns` are those to show, with their headings."""

    title: str
    columns: Mapping[str, str]
    rows: Sequence[Row]

    def row(self, **where: Value) -> Row:
        """The one row with these values."""
        (found,) = (row for row in self.rows if all(row[key] == value for key, value in where.items()))
        return found

    def markdown(self) -> str:
        lines = [list(self.columns.values()), ["---"] * len(self.columns)]
        lines += [[_shown(row[key]) for key in self.columns] for row in self.rows]
        table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
        return f"**{self.title}**\n\n{table}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Aim:
    """A figure that should reach a limit."""

    what: str
    value: float
    limit: float
    at_most: bool = False
    """Whether smaller is better."""

    @property
    def met(self) -> bool:
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def markdown(self) -> str:
        sign = "≤" if self.at_most else "≥"
        verdict = "pass" if self.met else "FAIL"
        return f"- {verdict}: {self.what} {_shown(self.value)} (aim {sign} {_shown(self.limit)})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What one measurement found."""

    title: str
    settings: Mapping[str, object]
    tables: Sequence[Table]
    aims: Sequence[Aim] = ()
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    details: Mapping[str, Sequence[Row]] = field(default_factory=dict)
    """Rows that are too many to show."""

    def table(self, title: str) -> Table:
        """The table whose title begins so."""
        (found,) = (table for table in self.tables if table.title.startswith(title))
        return found

    def markdown(self) -> str:
        parts = [f"## {self.title}", *(table.markdown() for table in self.tables)]
        if self.aims:
            parts.append("\n".join(aim.markdown() for aim in self.aims))
        return "\n\n".join(parts) + "\n"

    def as_json(self) -> dict[str, object]:
        """Plain values; numbers that do not exist, such as the mean of nothing, are null."""
        return {
            "title": self.title,
            "settings": dict(self.settings),
            "tables": {table.title: [_plain_row(row) for row in table.rows] for table in self.tables},
            "columns": {table.title: dict(table.columns) for table in self.tables},
            "details": {name: [_plain_row(row) for row in rows] for name, rows in self.details.items()},
            "aims": [
                {
                    "what": aim.what, "value": _plain(aim.value), "limit": aim.limit, "at_most": aim.at_most,
                    "met": aim.met,
                }
                for aim in self.aims
            ],
        }  # fmt: skip

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The report whose `as_json` this is, with or without other entries; without its pictures."""
        tables = [
            Table(title=title, columns=document["columns"][title], rows=[_read_row(row) for row in rows])
            for title, rows in document["tables"].items()
        ]
        aims = [
            Aim(what=aim["what"], value=_read(aim["value"]), limit=aim["limit"], at_most=aim["at_most"])
            for aim in document["aims"]
        ]
        details = {name: [_read_row(row) for row in rows] for name, rows in document["details"].items()}
        return cls(title=document["title"], settings=document["settings"], tables=tables, aims=aims, details=details)


class Tally:
    """Means of named figures over worlds, for each row of a table."""

    def __init__(self, *keys: str) -> None:
        """`keys` name the columns that tell rows apart."""
        self._keys = keys
        self._figures: dict[tuple[Value, ...], dict[str, list[float]]] = {}

    def add(self, *row: Value, **figures: Tensor | float) -> None:
        """Notes the mean of each figure, NaN left out, as one sample of a row."""
        kept = self._figures.setdefault(row, {})
        for name, figure in figures.items():
            kept.setdefault(name, []).append(float(figure.nanmean()) if isinstance(figure, Tensor) else float(figure))

    def rows(self) -> list[Row]:
        """A row each, in the order first added: the mean of each figure's samples, and the samples as NAME_each."""
        return [
            {
                **dict(zip(self._keys, row, strict=True)),
                **{name: mean_of(samples) for name, samples in figures.items()},
                **{f"{name}_each": samples for name, samples in figures.items()},
            }
            for row, figures in self._figures.items()
        ]


def mean_of(samples: Sequence[float]) -> float:
    """Mean of the samples that are numbers; NaN if there is none."""
    known = [sample for sample in samples if not math.isnan(sample)]
    return sum(known) / len(known) if known else math.nan


def number(value: Value) -> float:
    """A row's value, known to be a number."""
    assert isinstance(value, float | int), f"{value!r} is no number"
    return float(value)


def _shown(value: Value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(_shown(item) for item in value)
    if not math.isfinite(value):
        return "–"
    size = abs(value)
    digits = 0 if (value == int(value) and size < 1e6) or size >= 1000 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:.{digits}f}"


def _read_row(row: Mapping[str, Any]) -> Row:
    return {
        key: [_read(item) for item in value] if isinstance(value, list) else _read(value) for key, value in row.items()
    }


def _read(value: Any) -> Any:
    return math.nan if value is None else value


def _plain_row(row: Row) -> dict[str, object]:
    return {key: _plain(value) for key, value in row.items()}


def _plain(value: Value) -> object:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    return value
