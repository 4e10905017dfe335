"""Cutting the picture into tiles."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from worldloom.errors import DoesNotFit
from worldloom.parallel.apply import assemble
from worldloom.parallel.tiles import cut_grid, even_counts

MG3 = (22, 40)


@given(rows=st.integers(1, 12), columns=st.integers(1, 12), count=st.integers(1, 24))
def test_every_token_lies_in_one_tile(rows: int, columns: int, count: int) -> None:
    try:
        tiles = cut_grid((rows, columns), count)
    except DoesNotFit:
        return
    seen = torch.zeros(rows, columns, dtype=torch.int)
    for tile in tiles:
        seen[tile.slices((1, 1))] += 1
    assert len(tiles) == count
    assert (seen == 1).all()
    assert min(tile.tokens for tile in tiles) > 0


@pytest.mark.parametrize("count", [1, 2, 4, 5, 8, 10, 16])
def test_ranks_that_divide_a_side_get_equal_tiles(count: int) -> None:
    tokens = {tile.tokens for tile in cut_grid(MG3, count)}
    assert max(tokens) <= -(-880 // count) * 1.05


@pytest.mark.parametrize("count", [3, 6, 7])
def test_other_ranks_lose_at_most_six_percent(count: int) -> None:
    assert max(tile.tokens for tile in cut_grid(MG3, count)) <= 880 / count * 1.06


def test_more_tiles_than_the_grid_has_are_refused() -> None:
    with pytest.raises(DoesNotFit, match="2×3 tokens does not split into 7"):
        cut_grid((2, 3), 7)


@given(count=st.integers(1, 6), patch=st.sampled_from([(1, 1), (2, 2)]))
def test_tiles_make_the_picture_again(count: int, patch: tuple[int, int]) -> None:
    picture = torch.arange(2 * 4 * patch[0] * 6 * patch[1]).view(2, 4 * patch[0], 6 * patch[1])
    tiles = cut_grid((4, 6), count)
    parts = [picture[(..., *tile.slices(patch))] for tile in tiles]
    assert torch.equal(assemble(parts, tiles, patch), picture)


@given(total=st.integers(0, 100), parts=st.integers(1, 20))
def test_even_counts_differ_by_one(total: int, parts: int) -> None:
    counts = even_counts(total, parts)
    assert sum(counts) == total and len(counts) == parts
    assert max(counts) - min(counts) <= 1
