"""What the store takes and gives: plain values of NumPy arrays, safe to pickle and to write to disk.

A world is a tree of branches, and a branch is a run of chunks. (session, branch, chunk) names a chunk, and what is
once committed there never changes. F counts video frames, C×h×w is the size of a latent.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WorldHeader:
    """What a world starts from."""

    session: str
    preset: str
    seed: int
    prompt: str
    viewpoint: str
    image: npt.NDArray[np.uint8]
    """(H, W, 3) RGB start image."""
    created_at: float
    """Seconds since the Unix epoch."""
    extra: bytes = b""
    """The caller's own; kept and given back as it is."""

    def owned(self) -> WorldHeader:
        """The same with an image of its own that nobody can write to."""
        return replace(self, image=_owned(self.image, np.uint8))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ChunkRecord:
    """One chunk: what was made, from which actions, and what was told to clients."""

    branch: int
    chunk: int
    latents: Array
    """(C, n, h, w) new latents in any dtype, bfloat16 included."""
    poses: Float64
    """(F, 5) of the new frames; F is 4n - 3 in chunk 0 and 4n later."""
    keyboard: Float32
    """(F, 6) action rows of the new frames."""
    mouse: Float32
    """(F, 2) likewise."""
    prompt: str
    """The prompt in force."""
    first_frame_id: int
    """Frame id of the first of the F frames. Frame ids never go back in a world, whatever the branch."""
    applied_event_ids: tuple[int, ...] = ()
    """Client events that first took effect in this chunk."""
    extra: bytes = b""
    """The caller's own; kept and given back as it is."""
    drawn_in: int | None = None
    """The branch that it was made in, where a fork keeps it under another branch's number."""

    @property
    def noise_branch(self) -> int:
        """The branch whose noise it was made from."""
        return self.branch if self.drawn_in is None else self.drawn_in

    @property
    def num_frames(self) -> int:
        """F."""
        return len(self.poses)

    @property
    def next_frame_id(self) -> int:
        """The first frame id after this chunk."""
        return self.first_frame_id + self.num_frames

    def owned(self) -> ChunkRecord:
        """The same with arrays of its own that nobody can write to, and that keep no larger buffer alive."""
        return replace(
            self,
            latents=_owned(self.latents, self.latents.dtype),
            poses=_owned(self.poses, np.float64),
            keyboard=_owned(self.keyboard, np.float32),
            mouse=_owned(self.mouse, np.float32),
        )

    def arrays(self) -> tuple[Array, ...]:
        """All arrays of the record."""
        return self.latents, self.poses, self.keyboard, self.mouse

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(array.nbytes for array in self.arrays())


Record = TypeVar("Record", WorldHeader, ChunkRecord)


def _owned(array: Array, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    copy = np.array(array, dtype, order="C")
    copy.setflags(write=False)
    return copy


def same_content(one: Record, other: Record) -> bool:
    """Whether all fields are equal, arrays bit by bit in shape and dtype."""
    return all(_same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))


def _same(one: object, other: object) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return (one.dtype, one.shape) == (other.dtype, other.shape) and one.tobytes() == other.tobytes()
    return one == other


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """A chunk has happened. The same commit gives the same receipt, however often it is sent."""

    session: str
    branch: int
    chunk: int
    next_frame_id: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RetrievedView:
    """What retrieval found for M query frames. Field by field the same as `MemoryView` of the model's side of the seam:
    neither imports the other, and whoever stands between them copies the fields over."""

    latents: Array
    """(C, M, h, w) in the dtype that was committed."""
    frame_idx: Int64
    """(M,) frames chosen, the sink frame in the last slot."""
    frame_idx_raw: Int64
    """(M,) without the sink frame."""
    latent_idx: Int64
    """(M,) latent frame of each chosen frame."""
    overlap: Float32
    """(M,) share of the query's view that the raw choice sees, in [0, 1]."""
    poses: Float64
    """(M, 5) pose at the last frame of each chosen latent's block of four."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Snapshot:
    """All that a new owner needs to go on with one branch of a world. F is 0 before the first chunk."""

    header: WorldHeader
    branch: int
    chunk: int
    """Chunks in the branch, which is the number of the next one."""
    poses: Float64
    """(F, 5) of all frames."""
    past: Array | None
    """(C, 4, h, w) the last four latents; None before the first chunk."""
    keyboard: Float32
    """(F, 6) all action rows."""
    mouse: Float32
    """(F, 2) likewise."""
    prompt: str
    """The prompt in force."""
    next_frame_id: int
    """Above every frame id of the world, whatever the branch."""
    last_event_id: int
    """The highest client event that took effect anywhere in the world, a rewind's among them; 0 if none did."""
    last_extra: bytes
    """`extra` of the last chunk; empty in a branch without a chunk of its own."""
    opening_extra: bytes = b""
    """`extra` of the rewind that opened a branch without a chunk of its own."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WorldSummary:
    """One world, for listings."""

    header: WorldHeader
    epoch: int
    """Of the writer that opened it last."""
    branch: int
    """The one that grows."""
    chunk: int
    """Chunks in it."""
    next_frame_id: int
    last_event_id: int
    bytes_used: int
    """Of its arrays; what forks share counts in each of them."""
