"""What the client raises, as the exceptions that the command line and the rest of this package know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from worldloom_client.errors import WorldError

from ..errors import ServiceError, WorldloomError


@contextmanager
def known_errors() -> Iterator[None]:
    """Raises what the service reported as what it was there."""
    try:
        yield
    except WorldError as error:
        raise error_from(error.code, error.message, error.hint) from error


def error_from(code: str, message: str, hint: str) -> WorldloomError:
    """The exception of that code; a code this package does not know becomes a ServiceError that names it."""
    kind = _KINDS.get(code)
    return kind(message, hint=hint) if kind else ServiceError(f"{message} ({code})", hint=hint)


def _kinds(base: type[WorldloomError]) -> Iterator[type[WorldloomError]]:
    yield base
    for kind in base.__subclasses__():
        yield from _kinds(kind)


_KINDS = {kind.code: kind for kind in _kinds(WorldloomError)}
