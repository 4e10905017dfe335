"""One world's history as an immutable value: every change gives a new world that shares its chunks with the old one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..errors import CommitConflict, InputError
from .records import ChunkRecord, Snapshot, WorldHeader, WorldSummary, same_content

PAST_LATENTS = 4
"""How many latents a clip looks back."""
MAX_BRANCHES = 1 << 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Opening:
    """How a branch began, and what goes on with it before it has a chunk of its own."""

    num_chunks: int = 0
    """Chunks that it began with."""
    key: int = 0
    """The number that the rewind was asked for with; 0: none."""
    prompt: str | None = None
    """The prompt that came into force; None: that of the chunk before."""
    extra: bytes = b""
    """The caller's own; kept and given back as it is."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Branch:
    """A run of chunks from the world's start. The first `at_chunk` of them are those of the branch it grew from."""

    parent: int | None = None
    at_chunk: int = 0
    chunks: tuple[ChunkRecord, ...] = ()
    opening: Opening = Opening()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class World:
    header: WorldHeader
    epoch: int
    """Of the writer that opened the world last."""
    branches: Mapping[int, Branch]
    head: int
    """The branch that grows: the newest."""
    next_frame_id: int = 0
    last_event_id: int = 0

    def records(self) -> list[ChunkRecord]:
        """Every chunk of every branch once."""
        return [record for branch in self.branches.values() for record in branch.chunks[branch.at_chunk :]]

    @property
    def bytes_used(self) -> int:
        """Bytes of the start image and of every chunk's arrays."""
        return self.header.image.nbytes + sum(record.nbytes for record in self.records())

    def branch(self, branch: int | None) -> Branch:
        """A branch by number; None is the one that grows. Raises InputError on an unknown one."""
        number = self.head if branch is None else branch
        if number not in self.branches:
            raise InputError(
                f"world {self.header.session!r} has no branch {number}, only {sorted(self.branches)}",
                hint="Use a branch that the world's snapshot or summary names.",
            )
        return self.branches[number]


def new_world(header: WorldHeader, *, epoch: int, branch: int = 0) -> World:
    """A world without chunks, whose first branch has the given number."""
    return World(header=header, epoch=epoch, branches={branch: Branch()}, head=branch)


def committed(world: World, record: ChunkRecord) -> World:
    """The world with one more chunk, or the same world where the chunk is there already with the same content.

    Raises CommitConflict where other content is there, where chunks before it are missing, on a branch that no longer
    grows and on frame ids that were used before; ValueError on a record whose arrays do not fit each other.
    """
    branch = world.branch(record.branch)
    if 0 <= record.chunk < len(branch.chunks):
        _check_same(world, branch.chunks[record.chunk], record)
        return world
    _check_place(world, branch, record)
    _check_shapes(branch, record)
    grown = replace(branch, chunks=(*branch.chunks, record))
    return replace(
        world,
        branches={**world.branches, record.branch: grown},
        next_frame_id=record.next_frame_id,
        last_event_id=max(world.last_event_id, *record.applied_event_ids, 0),
    )


def rewound(world: World, branch: int | None, chunk: int, *, key: int = 0, extra: bytes = b"") -> World:
    """The world with a new growing branch of the first `chunk` chunks of a branch; the same world where a branch has
    been opened with the `key` (> 0) before. Keys are event ids.

    Raises InputError past the branch's end, and where there are MAX_BRANCHES.
    """
    if key and any(old.opening.key == key for old in world.branches.values()):
        return world
    if len(world.branches) >= MAX_BRANCHES:
        raise InputError(
            f"world {world.header.session!r} has {MAX_BRANCHES} branches",
            hint="Fork the world, or create a new one.",
        )
    parent = world.head if branch is None else branch
    chunks = _first_chunks(world, parent, chunk)
    opening = Opening(num_chunks=chunk, key=key, prompt=_prompt_at(world.branches[parent], chunk), extra=extra)
    new = Branch(parent=parent, at_chunk=chunk, chunks=chunks, opening=opening)
    number = max(world.branches) + 1
    return replace(
        world,
        branches={**world.branches, number: new},
        head=number,
        last_event_id=max(world.last_event_id, key),
    )


def bare(world: World) -> World:
    """The world without what callers keep with it and without its clients' events: what it is, not who played it."""
    found: dict[int, ChunkRecord] = {}

    def bared(record: ChunkRecord) -> ChunkRecord:
        return found.setdefault(id(record), replace(record, applied_event_ids=(), extra=b""))

    branches = {
        number: replace(
            branch,
            chunks=tuple(map(bared, branch.chunks)),
            opening=replace(branch.opening, key=0, extra=b""),
        )
        for number, branch in world.branches.items()
    }
    return replace(world, header=replace(world.header, extra=b""), branches=branches, last_event_id=0)


def forked(
    world: World, header: WorldHeader, branch: int | None, chunk: int | None, *, prompt: str | None = None
) -> World:
    """Another world with the first `chunk` chunks (None: all) of a branch of this one, all under that branch's number.

    A `prompt` is in force from there on. The world shares the arrays, has no owner yet, and counts frame ids and events
    on from what it shares. It goes on with the same noise as the branch would, so the same actions give the same
    future.
    """
    number = world.head if branch is None else branch
    source = world.branch(number)
    shared = source.chunks if chunk is None else _first_chunks(world, number, chunk)
    chunks = tuple(_moved(record, number) for record in shared)
    prompt = _prompt_at(source, len(shared)) if prompt is None else prompt
    events = [event for record in chunks for event in record.applied_event_ids]
    return World(
        header=header,
        epoch=0,
        branches={number: Branch(chunks=chunks, opening=Opening(num_chunks=len(chunks), prompt=prompt))},
        head=number,
        next_frame_id=max((record.next_frame_id for record in chunks), default=0),
        last_event_id=max(events, default=0),
    )


def _prompt_at(branch: Branch, chunk: int) -> str | None:
    """What a new branch that begins after the first `chunk` chunks of this one inherits besides them."""
    return branch.opening.prompt if chunk == branch.opening.num_chunks else None


def _moved(record: ChunkRecord, branch: int) -> ChunkRecord:
    """The record under another branch's number."""
    made_in = record.noise_branch
    return replace(record, branch=branch, drawn_in=None if made_in == branch else made_in)


def snapshot_of(world: World, branch: int | None) -> Snapshot:
    """What goes on with a branch; None is the one that grows."""
    number = world.head if branch is None else branch
    grown = world.branch(number)
    chunks, opening = grown.chunks, grown.opening
    last = chunks[-1] if chunks else None
    prompt = last.prompt if last else world.header.prompt
    has_own = len(chunks) > opening.num_chunks
    return Snapshot(
        header=world.header,
        branch=number,
        chunk=len(chunks),
        poses=np.concatenate([np.zeros((0, 5)), *(record.poses for record in chunks)]),
        past=last.latents[:, -PAST_LATENTS:] if last else None,
        keyboard=np.concatenate([np.zeros((0, 6), np.float32), *(record.keyboard for record in chunks)]),
        mouse=np.concatenate([np.zeros((0, 2), np.float32), *(record.mouse for record in chunks)]),
        prompt=prompt if has_own or opening.prompt is None else opening.prompt,
        next_frame_id=world.next_frame_id,
        last_event_id=world.last_event_id,
        last_extra=last.extra if last and has_own else b"",
        opening_extra=b"" if has_own else opening.extra,
    )


def summary_of(world: World) -> WorldSummary:
    """The world for listings."""
    return WorldSummary(
        header=world.header,
        epoch=world.epoch,
        branch=world.head,
        chunk=len(world.branch(None).chunks),
        next_frame_id=world.next_frame_id,
        last_event_id=world.last_event_id,
        bytes_used=world.bytes_used,
    )


def _first_chunks(world: World, branch: int, chunk: int) -> tuple[ChunkRecord, ...]:
    chunks = world.branch(branch).chunks
    if not 0 <= chunk <= len(chunks):
        raise InputError(
            f"branch {branch} of world {world.header.session!r} has {len(chunks)} chunks and cannot be cut at {chunk}",
            hint=f"Give a chunk from 0 (the start image) to {len(chunks)}.",
        )
    return chunks[:chunk]


def _check_place(world: World, branch: Branch, record: ChunkRecord) -> None:
    place = f"chunk {record.chunk} of branch {record.branch} in world {world.header.session!r}"
    if record.chunk != len(branch.chunks):
        raise CommitConflict(
            f"{place} does not come next: the branch has {len(branch.chunks)} chunks",
            hint="Take a snapshot and go on from its chunk.",
        )
    if record.branch != world.head:
        raise CommitConflict(
            f"{place} is too late: the world goes on in branch {world.head}",
            hint="Take a snapshot and go on from its branch.",
        )
    if record.first_frame_id < world.next_frame_id:
        raise CommitConflict(
            f"{place} starts at frame id {record.first_frame_id}, but ids below {world.next_frame_id} are taken",
            hint="Count frame ids on from the snapshot's next_frame_id.",
        )


def _check_same(world: World, there: ChunkRecord, record: ChunkRecord) -> None:
    if not same_content(there, record):
        raise CommitConflict(
            f"chunk {record.chunk} of branch {record.branch} in world {world.header.session!r} "
            "is committed with other content",
            hint="Take a snapshot and go on from its chunk.",
        )


def _check_shapes(branch: Branch, record: ChunkRecord) -> None:
    num_latents, num_frames = record.latents.shape[1], record.num_frames
    if num_frames != 4 * num_latents - (3 if record.chunk == 0 else 0):
        raise ValueError(f"chunk {record.chunk} has {num_latents} latents and {num_frames} frames")
    if num_latents < PAST_LATENTS:
        raise ValueError(f"chunk {record.chunk} has {num_latents} latents, the next clip looks back {PAST_LATENTS}")
    shapes = record.poses.shape, record.keyboard.shape, record.mouse.shape
    if shapes != ((num_frames, 5), (num_frames, 6), (num_frames, 2)):
        raise ValueError(f"poses, keyboard and mouse of {num_frames} frames have shapes {shapes}")
    if branch.chunks and _latent_kind(record) != _latent_kind(branch.chunks[0]):
        raise ValueError(f"latents {_latent_kind(record)} follow {_latent_kind(branch.chunks[0])}")


def _latent_kind(record: ChunkRecord) -> tuple[int, tuple[int, ...], str]:
    """(C, (h, w), dtype)"""
    latents = record.latents
    return latents.shape[0], latents.shape[2:], latents.dtype.name
