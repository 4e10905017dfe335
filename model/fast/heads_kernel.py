# mypy: disable-error-code="no-untyped-def, untyped-decorator"
"""`turn_heads` and `turn_heads_e4m3` in Triton: a program makes one token's q, k or v.

A token's row lies in registers as (heads, pairs, 2), so that neighbours turn together.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..quantization import E4M3
from ..rope import AxisRope
from .heads import MEAN_EVERY, E4M3Heads, HeadNorm

_MEAN_TOKENS = 8
"""Tokens that a program of the mean adds up."""


@triton.jit
def _turn(
    qkv, weight, cos, sin, place, row, part, heads, eps, first, second, rope_heads,
    WIDTH: tl.constexpr, HEADS: tl.constexpr,
):  # fmt: skip
    """q (part 0) or k (part 1) of token `row`: both members of its pairs, (HEADS, WIDTH / 2) float32 each."""
    head = tl.arange(0, HEADS)[:, None]
    column = tl.arange(0, WIDTH)[None, :]
    inside = head < heads
    dim = heads * WIDTH
    x = tl.load(qkv + row * 3 * dim + part * dim + head * WIDTH + column, mask=inside, other=0.0).to(tl.float32)
    x = x * (1 / tl.sqrt(tl.sum(x * x) / dim + eps))
    x = x * tl.load(weight + part * dim + head * WIDTH + column, mask=inside, other=0.0)
    even, odd = tl.split(tl.reshape(x, (HEADS, WIDTH // 2, 2)))
    pair = tl.arange(0, WIDTH // 2)[None, :]
    frame_place = tl.load(place + row * 3)
    row_place = tl.load(place + row * 3 + 1)
    column_place = tl.load(place + row * 3 + 2)
    own = tl.where(pair < first, frame_place, tl.where(pair < first + second, row_place, column_place))
    turn = (own * rope_heads + head % rope_heads) * (WIDTH // 2) + pair
    c = tl.load(cos + turn, mask=inside, other=0.0)
    s = tl.load(sin + turn, mask=inside, other=0.0)
    return even * c - odd * s, even * s + odd * c


@triton.jit
def _turn_heads(
    qkv, weight, cos, sin, place, out, tokens, heads, eps, first, second, rope_heads,
    WIDTH: tl.constexpr, HEADS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, HEADS)[:, None]
    column = tl.arange(0, WIDTH)[None, :]
    for part in tl.static_range(2):
        even, odd = _turn(qkv, weight, cos, sin, place, row, part, heads, eps, first, second, rope_heads, WIDTH, HEADS)
        turned = tl.reshape(tl.join(even, odd), (HEADS, WIDTH))
        target = out + ((part * tokens + row) * heads + head) * WIDTH + column
        tl.store(target, turned.to(out.dtype.element_ty), mask=head < heads)


@triton.jit
def _sum_keys(
    qkv, weight, cos, sin, place, sums, tokens, heads, eps, first, second, rope_heads,
    EVERY: tl.constexpr, COUNT: tl.constexpr, WIDTH: tl.constexpr, HEADS: tl.constexpr,
):  # fmt: skip
    """Sum of the turned keys of COUNT tokens, EVERY apart, (heads, WIDTH) for each program."""
    start = tl.program_id(0).to(tl.int64) * COUNT
    head = tl.arange(0, HEADS)[:, None]
    total = tl.zeros((HEADS, WIDTH), dtype=tl.float32)
    for index in range(COUNT):
        row = (start + index) * EVERY
        if row < tokens:
            even, odd = _turn(qkv, weight, cos, sin, place, row, 1, heads, eps, first, second, rope_heads, WIDTH, HEADS)
            total += tl.reshape(tl.join(even, odd), (HEADS, WIDTH))
    target = sums + (tl.program_id(0) * heads + head) * WIDTH + tl.arange(0, WIDTH)[None, :]
    tl.store(target, total, mask=head < heads)


@triton.jit
def _turn_heads_e4m3(
    qkv, weight, cos, sin, place, mean, scales, out, tokens, heads, eps, first, second, rope_heads,
    WIDTH: tl.constexpr, HEADS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    head = tl.arange(0, HEADS)[:, None]
    column = tl.arange(0, WIDTH)[None, :]
    inside = head < heads
    dim = heads * WIDTH
    for part in tl.static_range(3):
        if part < 2:
            even, odd = _turn(
                qkv, weight, cos, sin, place, row, part, heads, eps, first, second, rope_heads, WIDTH, HEADS
            )
            x = tl.reshape(tl.join(even, odd), (HEADS, WIDTH))
            if part == 1:
                x = x - tl.load(mean + head * WIDTH + column, mask=inside, other=0.0)
        else:
            x = tl.load(qkv + row * 3 * dim + part * dim + head * WIDTH + column, mask=inside, other=0.0).to(tl.float32)
        x = x * (1.0 / tl.load(scales + part * heads + head, mask=inside, other=1.0))
        x = tl.minimum(tl.maximum(x, -448.0), 448.0)
        target = out + ((part * tokens + row) * heads + head) * WIDTH + column
        tl.store(target, x.to(tl.float8e4nv), mask=inside)


def launch_turn_heads(
    qkv: Tensor, norm: HeadNorm, rope: AxisRope, *, warps: int | None = None
) -> tuple[Tensor, Tensor]:
    """`turn_heads` on a GPU; heads must have a width that is a power of 2, as everywhere in this file."""
    heads, width = _shape(norm)
    out = torch.empty(2, qkv.shape[0], heads, width, dtype=qkv.dtype, device=qkv.device)
    _turn_heads[(qkv.shape[0],)](
        *_inputs(qkv, norm, rope), out, qkv.shape[0], *_sizes(norm, rope), **_blocks(norm, warps)
    )
    return out[0], out[1]


def launch_turn_heads_e4m3(
    qkv: Tensor, norm: HeadNorm, rope: AxisRope, scales: Tensor, *, warps: int | None = None
) -> E4M3Heads:
    """`turn_heads_e4m3` on a GPU."""
    heads, width = _shape(norm)
    mean = launch_key_mean(qkv, norm, rope)
    out = torch.empty(3, qkv.shape[0], heads, width, dtype=E4M3, device=qkv.device)
    _turn_heads_e4m3[(qkv.shape[0],)](
        *_inputs(qkv, norm, rope), mean, scales, out, qkv.shape[0], *_sizes(norm, rope), **_blocks(norm, warps)
    )
    return E4M3Heads(q=out[0], k=out[1], v=out[2], scales=scales)


def launch_key_mean(qkv: Tensor, norm: HeadNorm, rope: AxisRope) -> Tensor:
    """Mean (H, d) of the turned keys of every MEAN_EVERY-th token; summed in a fixed order."""
    heads, width = _shape(norm)
    samples = triton.cdiv(qkv.shape[0], MEAN_EVERY)
    programs = triton.cdiv(samples, _MEAN_TOKENS)
    sums = torch.empty(programs, heads, width, dtype=torch.float32, device=qkv.device)
    _sum_keys[(programs,)](
        *_inputs(qkv, norm, rope), sums, qkv.shape[0], *_sizes(norm, rope),
        EVERY=MEAN_EVERY, COUNT=_MEAN_TOKENS, **_blocks(norm),
    )  # fmt: skip
    mean: Tensor = sums.sum(dim=0) / samples
    return mean


def _shape(norm: HeadNorm) -> tuple[int, int]:
    return norm.heads, norm.weight.shape[1] // norm.heads


def _inputs(qkv: Tensor, norm: HeadNorm, rope: AxisRope) -> tuple[Tensor, ...]:
    assert qkv.is_contiguous() and rope.place.shape[:2] == (1, qkv.shape[0])
    return qkv, norm.weight, rope.cos, rope.sin, rope.place


def _sizes(norm: HeadNorm, rope: AxisRope) -> tuple[int, float, int, int, int]:
    return norm.heads, norm.eps, rope.pairs[0], rope.pairs[1], rope.cos.shape[1]


def _blocks(norm: HeadNorm, warps: int | None = None) -> dict[str, int]:
    heads, width = _shape(norm)
    block = triton.next_power_of_2(heads)
    return {"WIDTH": width, "HEADS": block, "num_warps": warps or max(1, min(8, block * width // 512))}
