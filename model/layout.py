"""How tensors are cut and folded: dimensions, heads, patches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def split_dim(x: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Split one dimension into several, one of which may be −1."""
    return torch.unflatten(x, dim, sizes)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(…, heads · d) → (…, heads, d)."""
    return split_dim(x, -1, (heads, -1))


def patchify(x: Tensor, patch_size: tuple[int, ...]) -> Tensor:
    """(B, C, F, h, w) → (B, N, C · patch), tokens in the order (frame, row, column), channel slowest in a token.

    Raises ValueError where the grid is not a multiple of the patch.
    """
    _, rows, columns = patch_size
    if x.shape[3] % rows or x.shape[4] % columns:
        raise ValueError(f"a latent grid of {x.shape[3]}×{x.shape[4]} does not split into {rows}×{columns} patches")
    grid = split_dim(split_dim(x, 4, (-1, columns)), 3, (-1, rows))  # (B, C, F, row, p, column, q)
    return grid.permute(0, 2, 3, 5, 1, 4, 6).flatten(4).flatten(1, 3)


def unpatchify(patches: Tensor, size: Sequence[int], patch_size: tuple[int, ...]) -> Tensor:
    """(B, N, patch rows · patch columns · C), channel fastest → (B, C, T, h, w) of `size` (T, h, w)."""
    _, rows, columns = patch_size
    frames, height, width = size
    patches = split_dim(patches, 2, (rows, columns, -1))
    grid = split_dim(patches, 1, (frames, height // rows, width // columns))  # (B, T, row, column, p, q, C)
    return grid.permute(0, 6, 1, 2, 4, 3, 5).flatten(5).flatten(3, 4)
