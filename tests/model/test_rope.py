"""Rotary positions: what turns by how much."""

from __future__ import annotations

import cmath

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from worldloom.model.rope import Rope, axis_pairs, head_thetas, rotate, time_rope, video_rope

CPU = torch.device("cpu")


def rope_at(frames: list[int], *, heads: int = 2, head_dim: int = 16, grid: tuple[int, int] = (2, 3)) -> Rope:
    thetas = head_thetas(heads, 0.8, CPU)
    return video_rope(torch.tensor([frames]), grid=grid, head_dim=head_dim, thetas=thetas)


def vector(seed: int, tokens: int = 1, heads: int = 2, head_dim: int = 16) -> Tensor:
    return torch.randn(1, tokens, heads, head_dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("head_dim", "pairs"), [(128, (22, 21, 21)), (64, (12, 10, 10)), (16, (4, 2, 2))])
def test_rows_and_columns_get_a_third_of_the_pairs_each(head_dim: int, pairs: tuple[int, int, int]) -> None:
    assert axis_pairs(head_dim) == pairs


def test_a_head_has_its_own_base_spread_evenly_around_the_shared_one() -> None:
    assert head_thetas(3, 0.8, CPU).tolist() == pytest.approx([2_000, 10_000, 18_000])
    assert head_thetas(3, 0.0, CPU).tolist() == [10_000]


def test_each_pair_turns_as_a_complex_number_by_its_own_axis() -> None:
    frame, row, column, head = 5, 1, 2, 1
    x = vector(0, tokens=6)
    turned = rotate(x, rope_at([frame]))[0, row * 3 + column, head]
    theta = float(head_thetas(2, 0.8, CPU)[head])
    angles = [frame * theta ** (-i / 4) for i in range(4)]
    angles += [row * theta ** (-i / 2) for i in range(2)] + [column * theta ** (-i / 2) for i in range(2)]
    original = x[0, row * 3 + column, head].tolist()
    expected = [complex(original[2 * j], original[2 * j + 1]) * cmath.exp(1j * angle) for j, angle in enumerate(angles)]
    actual = [complex(*pair) for pair in turned.view(-1, 2).tolist()]
    assert actual == pytest.approx(expected, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(first=st.integers(0, 3000), second=st.integers(0, 3000), shift=st.integers(0, 3000))
def test_scores_depend_on_distances_only(first: int, second: int, shift: int) -> None:
    def score(a: int, b: int) -> Tensor:
        q = rotate(vector(1, tokens=6), rope_at([a]))
        k = rotate(vector(2, tokens=6), rope_at([b]))
        return torch.einsum("bqhd,bkhd->bhqk", q, k)

    torch.testing.assert_close(score(first, second), score(first + shift, second + shift), atol=2e-4, rtol=0)


def test_turning_keeps_lengths_and_dtype() -> None:
    x = vector(3, tokens=6).bfloat16()
    turned = rotate(x, rope_at([1234]))
    assert turned.dtype == torch.bfloat16
    torch.testing.assert_close(turned.float().norm(dim=-1), x.float().norm(dim=-1), atol=2e-2, rtol=1e-2)


def test_positions_may_differ_between_samples() -> None:
    thetas = head_thetas(2, 0.8, CPU)
    both = video_rope(torch.tensor([[0, 7], [3, 4]]), grid=(2, 3), head_dim=16, thetas=thetas)
    for index, frames in enumerate(([0, 7], [3, 4])):
        alone = rope_at(frames)
        assert torch.equal(both.cos[index], alone.cos[0])
        assert torch.equal(both.sin[index], alone.sin[0])


def test_a_part_of_a_picture_has_the_turns_of_the_whole() -> None:
    thetas = head_thetas(2, 0.8, CPU)
    frames = torch.tensor([[5, 9]])
    whole = video_rope(frames, grid=(4, 6), head_dim=16, thetas=thetas)
    part = video_rope(frames, grid=(3, 2), head_dim=16, thetas=thetas, origin=(1, 4))
    cut = whole.cos.view(1, 2, 4, 6, 2, 8)[:, :, 1:4, 4:6]
    assert torch.equal(part.cos.view_as(cut), cut)


def test_the_time_rope_turns_the_first_axis_only() -> None:
    rope = time_rope(torch.tensor([0, 3]), axis_dims=(4, 6, 6), theta=256.0)
    x = vector(4, tokens=2)
    turned = rotate(x, rope)
    assert torch.equal(turned[:, 0], x[:, 0])
    assert torch.equal(turned[..., 4:], x[..., 4:])
    second = complex(*x[0, 1, 0, 2:4].tolist()) * cmath.exp(3j * 256**-0.5)
    assert complex(*turned[0, 1, 0, 2:4].tolist()) == pytest.approx(second, abs=1e-6)
