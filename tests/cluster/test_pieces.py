"""Pieces cover every latent and frame once, and a lost stream starts again where it must."""

from __future__ import annotations

from itertools import islice, pairwise

from hypothesis import given
from hypothesis import strategies as st
from worldloom.cluster.pieces import Piece, pieces_from, pieces_of, warm_up_pieces
from worldloom.model.clip import FIRST_CLIP_FRAMES, FIRST_CLIP_LATENTS, NEW_FRAMES, NEW_LATENTS

SIZES = st.integers(1, 20)
CHUNKS = st.integers(0, 4)


@given(CHUNKS, SIZES)
def test_the_pieces_of_a_chunk_cover_its_latents_and_frames_without_a_gap(chunk: int, size: int) -> None:
    pieces = pieces_of(chunk, size)
    assert pieces[0].start == pieces[0].first_frame == 0
    assert pieces[-1].stop == (NEW_LATENTS if chunk else FIRST_CLIP_LATENTS)
    assert pieces[-1].end_frame == (NEW_FRAMES if chunk else FIRST_CLIP_FRAMES)
    for one, following in pairwise(pieces):
        assert (one.stop, one.end_frame) == (following.start, following.first_frame)


@given(CHUNKS, st.integers(0, 39), SIZES)
def test_a_stream_resumes_in_the_piece_that_holds_the_frame(chunk: int, frame: int, size: int) -> None:
    first, second = islice(pieces_from(chunk, frame, size=size), 2)
    assert first.chunk == chunk and first.first_frame <= frame < first.end_frame
    assert second.chunk == chunk + (first == pieces_of(chunk, size)[-1])


@given(CHUNKS, st.integers(0, 39), SIZES, st.integers(0, 40))
def test_a_warm_up_ends_where_the_stream_resumes_and_reaches_far_enough(
    chunk: int, frame: int, size: int, reach: int
) -> None:
    first = next(pieces_from(chunk, frame, size=size))
    seen = warm_up_pieces(first, reach=reach, size=size)
    whole = [*seen, first]
    for one, following in pairwise(whole):
        assert following == next(p for p in islice(pieces_from(one.chunk, one.first_frame, size=size), 1, 2))
    at_start = whole[0] == Piece(chunk=0, start=0, stop=min(size, FIRST_CLIP_LATENTS))
    assert at_start or sum(piece.size for piece in seen) >= reach
    assert sum(piece.size for piece in seen[1:]) < reach or not seen
