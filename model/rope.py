"""Rotary position embedding over (frame, row, column), and over frames alone for actions.

A head of width d has d/2 pairs of neighbours (2j, 2j+1), in the order frame, row, column. Pair i of an axis with n
pairs turns by position · θ^(−i/n). Angles are computed in float64, tables are float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .layout import split_dim

BASE_THETA = 10_000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Rope:
    """Turns of each token, head and pair: cos and sin, float32, (B or 1, tokens, heads or 1, pairs)."""

    cos: Tensor
    sin: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class AxisRope:
    """Turns in space and time as a small table: what a token turns by is put together from its three places in it."""

    cos: Tensor
    """(places, heads or 1, pairs) float32; a place is a frame, a row or a column, and only its axis' pairs count."""
    sin: Tensor
    place: Tensor
    """(B or 1, tokens, 3) int32: a token's places of frame, row and column."""
    pairs: tuple[int, int, int]
    """Pairs of a head that turn by frame, row and column, in this order."""

    def turns(self) -> Rope:
        """Every token's own turns."""
        return Rope(cos=self._spread(self.cos), sin=self._spread(self.sin))

    def _spread(self, table: Tensor) -> Tensor:
        parts = zip(torch.split(table, list(self.pairs), dim=-1), self.place.long().unbind(-1), strict=True)
        return torch.cat([part[place] for part, place in parts], dim=-1)


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


def axis_rope(
    frame_positions: Tensor,
    *,
    grid: tuple[int, int],
    head_dim: int,
    thetas: Tensor,
    origin: tuple[int, int] = (0, 0),
) -> AxisRope:
    """Turns of the tokens in the order (frame, row, column), kept by axis.

    `frame_positions` (B or 1, F) are latent indices in the whole video; rows and columns count from `origin`.
    `thetas` (heads or 1,) comes from `head_thetas`.
    """
    device = frame_positions.device
    batch, frames = frame_positions.shape
    rows, columns = (torch.arange(count, device=device) for count in grid)
    pairs = axis_pairs(head_dim)
    positions = (frame_positions.flatten(), rows + origin[0], columns + origin[1])
    angles = [
        F.pad(_angles(at, pairs[axis], thetas), (sum(pairs[:axis]), sum(pairs[axis + 1 :])))
        for axis, at in enumerate(positions)
    ]
    first_row = batch * frames
    by_frame = torch.arange(first_row, device=device).view(batch, frames, 1, 1)
    places = (by_frame, rows[:, None] + first_row, columns + (first_row + grid[0]))
    size = (batch, frames, *grid)
    table = torch.cat(angles)
    return AxisRope(
        cos=table.cos().float(),
        sin=table.sin().float(),
        place=torch.stack([place.expand(size) for place in places], dim=-1).flatten(1, 3).to(torch.int32),
        pairs=pairs,
    )


def video_rope(
    frame_positions: Tensor,
    *,
    grid: tuple[int, int],
    head_dim: int,
    thetas: Tensor,
    origin: tuple[int, int] = (0, 0),
) -> Rope:
    """The turns of `axis_rope`, token by token."""
    return axis_rope(frame_positions, grid=grid, head_dim=head_dim, thetas=thetas, origin=origin).turns()


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
