# mypy: disable-error-code="no-untyped-def, untyped-decorator"
"""The matrix product of 8-bit rows in Triton, scaled and biased before it leaves the registers.

For int8, where torch's own product is no faster than that of bf16 and writes its sums as int32.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from .formats import Rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Tiling:
    """How a product is cut. A fixed choice: the same bits in every process."""

    rows: int = 128
    columns: int = 128
    depth: int = 128
    group: int = 8
    """Row tiles that share a run of column tiles, so that both stay in the L2 cache."""
    warps: int = 4
    stages: int = 3
    persistent: bool = False


@triton.jit
def _product(
    a, b, out, a_scales, b_scales, bias, count, columns, depth, programs,
    BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, GROUP: tl.constexpr,
    INTEGER: tl.constexpr, HAS_BIAS: tl.constexpr,
):  # fmt: skip
    row_tiles = tl.cdiv(count, BM)
    column_tiles = tl.cdiv(columns, BN)
    group_tiles = GROUP * column_tiles
    for tile in range(tl.program_id(0), row_tiles * column_tiles, programs):
        first = tile // group_tiles * GROUP
        rows_here = tl.minimum(row_tiles - first, GROUP)
        row0 = (first + tile % group_tiles % rows_here) * BM
        column0 = tile % group_tiles // rows_here * BN
        total = tl.zeros((BM, BN), dtype=tl.int32 if INTEGER else tl.float32)
        for step in range(tl.cdiv(depth, BK)):
            x = a.load([row0, step * BK])
            w = b.load([column0, step * BK])
            total = tl.dot(x, w.T, total, out_dtype=total.dtype)
        at_row = row0 + tl.arange(0, BM)
        at_column = column0 + tl.arange(0, BN)
        by_row = tl.load(a_scales + at_row, mask=at_row < count, other=0.0)
        by_column = tl.load(b_scales + at_column, mask=at_column < columns, other=0.0)
        y = total.to(tl.float32) * by_row[:, None] * by_column[None, :]
        if HAS_BIAS:
            y += tl.load(bias + at_column, mask=at_column < columns, other=0.0).to(tl.float32)[None, :]
        target = out + at_row[:, None].to(tl.int64) * columns + at_column[None, :]
        tl.store(target, y.to(out.dtype.element_ty), mask=(at_row < count)[:, None] & (at_column < columns)[None, :])


def launch_product(
    rows: Rows, weight: Tensor, scales: Tensor, bias: Tensor | None, dtype: torch.dtype, tiling: Tiling | None = None
) -> Tensor:
    """Rows (M, K) times a weight (N, K) transposed, both int8 or both e4m3, with their scales: (M, N) of `dtype`.

    K is a multiple of 16.
    """
    tiling = tiling or Tiling()
    assert rows.scales is not None
    count, depth = rows.values.shape
    columns = weight.shape[0]
    out = torch.empty(count, columns, dtype=dtype, device=weight.device)
    tiles = triton.cdiv(count, tiling.rows) * triton.cdiv(columns, tiling.columns)
    programs = min(tiles, _processors(weight.device)) if tiling.persistent else tiles
    _product[(programs,)](
        TensorDescriptor.from_tensor(rows.values, [tiling.rows, tiling.depth]),
        TensorDescriptor.from_tensor(weight, [tiling.columns, tiling.depth]),
        out, rows.scales, scales, bias, count, columns, depth, programs,
        BM=tiling.rows, BN=tiling.columns, BK=tiling.depth, GROUP=tiling.group,
        INTEGER=weight.dtype == torch.int8, HAS_BIAS=bias is not None,
        num_warps=tiling.warps, num_stages=tiling.stages,
    )  # fmt: skip
    return out


@functools.cache
def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1
