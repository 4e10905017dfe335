"""Files of worlds: what a preset could not have made stays outside, and nothing of players goes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from worldloom.cluster.world import World
from worldloom.cluster.world_file import pack_file, unpack_file
from worldloom.cluster.world_header import HeaderExtra, extra_of, pack_header_extra, pack_origin, unpack_origin
from worldloom.errors import SnapshotInvalid
from worldloom.memory.archive import pack_world, unpack_world
from worldloom.memory.records import ChunkRecord
from worldloom.memory.world import World as History
from worldloom.model.preset import load_preset
from worldloom.serve.scripts import random_script

PRESET = load_preset("mock")
ORIGIN = (1.0, 2.0, 3.0, 4.0, 5.0)


@pytest.fixture(scope="module")
def history() -> History:
    world = World.load("mock").start(np.zeros((128, 224, 3), np.uint8), prompt="a hall")
    world.step(random_script(3, 57))
    return unpack_world(world.snapshot().data)


def changed(history: History, **fields: Any) -> History:
    """With another first chunk."""
    record = replace(history.branches[0].chunks[0], **fields)
    return replace(history, branches={0: replace(history.branches[0], chunks=(record,))})


def with_value(name: str, value: float) -> Callable[[ChunkRecord], np.ndarray]:
    def change(record: ChunkRecord) -> np.ndarray:
        array = np.array(getattr(record, name))
        array.flat[7] = value
        return array

    return change


def test_a_file_has_the_history_and_the_origin_and_nothing_of_its_player(history: History) -> None:
    secret = pack_header_extra(HeaderExtra(token_hash="secret", origin=ORIGIN))
    played = changed(history, extra=b"what a client was told", applied_event_ids=(7,))
    played = replace(played, header=replace(played.header, extra=secret))
    assert extra_of(played.header).origin == ORIGIN
    blob = pack_file(played, ORIGIN)
    assert b"secret" not in blob
    back, origin = unpack_file(blob, PRESET)
    assert origin == ORIGIN and back.header.extra == b"" and back.last_event_id == 0
    (record,) = back.records()
    assert (record.extra, record.applied_event_ids) == (b"", ())
    assert record.latents.tobytes() == history.records()[0].latents.tobytes()


@pytest.mark.parametrize("name", ["latents", "poses", "mouse"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_could_harm_an_engine_are_refused(history: History, name: str, value: float) -> None:
    wrong = changed(history, **{name: with_value(name, value)(history.records()[0])})
    with pytest.raises(SnapshotInvalid, match="chunk 0 of branch 0"):
        unpack_file(pack_world(wrong), PRESET)


def test_other_shapes_dtypes_keys_and_texts_are_refused(history: History) -> None:
    record, header = history.records()[0], history.header
    wrong = [
        changed(history, latents=record.latents[:, :, :, :-1]),
        changed(history, latents=record.latents.astype(np.float32)),
        changed(history, keyboard=with_value("keyboard", 0.5)(record)),
        changed(history, prompt="x" * 2001),
        replace(history, header=replace(header, preset="tiny")),
        replace(history, header=replace(header, viewpoint="above")),
        replace(history, header=replace(header, image=header.image[:-1])),
        replace(history, header=replace(header, prompt="x" * 2001)),
    ]
    for world in wrong:
        with pytest.raises(SnapshotInvalid):
            unpack_file(pack_world(world), PRESET)
    unpack_file(pack_world(history), PRESET)


@pytest.mark.parametrize(
    "data",
    [b"{", b"[]", b"[" * 10**5, b'{"origin": [1]}', b'{"origin": [1, 2, 3, 4, "x"]}', b'{"origin": [NaN, 0, 0, 0, 0]}',
     json.dumps({"origin": [1e9, 0, 0, 0, 0]}).encode(), b"\xff"],
)  # fmt: skip
def test_an_origin_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(SnapshotInvalid):
        unpack_origin(data)
    assert unpack_origin(pack_origin(ORIGIN)) == ORIGIN
