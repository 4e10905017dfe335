"""How a chunk's latents are cut into the pieces that a decoder takes at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..model.clip import FIRST_CLIP_LATENTS, NEW_LATENTS

FRAMES_PER_LATENT = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Latents [start, stop) of a chunk, and the frames [first_frame, end_frame) of the chunk that they decode to."""

    chunk: int
    start: int
    stop: int

    @property
    def first_frame(self) -> int:
        """Number of the first frame within the chunk."""
        return _frames_before(self.chunk, self.start)

    @property
    def end_frame(self) -> int:
        """One past the last frame within the chunk."""
        return _frames_before(self.chunk, self.stop)

    @property
    def size(self) -> int:
        """Latents."""
        return self.stop - self.start


def pieces_of(chunk: int, size: int) -> tuple[Piece, ...]:
    """The pieces of a chunk, `size` latents each and what is left in the last one. The cut never depends on more: a
    stream that is decoded again is cut in the same places, and so gives the same bits."""
    latents = FIRST_CLIP_LATENTS if chunk == 0 else NEW_LATENTS
    return tuple(Piece(chunk=chunk, start=start, stop=min(start + size, latents)) for start in range(0, latents, size))


def pieces_from(chunk: int, frame: int, *, size: int) -> Iterator[Piece]:
    """The pieces from the one that holds frame `frame` of chunk `chunk` on, without end."""
    while True:
        yield from (piece for piece in pieces_of(chunk, size) if piece.end_frame > frame)
        chunk, frame = chunk + 1, 0


def warm_up_pieces(first: Piece, *, reach: int, size: int) -> tuple[Piece, ...]:
    """The pieces before `first` that a decoder has to see again: at least `reach` latents, or all from the start."""
    before: list[Piece] = []
    chunk, stop = first.chunk, first.start
    while chunk >= 0:
        for piece in reversed(pieces_of(chunk, size)):
            if piece.stop <= stop:
                if sum(one.size for one in before) >= reach:
                    return tuple(before)
                before.insert(0, piece)
        chunk, stop = chunk - 1, FIRST_CLIP_LATENTS
    return tuple(before)


def _frames_before(chunk: int, latent: int) -> int:
    """Frames of the chunk that come before this latent of it. A world's first latent is a single frame."""
    if chunk > 0:
        return latent * FRAMES_PER_LATENT
    return max(0, latent * FRAMES_PER_LATENT - 3)
