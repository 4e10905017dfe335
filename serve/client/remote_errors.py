"""Errors that a service reports, as the exceptions they were there."""

from __future__ import annotations

from collections.abc import Iterator

from ...errors import ServiceError, WorldloomError


def error_from(code: str, message: str, hint: str) -> WorldloomError:
    """The exception of that code; a code this client does not know becomes a ServiceError that names it."""
    kind = _KINDS.get(code)
    return kind(message, hint=hint) if kind else ServiceError(f"{message} ({code})", hint=hint)


def _kinds(base: type[WorldloomError]) -> Iterator[type[WorldloomError]]:
    yield base
    for kind in base.__subclasses__():
        yield from _kinds(kind)


_KINDS = {kind.code: kind for kind in _kinds(WorldloomError)}
