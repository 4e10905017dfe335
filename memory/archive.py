"""A world as one self-contained file: safetensors, with the rest of the world as JSON in its metadata.

Metadata keys: `format`, `version`, `world` (JSON: header, branches, chunks) and `digest`, the SHA-256 of all that is
read back. Tensors: `image`, and `<i>.latents`, `<i>.poses`, `<i>.keyboard`, `<i>.mouse` of the i-th chunk, where a
chunk that branches share is stored once. Numbers that safetensors' NumPy side cannot read, such as bfloat16, are
stored as unsigned integers of their width.

Reading replays the history, so a file that no store could have written is refused as well as a damaged one.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ..errors import CommitConflict, InputError, SnapshotInvalid
from .records import Array, ChunkRecord, WorldHeader
from .world import World, committed, new_world, rewound

FORMAT = "worldloom.world"
VERSION = "1"

_ARRAYS = ("latents", "poses", "keyboard", "mouse")
_FOREIGN_DTYPES = {name: np.dtype(getattr(ml_dtypes, name)) for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2")}
_MALFORMED = (SafetensorError, struct.error, LookupError, TypeError, ValueError, CommitConflict, InputError)


def pack_world(world: World) -> bytes:
    """The whole world: header, branches and chunks. Who owns it is left out."""
    records = world.records()
    tensors: dict[str, npt.NDArray[Any]] = {"image": np.ascontiguousarray(world.header.image)}
    for number, record in enumerate(records):
        tensors |= {f"{number}.{name}": _storable(getattr(record, name)) for name in _ARRAYS}
    text = json.dumps(
        {
            "header": _header_json(world.header),
            "first_branch": min(world.branches),
            "branches": [[branch.parent, branch.at_chunk] for _, branch in sorted(world.branches.items())[1:]],
            "chunks": [_chunk_json(record) for record in records],
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
    (header_bytes,) = struct.unpack_from("<Q", blob)
    metadata = json.loads(blob[8 : 8 + header_bytes])["__metadata__"]
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
    first = content["first_branch"]
    header = WorldHeader(
        image=tensors["image"], **{**content["header"], "extra": base64.b64decode(content["header"]["extra"])}
    )
    world = new_world(header.owned(), epoch=0, branch=first)
    records = [_record(number, chunk, tensors) for number, chunk in enumerate(content["chunks"])]
    for branch, origin in enumerate([None, *content["branches"]], start=first):
        if origin is not None:
            world = rewound(world, *origin)
        for record in records:
            if record.branch == branch:
                world = committed(world, record)
    if len(world.records()) != len(records):
        raise ValueError(f"{len(records) - len(world.records())} chunks belong to no branch")
    return world


def _record(number: int, chunk: dict[str, Any], tensors: dict[str, npt.NDArray[Any]]) -> ChunkRecord:
    latents, poses, keyboard, mouse = (tensors[f"{number}.{name}"] for name in _ARRAYS)
    dtype = chunk["latents_dtype"]
    return ChunkRecord(
        branch=chunk["branch"],
        chunk=chunk["chunk"],
        latents=latents.view(_FOREIGN_DTYPES.get(dtype) or np.dtype(dtype)),
        poses=poses,
        keyboard=keyboard,
        mouse=mouse,
        prompt=chunk["prompt"],
        first_frame_id=chunk["first_frame_id"],
        applied_event_ids=tuple(chunk["applied_event_ids"]),
        extra=base64.b64decode(chunk["extra"]),
    ).owned()


def _storable(array: Array) -> npt.NDArray[Any]:
    return array.view(f"u{array.itemsize}") if array.dtype.name in _FOREIGN_DTYPES else array


def _header_json(header: WorldHeader) -> dict[str, Any]:
    return {
        "session": header.session,
        "preset": header.preset,
        "seed": header.seed,
        "prompt": header.prompt,
        "viewpoint": header.viewpoint,
        "created_at": header.created_at,
        "extra": base64.b64encode(header.extra).decode(),
    }


def _chunk_json(record: ChunkRecord) -> dict[str, Any]:
    return {
        "branch": record.branch,
        "chunk": record.chunk,
        "prompt": record.prompt,
        "first_frame_id": record.first_frame_id,
        "applied_event_ids": record.applied_event_ids,
        "extra": base64.b64encode(record.extra).decode(),
        "latents_dtype": record.latents.dtype.name,
    }


def _digest(text: str, tensors: dict[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, array in sorted(tensors.items()):
        digest.update(f"\n{name} {array.dtype.name} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
