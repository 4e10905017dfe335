"""A world as one self-contained file: safetensors, with the rest of the world as JSON in its metadata.

    metadata   format    "worldloom.world"
               version   "2"; a reader refuses others
               world     JSON: header, branches, prompts, chunks
               digest    SHA-256, in hex, of `world`, then of each tensor in order of names: a line feed, name, space,
                         dtype, space, shape as Python writes it, a line feed, and the numbers as bytes
    tensors    image     (H, W, 3) uint8
               <i>.latents, <i>.poses, <i>.keyboard, <i>.mouse of the i-th of `chunks`; see `records.ChunkRecord`

Chunks come branch by branch, and one that branches share is there once, in the branch that made it. `branches` are in
order of their numbers, which have no gaps: the first has no parent, each later one grew from its `parent`'s first
`at_chunk` chunks. `num_chunks` are those that a branch began with, and `prompt` the one that came into force there.
A chunk's `prompt` is its place in `prompts`. Numbers that safetensors' NumPy
side cannot read, such as bfloat16, are stored as unsigned integers of their width; `latents_dtype` names them.

Files come from anywhere. Reading replays the history, so that a file that no store could have written is refused as
well as a damaged one, and no file makes it work for longer than its size allows.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections import defaultdict
from dataclasses import replace
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..errors import CommitConflict, InputError, SnapshotInvalid
from .archive_json import (
    at_most,
    branch_json,
    bytes_of,
    chunk_json,
    count_of,
    header_json,
    header_of,
    opening_of,
    text_of,
)
from .records import Array, ChunkRecord
from .world import MAX_BRANCHES, Branch, World, committed, new_world

FORMAT = "worldloom.world"
VERSION = "2"
MAX_CHUNKS = 1 << 16
MAX_METADATA_BYTES = 64 << 20

_ARRAYS = ("latents", "poses", "keyboard", "mouse")
_FOREIGN_DTYPES = {name: np.dtype(getattr(ml_dtypes, name)) for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")}
_LATENTS_DTYPES = {**_FOREIGN_DTYPES, **{name: np.dtype(name) for name in ("float16", "float32", "float64")}}
_MALFORMED = (
    SafetensorError, struct.error, LookupError, TypeError, ValueError, OverflowError, RecursionError,
    CommitConflict, InputError,
)  # fmt: skip


def pack_world(world: World) -> bytes:
    """The whole world: header, branches and chunks. Who owns it is left out."""
    records = world.records()
    tensors: dict[str, npt.NDArray[Any]] = {"image": np.ascontiguousarray(world.header.image)}
    for number, record in enumerate(records):
        tensors |= {f"{number}.{name}": _storable(getattr(record, name)) for name in _ARRAYS}
    prompts = {prompt: number for number, prompt in enumerate(dict.fromkeys(record.prompt for record in records))}
    text = json.dumps(
        {
            "header": header_json(world.header),
            "branches": [branch_json(number, branch) for number, branch in sorted(world.branches.items())],
            "prompts": list(prompts),
            "chunks": [chunk_json(record, prompts[record.prompt]) for record in records],
        }
    )
    digest = _digest(text, tensors)
    return save(tensors, {"format": FORMAT, "version": VERSION, "world": text, "digest": digest})


def unpack_world(blob: bytes) -> World:
    """The world of `pack_world`, without an owner (epoch 0). Raises SnapshotInvalid on anything else."""
    try:
        return _unpack(blob)
    except _MALFORMED as damage:
        raise SnapshotInvalid(
            f"{len(blob)} bytes do not hold a world: {type(damage).__name__}: {damage}",
            hint="The file is cut off or not from worldloom. Export the world again.",
        ) from damage


def _unpack(blob: bytes) -> World:
    (size,) = struct.unpack_from("<Q", blob)
    if size > MAX_METADATA_BYTES:
        raise ValueError(f"the metadata have {size} bytes, more than {MAX_METADATA_BYTES}")
    metadata = json.loads(blob[8 : 8 + size])["__metadata__"]
    kind, version = metadata["format"], metadata["version"]
    if (kind, version) != (FORMAT, VERSION):
        raise SnapshotInvalid(
            f"the file is {kind!r} version {version!r}, this reads {FORMAT!r} version {VERSION!r}",
            hint="Import it with the release of worldloom that wrote it.",
        )
    tensors = load(blob)
    text = metadata["world"]
    if _digest(text, tensors) != metadata["digest"]:
        raise SnapshotInvalid("the world's digest does not match", hint="The file is damaged. Export the world again.")
    return _replayed(json.loads(text), tensors)


def _replayed(content: dict[str, Any], tensors: dict[str, npt.NDArray[Any]]) -> World:
    """The world, made branch by branch as a store would have."""
    branches = at_most(MAX_BRANCHES, content["branches"])
    chunks_of = _chunks_by_branch(content, tensors)
    first = count_of(branches[0]["number"])
    world = new_world(header_of(content["header"], tensors["image"]), epoch=0, branch=first)
    grown: dict[int, Branch] = {}
    for number, origin in enumerate(branches, start=first):
        branch = _opened(origin, number, grown)
        last_event_id = max(world.last_event_id, branch.opening.key)
        # One branch at a time: a commit copies all that are there.
        world = replace(world, branches={number: branch}, head=number, last_event_id=last_event_id)
        for record in chunks_of.pop(number, ()):
            world = committed(world, record)
        grown[number] = world.branches[number]
        if branch.opening.num_chunks > len(grown[number].chunks):
            raise ValueError(
                f"branch {number} began with {branch.opening.num_chunks} chunks, of which some are missing"
            )
    if chunks_of:
        raise ValueError(f"there are chunks of the branches {sorted(chunks_of)}, which the world has not")
    return replace(world, branches=grown)


def _opened(origin: dict[str, Any], number: int, grown: dict[int, Branch]) -> Branch:
    """A branch before it has chunks of its own."""
    if origin["number"] != number:
        raise ValueError(f"branch {origin['number']!r:.40} comes where {number} does")
    opening = opening_of(origin)
    if not grown:
        if origin["parent"] is not None or origin["at_chunk"] != 0:
            raise ValueError(f"the first branch grew from branch {origin['parent']!r:.40}")
        return Branch(opening=opening)
    parent, at_chunk = count_of(origin["parent"]), count_of(origin["at_chunk"])
    shared = grown[parent].chunks
    if not at_chunk == opening.num_chunks <= len(shared):
        raise ValueError(f"branch {parent} has {len(shared)} chunks and cannot be cut at {at_chunk}")
    return Branch(parent=parent, at_chunk=at_chunk, chunks=shared[:at_chunk], opening=opening)


def _chunks_by_branch(
    content: dict[str, Any], tensors: dict[str, npt.NDArray[Any]]
) -> defaultdict[int, list[ChunkRecord]]:
    found: defaultdict[int, list[ChunkRecord]] = defaultdict(list)
    prompts = [text_of(prompt) for prompt in content["prompts"]]
    for number, chunk in enumerate(at_most(MAX_CHUNKS, content["chunks"])):
        record = _record(number, chunk, tensors, prompts[count_of(chunk["prompt"])])
        found[record.branch].append(record)
    return found


def _record(number: int, chunk: dict[str, Any], tensors: dict[str, npt.NDArray[Any]], prompt: str) -> ChunkRecord:
    latents, poses, keyboard, mouse = (tensors[f"{number}.{name}"] for name in _ARRAYS)
    dtype = _LATENTS_DTYPES[chunk["latents_dtype"]]
    if latents.dtype != _stored_dtype(dtype):
        raise ValueError(f"latents of chunk {number} are stored as {latents.dtype}, not as {_stored_dtype(dtype)}")
    return ChunkRecord(
        branch=count_of(chunk["branch"]),
        chunk=count_of(chunk["chunk"]),
        latents=latents.view(dtype),
        poses=poses,
        keyboard=keyboard,
        mouse=mouse,
        prompt=prompt,
        first_frame_id=count_of(chunk["first_frame_id"]),
        applied_event_ids=tuple(map(count_of, chunk["applied_event_ids"])),
        extra=bytes_of(chunk["extra"]),
        drawn_in=None if chunk["drawn_in"] is None else count_of(chunk["drawn_in"]),
    ).owned()


def _stored_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"u{dtype.itemsize}") if dtype.name in _FOREIGN_DTYPES else dtype


def _storable(array: Array) -> npt.NDArray[Any]:
    return array.view(_stored_dtype(array.dtype))


def _digest(text: str, tensors: dict[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(tensors.items()):
        digest.update(f"\n{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
