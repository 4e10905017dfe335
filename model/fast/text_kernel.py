# mypy: disable-error-code="no-untyped-def, untyped-decorator"
"""`attend_text` in Triton: one kernel for the queries' norms, one for norm, attention and quantisation."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from .formats import RowFormat, Rows, empty_rows
from .residual import as_rows
from .residual_kernel import row_warps
from .text import KEYS_MULTIPLE, QueryNorm, TextKeys


@dataclass(frozen=True, kw_only=True, slots=True)
class TextTiling:
    """How cross-attention is cut."""

    tokens: int = 64
    tiles: int = 24
    """Tiles of tokens that a program takes one after another."""
    warps: int = 4
    registers: int = 255
    """At most so many a thread, where all keys are read at once."""


@triton.jit
def _inverse_norm(x, out, stride, width, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    y = tl.load(x + row * stride + at, mask=at < width, other=0.0).to(tl.float32)
    tl.store(out + row, 1 / tl.sqrt(tl.sum(y * y) / width + eps))


@triton.jit
def _attend_in_turns(
    x, own_key, own_value, bias, keys, key_stride, value_stride, softmax_scale,
    BM: tl.constexpr, BT: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Sum of the shares, and the values weighted by them: BT keys at a time, with both sums carried along."""
    largest = tl.full((BM,), -float("inf"), dtype=tl.float32)
    total = tl.zeros((BM,), dtype=tl.float32)
    found = tl.zeros((BM, WIDTH), dtype=tl.float32)
    for first in range(0, keys, BT):
        k, v = tl.load(own_key + first * key_stride), tl.load(own_value + first * value_stride)
        more = tl.load(bias + first + tl.arange(0, BT)) * 1.4426950408889634
        score = tl.dot(x, k.T, input_precision="ieee") * softmax_scale + more[None, :]
        now = tl.maximum(largest, tl.max(score, axis=1))
        share = tl.exp2(score - now[:, None])
        shrink = tl.exp2(largest - now)
        total = total * shrink + tl.sum(share, axis=1)
        found = found * shrink[:, None] + tl.dot(share.to(v.dtype), v, input_precision="ieee")
        largest = now
    return total, found


@triton.jit
def _attend_text(
    q, inverse, weight, key, value, bias, row_scale, out, scales, tokens, keys, heads,
    q_stride, key_stride, value_stride, softmax_scale,
    BM: tl.constexpr, TILES: tl.constexpr, BT: tl.constexpr, ONCE: tl.constexpr, WIDTH: tl.constexpr,
    E4M3: tl.constexpr,
):  # fmt: skip
    """One head of TILES times BM tokens. Scores and `softmax_scale` are to base 2.

    Where all keys fit BT (ONCE), they are read once.
    """
    head = tl.program_id(1)
    dim = tl.arange(0, WIDTH)[None, :]
    at = tl.arange(0, BT)
    own_key = key + at[:, None] * key_stride + head * WIDTH + dim
    own_value = value + at[:, None] * value_stride + head * WIDTH + dim
    k, v = tl.load(own_key), tl.load(own_value)
    own_weight = tl.load(weight + head * WIDTH + dim)
    start = tl.program_id(0) * TILES
    for tile in range(start, tl.minimum(start + TILES, tl.cdiv(tokens, BM))):
        row = tile * BM + tl.arange(0, BM).to(tl.int64)
        inside = (row < tokens)[:, None]
        x = tl.load(q + row[:, None] * q_stride + head * WIDTH + dim, mask=inside, other=0.0).to(tl.float32)
        x *= tl.load(inverse + row, mask=row < tokens, other=0.0)[:, None]
        x = (x * own_weight).to(q.dtype.element_ty)
        if ONCE:
            more = tl.load(bias + at) * 1.4426950408889634
            score = tl.dot(x, k.T, input_precision="ieee") * softmax_scale + more[None, :]
            share = tl.exp2(score - tl.max(score, axis=1)[:, None])
            total = tl.sum(share, axis=1)
            found = tl.dot(share.to(v.dtype), v, input_precision="ieee")
        else:
            total, found = _attend_in_turns(
                x, own_key, own_value, bias, keys, key_stride, value_stride, softmax_scale, BM, BT, WIDTH
            )
        found = found * (1.0 / total)[:, None]
        target = out + row[:, None] * heads * WIDTH + head * WIDTH + dim
        if E4M3:
            scale = tl.load(row_scale)
            found = tl.minimum(tl.maximum(found * (1.0 / scale), -448.0), 448.0)
            tl.store(target, found.to(tl.float8e4nv), mask=inside)
            tl.store(scales + row, tl.zeros((BM,), dtype=tl.float32) + scale, mask=(row < tokens) & (head == 0))
        else:
            tl.store(target, found.to(out.dtype.element_ty), mask=inside)


def launch_attend_text(
    q: Tensor, norm: QueryNorm, keys: TextKeys, form: RowFormat, *, tiling: TextTiling | None = None
) -> Rows:
    """`attend_text` on a GPU; the width of a head is a power of 2 and at least 16."""
    tiling = tiling or TextTiling()
    tokens, dim = q.shape
    width = dim // norm.heads
    inverse = torch.empty(tokens, dtype=torch.float32, device=q.device)
    block = triton.next_power_of_2(dim)
    _inverse_norm[(tokens,)](q, inverse, q.stride(0), dim, norm.eps, BLOCK=block, num_warps=row_warps(block))
    # The scales of int8 rows have to follow the values, which are known head by head.
    stored = RowFormat.PLAIN if form is RowFormat.INT8 else form
    rows = empty_rows(tokens, dim, stored, q.dtype, q.device)
    once = len(keys.key) == KEYS_MULTIPLE
    _attend_text[(triton.cdiv(tokens, tiling.tokens * tiling.tiles), norm.heads)](
        q, inverse, norm.weight, keys.key, keys.value, keys.bias, keys.scale, rows.values, rows.scales,
        tokens, len(keys.key), norm.heads, q.stride(0), keys.key.stride(0), keys.value.stride(0),
        math.log2(math.e) * width**-0.5,
        BM=tiling.tokens, TILES=tiling.tiles, BT=KEYS_MULTIPLE, ONCE=once, WIDTH=width, E4M3=stored is RowFormat.E4M3,
        num_warps=tiling.warps, num_stages=1, maxnreg=tiling.registers if once else 255,
    )  # fmt: skip
    return rows if stored is form else as_rows(rows.values, form)
