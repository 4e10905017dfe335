"""Attention over the tokens of several ranks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from worldloom.errors import PromptTooLong
from worldloom.model.attention import attention
from worldloom.parallel.ulysses import head_chunks

from .jobs import attend, share_failing, share_sum
from .processes import Processes


@given(heads=st.integers(1, 48), ranks=st.integers(1, 16), chunks=st.integers(1, 4))
def test_every_head_is_computed_once(heads: int, ranks: int, chunks: int) -> None:
    table = head_chunks(heads, ranks, chunks)
    seen = sorted(head for runs in table for run in runs for head in range(run.start, run.stop))
    assert seen == list(range(heads))
    loads = [sum(runs[rank].count for runs in table) for rank in range(ranks)]
    assert max(loads) - min(loads) <= 1


@pytest.mark.parametrize(
    ("tokens", "heads", "chunks"),
    [
        ((3, 3), 4, 1),
        ((3, 3), 4, 2),
        ((5, 2), 6, 3),
        ((4, 3, 3), 4, 1),
        ((4, 3, 3), 2, 1),
        ((1, 2, 3, 4), 6, 2),
        ((2, 2, 2, 2), 3, 2),
    ],
)
@pytest.mark.parametrize("batch", [1, 2])
def test_it_equals_attention_on_one_rank(
    processes: Processes, tokens: tuple[int, ...], heads: int, chunks: int, batch: int
) -> None:
    frames, width = 2, 8
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(3, batch, frames * sum(tokens), heads, width, generator=generator)
    parts = processes.run(len(tokens), attend, (batch, heads, width), tokens, frames, chunks)
    torch.testing.assert_close(torch.cat(parts, dim=1), attention(*qkv.unbind(0)), atol=1e-6, rtol=1e-5)


def test_what_the_first_rank_computes_reaches_all(processes: Processes) -> None:
    results = processes.run(3, share_sum)
    assert [calls for _, calls in results] == [1, 0, 0]
    assert all(torch.equal(value, torch.full((2, 3), 7.0, dtype=torch.bfloat16)) for value, _ in results)


def test_an_error_of_the_first_rank_is_raised_on_all(processes: Processes) -> None:
    results = processes.run(4, share_failing, PromptTooLong("too long"))
    assert results == ["too long"] * 4
