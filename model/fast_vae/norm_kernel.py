"""Norm and SiLU as one Triton kernel, a few rows a program."""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from .norm import EPSILON, Norm

BLOCK_VALUES = 4096
"""Values that a program holds."""


@triton.jit
def norm_silu(x, gamma, CHANNELS: tl.constexpr, EPSILON: tl.constexpr):
    """SiLU(norm(x)) of rows x (rows, C) in float32, C filled up by zeros from CHANNELS; gamma (C,)."""
    scale = tl.rsqrt(tl.sum(x * x, axis=1) / CHANNELS + EPSILON)
    y = x * scale[:, None] * gamma[None, :]
    return y * tl.sigmoid(y)


@triton.jit(do_not_specialize=["rows"])
def _activate(
    x, gamma, out, rows,
    WIDTH: tl.constexpr, CHANNELS: tl.constexpr, EPSILON: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK)
    at = row[:, None] * WIDTH + column[None, :]
    inside = (row < rows)[:, None] & (column < WIDTH)[None, :]
    values = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    scales = tl.load(gamma + column, mask=column < WIDTH, other=0.0)
    tl.store(out + at, norm_silu(values, scales, CHANNELS, EPSILON).to(out.dtype.element_ty), mask=inside)


def launch_activate(frames: Tensor, norm: Norm, into: Tensor) -> None:
    """`activate` on a GPU; both tensors are contiguous."""
    width = frames.shape[3]
    rows = frames.numel() // width
    block = triton.next_power_of_2(width)
    rows_each = max(1, BLOCK_VALUES // block)
    _activate[(triton.cdiv(rows, rows_each),)](
        frames, norm.gamma, into, rows,
        WIDTH=width, CHANNELS=norm.channels, EPSILON=EPSILON, ROWS=rows_each, BLOCK=block, num_warps=4,
    )  # fmt: skip
