"""The error tree: stable codes, and nothing lost on the way between processes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import worldloom.errors as errors
from worldloom.errors import WorldloomError


def tree(kind: type[WorldloomError] = WorldloomError) -> Iterator[type[WorldloomError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in tree()]
    assert len(codes) == len(set(codes))


def test_every_error_is_drawn_in_the_tree() -> None:
    drawn = errors.__doc__ or ""
    assert [kind.__name__ for kind in tree() if kind.__name__ not in drawn] == []


def test_errors_cross_processes_whole() -> None:
    for kind in tree():
        back = pickle.loads(pickle.dumps(kind("seen 3, expected 4", hint="send 4")))
        assert type(back) is kind
        assert (back.message, back.hint, str(back)) == ("seen 3, expected 4", "send 4", "seen 3, expected 4")
