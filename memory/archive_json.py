"""The JSON of an archive, in and out. Reading raises ValueError, KeyError or TypeError on what was never written."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .records import ChunkRecord, WorldHeader
from .world import Branch, Opening


def header_json(header: WorldHeader) -> dict[str, Any]:
    return {
        "session": header.session,
        "preset": header.preset,
        "seed": header.seed,
        "prompt": header.prompt,
        "viewpoint": header.viewpoint,
        "created_at": header.created_at,
        "extra": base64_of(header.extra),
    }


def header_of(content: dict[str, Any], image: npt.NDArray[Any]) -> WorldHeader:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"the start image is an array {image.shape} of {image.dtype}")
    created_at = content["created_at"]
    if not isinstance(created_at, float | int) or not math.isfinite(created_at):
        raise ValueError(f"the world was created at {created_at!r}")
    return WorldHeader(
        session=text_of(content["session"]),
        preset=text_of(content["preset"]),
        seed=count_of(content["seed"]),
        prompt=text_of(content["prompt"]),
        viewpoint=text_of(content["viewpoint"]),
        image=image,
        created_at=float(created_at),
        extra=bytes_of(content["extra"]),
    ).owned()


def branch_json(number: int, branch: Branch) -> dict[str, Any]:
    opening = branch.opening
    return {
        "number": number,
        "parent": branch.parent,
        "at_chunk": branch.at_chunk,
        "num_chunks": opening.num_chunks,
        "key": opening.key,
        "prompt": opening.prompt,
        "extra": base64_of(opening.extra),
    }


def opening_of(content: dict[str, Any]) -> Opening:
    prompt = content["prompt"]
    return Opening(
        num_chunks=count_of(content["num_chunks"]),
        key=count_of(content["key"]),
        prompt=None if prompt is None else text_of(prompt),
        extra=bytes_of(content["extra"]),
    )


def chunk_json(record: ChunkRecord, prompt: int) -> dict[str, Any]:
    return {
        "branch": record.branch,
        "chunk": record.chunk,
        "prompt": prompt,
        "first_frame_id": record.first_frame_id,
        "applied_event_ids": record.applied_event_ids,
        "extra": base64_of(record.extra),
        "latents_dtype": record.latents.dtype.name,
        "drawn_in": record.drawn_in,
    }


def count_of(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(f"{value!r:.40} is no count")
    return value


def text_of(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} is no text")
    return value


def base64_of(value: bytes) -> str:
    return base64.b64encode(value).decode()


def bytes_of(value: object) -> bytes:
    """What `base64_of` wrote."""
    return base64.b64decode(text_of(value), validate=True)


def at_most(limit: int, items: list[Any]) -> list[Any]:
    if len(items) > limit:
        raise ValueError(f"there are {len(items)} items where {limit} are allowed")
    return items
