"""Reading frozen config dataclasses out of a checkpoint's JSON, with errors that name the key and the value."""

from __future__ import annotations

import dataclasses
import logging
import math
import typing
from collections.abc import Collection, Mapping
from typing import Any

from ..errors import ConfigError

_log = logging.getLogger(__name__)


def read_fields(kind: type[Any], raw: Mapping[str, Any], *, where: str, known: Collection[str] = ()) -> dict[str, Any]:
    """Values of `raw` for the fields of dataclass `kind`, with lists as tuples.

    Nested fields (of a type other than int, float, bool, str or a tuple of one of these) pass unread. A missing field
    without default and a wrong type raise ConfigError. Keys that are neither fields, nor `known`, nor start with an
    underscore are reported to the log and ignored.
    """
    types = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    missing = []
    for field in dataclasses.fields(kind):
        if field.name in raw:
            values[field.name] = _read(types[field.name], raw[field.name], f"{where}.{field.name}")
        elif field.default is dataclasses.MISSING:
            missing.append(field.name)
    if missing:
        raise ConfigError(f"{where} lacks {', '.join(missing)}", hint="take config.json from the checkpoint itself")
    ignored = [key for key in raw if key not in values and key not in known and not key.startswith("_")]
    if ignored:
        _log.warning("%s: ignored unknown keys %s", where, ", ".join(sorted(ignored)))
    return values


def require_positive(values: Mapping[str, float], *, where: str) -> None:
    """Raise ConfigError for the first value that is not a finite number above zero."""
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ConfigError(f"{where}.{name} is {value}", hint="it must be above zero")


def require_equal(raw: Mapping[str, Any], expected: Mapping[str, Any], *, where: str) -> None:
    """Raise ConfigError where a key of `raw` has another value than the one this implementation computes with."""
    for key, value in expected.items():
        if key in raw and raw[key] != value:
            raise ConfigError(f"{where}.{key} is {raw[key]!r}", hint=f"only {value!r} is supported")


def _read(kind: Any, value: Any, where: str) -> Any:
    if typing.get_origin(kind) is tuple:
        item_kind = typing.get_args(kind)[0]
        if isinstance(value, list | tuple) and all(type(item) is item_kind for item in value):
            return tuple(value)
        raise ConfigError(f"{where} is {value!r}", hint=f"it must be a list of type {item_kind.__name__}")
    if kind is float and type(value) is int:
        return float(value)
    if kind in (int, float, bool, str) and type(value) is not kind:
        raise ConfigError(f"{where} is {value!r}", hint=f"it must be of type {kind.__name__}")
    return value
