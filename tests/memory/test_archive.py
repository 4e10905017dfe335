"""Exported worlds: the same world comes back, and nothing damaged does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from worldloom.errors import CommitConflict, Overloaded, SnapshotInvalid
from worldloom.memory.archive import MAX_CHUNKS, MAX_METADATA_BYTES, pack_world, unpack_world
from worldloom.memory.records import same_content
from worldloom.memory.store import Store, StoreConfig
from worldloom.memory.world import MAX_BRANCHES, World, bare, committed, forked, new_world, rewound

from .worlds import header_of, record_of


def branched_world(dtype: np.typing.DTypeLike = np.float32) -> World:
    """Branch 0 of three chunks, branch 1 cut at 1 with two more, branch 2 cut from branch 0 at 2 and empty."""
    world = new_world(header_of("a").owned(), epoch=3)
    for chunk in range(3):
        world = committed(world, record_of(chunk, dtype=dtype, events=(chunk + 1,)).owned())
    world = rewound(world, None, 1, key=7, extra=b"held")
    for chunk, first in ((1, 137), (2, 180)):
        world = committed(world, record_of(chunk, branch=1, first_frame_id=first, dtype=dtype).owned())
    return rewound(world, 0, 2)


def assert_same_world(one: World, other: World) -> None:
    assert same_content(one.header, other.header)
    assert (one.head, one.next_frame_id, one.last_event_id) == (other.head, other.next_frame_id, other.last_event_id)
    assert one.branches.keys() == other.branches.keys()
    for number, branch in one.branches.items():
        twin = other.branches[number]
        assert (branch.parent, branch.at_chunk, len(branch.chunks)) == (twin.parent, twin.at_chunk, len(twin.chunks))
        assert branch.opening == twin.opening
        assert all(map(same_content, branch.chunks, twin.chunks))


BLOB = pack_world(branched_world())


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
def test_a_world_comes_back_with_all_its_branches_and_no_owner(dtype: np.typing.DTypeLike) -> None:
    world = branched_world(dtype)
    back = unpack_world(pack_world(world))
    assert_same_world(back, world)
    assert back.epoch == 0


def test_chunks_that_branches_share_are_stored_and_loaded_once() -> None:
    assert sum(name.endswith("latents") for name in load(BLOB)) == 5
    back = unpack_world(BLOB)
    assert back.branches[1].chunks[0] is back.branches[0].chunks[0]


def test_a_fork_of_a_later_branch_comes_back_under_its_branch_number() -> None:
    fork = forked(branched_world(), header_of("b").owned(), 1, None, prompt="night")
    assert min(fork.branches) == 1 and fork.next_frame_id == 220
    assert [record.noise_branch for record in fork.records()] == [0, 1, 1], "the chunk of branch 0 keeps its noise"
    again = forked(fork, header_of("c").owned(), 1, 2)
    assert [record.noise_branch for record in again.records()] == [0, 1]
    assert_same_world(unpack_world(pack_world(rewound(fork, None, 1))), rewound(fork, None, 1))


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, len(BLOB) - 1), bit=st.integers(0, 7))
def test_a_file_with_any_bit_changed_is_the_same_world_or_refused(place: int, bit: int) -> None:
    damaged = bytearray(BLOB)
    damaged[place] ^= 1 << bit
    try:
        back = unpack_world(bytes(damaged))
    except SnapshotInvalid:
        return
    assert_same_world(back, unpack_world(BLOB))


def test_a_changed_latent_is_refused() -> None:
    damaged = bytearray(BLOB)
    damaged[-10] ^= 1
    with pytest.raises(SnapshotInvalid):
        unpack_world(bytes(damaged))


@pytest.mark.parametrize("size", [0, 7, 8, 100, len(BLOB) // 2, len(BLOB) - 1])
def test_a_file_that_is_cut_off_is_refused(size: int) -> None:
    with pytest.raises(SnapshotInvalid, match=f"{size} bytes"):
        unpack_world(BLOB[:size])


def test_other_files_and_other_versions_are_refused() -> None:
    with pytest.raises(SnapshotInvalid):
        unpack_world(b"not a world at all, but a text of some length")
    with pytest.raises(SnapshotInvalid):
        unpack_world(save({"weight": np.zeros(3)}))
    header_size = int.from_bytes(BLOB[:8], "little")
    metadata = json.loads(BLOB[8 : 8 + header_size])["__metadata__"]
    with pytest.raises(SnapshotInvalid, match="version '3'"):
        unpack_world(save(load(BLOB), {**metadata, "version": "3"}))


def digest_of(text: str, tensors: dict[str, Any]) -> str:
    """As the file's documentation has it."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"\n{name} {array.dtype} {array.shape}\n".encode() + array.tobytes())
    return digest.hexdigest()


def rewritten(change: Callable[[dict[str, Any]], object]) -> bytes:
    """BLOB with another content and the digest that fits to it: what only an attacker would write."""
    metadata = json.loads(BLOB[8 : 8 + int.from_bytes(BLOB[:8], "little")])["__metadata__"]
    content = json.loads(metadata["world"])
    change(content)
    text, tensors = json.dumps(content), load(BLOB)
    return save(tensors, {**metadata, "world": text, "digest": digest_of(text, tensors)})


CHANGES: list[Callable[[dict[str, Any]], object]] = [
    lambda content: content["header"].update(seed=-1),
    lambda content: content["header"].update(seed=2**63),
    lambda content: content["header"].update(seed=1.0),
    lambda content: content["header"].update(seed=True),
    lambda content: content["header"].update(prompt=None),
    lambda content: content["header"].update(created_at=float("nan")),
    lambda content: content["header"].update(extra="no base64!"),
    lambda content: content["header"].pop("viewpoint"),
    lambda content: content["branches"][0].update(num_chunks=4),
    lambda content: content["branches"][0].update(parent=0),
    lambda content: content["branches"][0].update(number=1),
    lambda content: content["branches"][2].update(parent=2),
    lambda content: content["branches"][2].update(at_chunk=4, num_chunks=4),
    lambda content: content["branches"][2].update(num_chunks=1),
    lambda content: content["branches"][2].update(parent=None),
    lambda content: content["branches"][2].update(prompt=3),
    lambda content: content["branches"].pop(1),
    lambda content: content.update(branches=[]),
    lambda content: content["branches"].extend([content["branches"][1]] * MAX_BRANCHES),
    lambda content: content["chunks"].extend([content["chunks"][0]] * MAX_CHUNKS),
    lambda content: content["chunks"].pop(1),
    lambda content: content["chunks"].append(content["chunks"][0]),
    lambda content: content["chunks"][0].update(prompt=9),
    lambda content: content["chunks"][0].update(latents_dtype="object"),
    lambda content: content["chunks"][0].update(latents_dtype="float64"),
    lambda content: content["chunks"][1].update(first_frame_id=56),
    lambda content: content["chunks"][1].update(branch=[]),
    lambda content: content["chunks"][1].update(applied_event_ids=["1"]),
    lambda content: content.update(chunks=7),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_history_that_no_store_could_have_written_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    unpack_world(rewritten(lambda content: None))
    with pytest.raises(SnapshotInvalid):
        unpack_world(rewritten(change))


def test_deep_and_long_metadata_are_refused() -> None:
    with pytest.raises(SnapshotInvalid):
        unpack_world((10**5).to_bytes(8, "little") + b"[" * 10**5)
    with pytest.raises(SnapshotInvalid, match="more than"):
        unpack_world((MAX_METADATA_BYTES + 1).to_bytes(8, "little"))


def test_a_bare_world_has_the_history_and_nothing_of_its_callers() -> None:
    world = branched_world()
    found = bare(world)
    assert [record.latents is twin.latents for record, twin in zip(found.records(), world.records(), strict=True)]
    assert found.branches[1].chunks[0] is found.branches[0].chunks[0]
    assert (found.head, found.next_frame_id, found.last_event_id) == (2, world.next_frame_id, 0)
    assert found.header.extra == b"" and found.branches[1].opening.extra == b""
    assert all(record.extra == b"" and record.applied_event_ids == () for record in found.records())


def test_importing_adds_a_world_that_can_be_opened_and_played_on() -> None:
    store = Store(StoreConfig(budget_bytes=10**9))
    imported = store.import_world(BLOB, session="copy")
    assert (imported.header.session, imported.branch, imported.chunk) == ("copy", 2, 2)
    store.open("copy", 1)
    store.commit("copy", 1, record_of(2, branch=2, first_frame_id=imported.next_frame_id))
    assert store.snapshot("copy").chunk == 3
    with pytest.raises(CommitConflict, match="'copy'"):
        store.import_world(BLOB, session="copy")
    assert store.import_world(BLOB).header.session == "a"


def test_importing_past_the_budget_or_damaged_adds_nothing() -> None:
    store = Store(StoreConfig(budget_bytes=1000))
    refusals: list[tuple[bytes, Any]] = [(BLOB, Overloaded), (BLOB[:-1], SnapshotInvalid)]
    for blob, error in refusals:
        with pytest.raises(error):
            store.import_world(blob)
    assert store.worlds() == () and store.bytes_used == 0
