"""Worlds that are made again from what their store has: the same seed, actions and prompts have to give the same bits.

Each chunk is made again from the chunks before it as they were committed, so that one that differs does not spoil those
that follow. Runs in this process, without Ray.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..memory.records import ChunkRecord
from ..memory.view import retrieve_from
from ..memory.world import Branch, World, forked, snapshot_of
from ..model.clip import Array, ClipInputs, MemoryQuery, MemoryView, plan_clip
from .engine import ChunkJob, Decoder, Engine
from .history import memory_of, state_of
from .pieces import pieces_from, pieces_of, warm_up_pieces

Frames = npt.NDArray[np.uint8]
PIECE_LATENTS = 2
"""As many as the service decodes at a time: on a GPU, only the same cuts give the same bits."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ReplayedChunk:
    """One chunk, as it was committed and as it was made again."""

    record: ChunkRecord
    frames: Frames
    """(F, H, W, 3) RGB of the committed latents."""
    are_latents_equal: bool
    """Bit for bit."""
    are_frames_equal: bool
    are_poses_equal: bool
    largest_difference: float
    """Of two latents' numbers."""

    @property
    def is_equal(self) -> bool:
        """Whether all of it is."""
        return self.are_latents_equal and self.are_frames_equal and self.are_poses_equal


def replay(world: World, engine: Engine, decoder: Decoder) -> Iterator[ReplayedChunk]:
    """Make every chunk of every branch again, in the order of their frame ids."""
    for number, branch in sorted(world.branches.items()):
        committed, made = _Stream(decoder, branch), _Stream(decoder, branch)
        for record in branch.chunks[branch.at_chunk :]:
            clip = _clip(world, number, record)
            latents = engine.step(ChunkJob(session=world.header.session, epoch=world.epoch, clip=clip)).latents
            frames = committed.decode(record.chunk, record.latents)
            yield ReplayedChunk(
                record=record,
                frames=frames,
                are_latents_equal=_are_equal(latents, record.latents),
                are_frames_equal=_are_equal(made.decode(record.chunk, latents), frames),
                are_poses_equal=_are_equal(clip.poses[-clip.num_new_frames :], record.poses),
                largest_difference=_largest_difference(latents, record.latents),
            )


def frames_of(world: World, decoder: Decoder, branch: int | None = None) -> Iterator[tuple[ChunkRecord, Frames]]:
    """The committed chunks of one branch (None: the one that grows) from the world's start, and their frames.

    Raises InputError on an unknown branch.
    """
    grown = world.branch(branch)
    stream = _Stream(decoder, replace(grown, at_chunk=0))
    for record in grown.chunks:
        yield record, stream.decode(record.chunk, record.latents)


def _clip(world: World, branch: int, record: ChunkRecord) -> ClipInputs:
    """What the record's chunk was made from."""
    before = world.branches[branch].chunks[: record.chunk]

    def retrieve(query: MemoryQuery) -> MemoryView:
        return memory_of(retrieve_from(before, query.query_poses, query.candidate_stop))

    past = snapshot_of(forked(world, world.header, branch, record.chunk), None)
    return plan_clip(
        replace(state_of(past), branch=record.noise_branch),
        record.keyboard,
        record.mouse,
        prompt=record.prompt,
        viewpoint=world.header.viewpoint,
        image=world.header.image,
        retrieve=retrieve,
    )


class _Stream:
    """A decoder's way through one branch, from its first own chunk on."""

    def __init__(self, decoder: Decoder, branch: Branch) -> None:
        self._decoder = decoder
        self._state: Any = None
        first = next(pieces_from(branch.at_chunk, 0, size=PIECE_LATENTS))
        for piece in warm_up_pieces(first, reach=decoder.reach_latents, size=PIECE_LATENTS):
            _, self._state = decoder.decode(
                branch.chunks[piece.chunk].latents[:, piece.start : piece.stop], self._state
            )

    def decode(self, chunk: int, latents: Array) -> Frames:
        """The chunk's frames."""
        frames = []
        for piece in pieces_of(chunk, PIECE_LATENTS):
            shown, self._state = self._decoder.decode(latents[:, piece.start : piece.stop], self._state)
            frames.append(shown)
        return np.concatenate(frames)


def _are_equal(one: Array, other: Array) -> bool:
    same_kind = (one.dtype, one.shape) == (other.dtype, other.shape)
    return same_kind and np.ascontiguousarray(one).tobytes() == np.ascontiguousarray(other).tobytes()


def _largest_difference(one: Array, other: Array) -> float:
    return float(np.abs(one.astype(np.float64) - other.astype(np.float64)).max())
