"""Rotary position embedding over (frame, row, column), and over frames alone for actions.

A head of width d has d/2 pairs of neighbours (2j, 2j+1), in the order frame, row, column. Pair i of an axis with n
pairs turns by position · θ^(−i/n). Angles are computed in float64, tables are float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .layout import split_dim

BASE_THETA = 10_000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Rope:
    """Turns of each token, head and pair: cos and sin, float32, (B or 1, tokens, heads or 1, pairs)."""

    cos: Tensor
    sin: Tensor


def rotate(x: Tensor, rope: Rope) -> Tensor:
    """Turn the pairs of x (B, tokens, heads, d) by `rope`; computed in float32, returned in x's dtype."""
    first, second = split_dim(x.float(), -1, (-1, 2)).unbind(-1)
    turned = (first * rope.cos - second * rope.sin, first * rope.sin + second * rope.cos)
    return torch.stack(turned, dim=-1).flatten(-2).to(x.dtype)


def axis_pairs(head_dim: int) -> tuple[int, int, int]:
    """Pairs of a head for (frame, row, column): a third each for row and column, rounded down, the rest for frame."""
    pairs = head_dim // 2
    third = pairs // 3
    return pairs - 2 * third, third, third


def head_thetas(num_heads: int, sigma: float, device: torch.device) -> Tensor:
    """θ of each head, float64: 10000·(1 + σε), ε evenly in [−1, 1] over the heads; one shared θ where σ = 0."""
    if sigma == 0:
        return torch.full((1,), BASE_THETA, dtype=torch.float64, device=device)
    spread = torch.linspace(-1, 1, num_heads, dtype=torch.float64, device=device)
    return BASE_THETA * (1 + sigma * spread)


def video_rope(
    frame_positions: Tensor,
    *,
    grid: tuple[int, int],
    head_dim: int,
    thetas: Tensor,
    origin: tuple[int, int] = (0, 0),
) -> Rope:
    """Turns of the tokens in the order (frame, row, column).

    `frame_positions` (B or 1, F) are latent indices in the whole video; rows and columns count from `origin`.
    `thetas` (heads or 1,) comes from `head_thetas`.
    """
    rows, columns = grid
    batch, frames = frame_positions.shape
    device = frame_positions.device
    pairs = axis_pairs(head_dim)
    by_frame = _angles(frame_positions, pairs[0], thetas)[:, :, None, None]
    by_row = _angles(torch.arange(rows, device=device) + origin[0], pairs[1], thetas)[None, None, :, None]
    by_column = _angles(torch.arange(columns, device=device) + origin[1], pairs[2], thetas)[None, None, None]
    size = (batch, frames, rows, columns, thetas.shape[0])

    def table(turn: Tensor, then: Tensor, last: Tensor) -> Tensor:
        parts = [part.float().expand(*size, part.shape[-1]) for part in (turn, then, last)]
        return torch.cat(parts, dim=-1).flatten(1, 3)

    return Rope(
        cos=table(by_frame.cos(), by_row.cos(), by_column.cos()),
        sin=table(by_frame.sin(), by_row.sin(), by_column.sin()),
    )


def time_rope(frame_positions: Tensor, *, axis_dims: tuple[int, ...], theta: float) -> Rope:
    """Turns by frame alone, (1, F, 1, pairs): heads are split as `axis_dims`, and all but the first axis stand at 0."""
    thetas = torch.full((1,), theta, dtype=torch.float64, device=frame_positions.device)
    turning = _angles(frame_positions, axis_dims[0] // 2, thetas)
    still = turning.new_zeros(*turning.shape[:-1], sum(axis_dims[1:]) // 2)
    angles = torch.cat([turning, still], dim=-1)[None]
    return Rope(cos=angles.cos().float(), sin=angles.sin().float())


def _angles(positions: Tensor, pairs: int, thetas: Tensor) -> Tensor:
    """(…, heads, pairs) float64 for positions (…)."""
    exponents = torch.arange(pairs, dtype=torch.float64, device=positions.device) / max(pairs, 1)
    frequencies = thetas[:, None] ** -exponents
    return positions.to(torch.float64)[..., None, None] * frequencies
