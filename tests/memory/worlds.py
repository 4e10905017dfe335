"""Small worlds for the tests of the store."""

from __future__ import annotations

import numpy as np
from worldloom.memory.records import ChunkRecord, WorldHeader


def header_of(session: str, seed: int = 5) -> WorldHeader:
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    return WorldHeader(
        session=session,
        preset="test",
        seed=seed,
        prompt="a garden",
        viewpoint="first_person",
        image=image,
        created_at=1e9,
        extra=b"\x00token",
    )


def record_of(
    chunk: int,
    *,
    branch: int = 0,
    content: int = 0,
    first_frame_id: int | None = None,
    dtype: np.typing.DTypeLike = np.float32,
    events: tuple[int, ...] = (),
) -> ChunkRecord:
    """A chunk of random numbers that depend on its place and `content`; frame ids count on without gaps by default."""
    random = np.random.default_rng([chunk, branch, content])
    num_latents = 15 if chunk == 0 else 10
    num_frames = 57 if chunk == 0 else 40
    poses = random.uniform(-1, 1, (num_frames, 5)) * [100, 100, 0, 30, 180]
    return ChunkRecord(
        branch=branch,
        chunk=chunk,
        latents=random.normal(size=(2, num_latents, 1, 3)).astype(dtype),
        poses=poses.astype(np.float32).astype(np.float64),
        keyboard=random.integers(0, 2, (num_frames, 6)).astype(np.float32),
        mouse=random.normal(size=(num_frames, 2)).astype(np.float32),
        prompt=f"prompt {content}",
        first_frame_id=(57 + 40 * (chunk - 1) if chunk else 0) if first_frame_id is None else first_frame_id,
        applied_event_ids=events,
        extra=bytes([content, chunk]),
    )
