# mypy: disable-error-code="no-untyped-def, untyped-decorator"
"""`turn_heads` and `turn_heads_e4m3` in Triton: a program makes q, k or v of some tokens in a row.

A token's row lies in registers as (heads, pairs, 2), so that neighbours turn together. The norm's weights, and the
turns by frame and row, which neighbouring tokens share, are read once: they are larger than the row itself. Turns are
read four at a time, which a thread's pairs are a multiple of, so that they need not travel between threads.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..quantization import E4M3
from ..rope import AxisRope
from .heads import MEAN_EVERY, Average, E4M3Heads, HeadNorm

_MEAN_TOKENS = 4
"""Tokens that a program of the mean adds up."""
_TOKENS = 16
"""Tokens of a program of the others."""


@triton.jit
def _axis_turns(table, at, head, pair, heads, rope_heads, LEAST: tl.constexpr, MOST: tl.constexpr, PAIRS: tl.constexpr):
    """Place `at` of a table of turns, (HEADS, PAIRS), of which the pairs from LEAST to MOST count."""
    read = (head < heads) & (pair >= LEAST // 4 * 4) & (pair < (MOST + 3) // 4 * 4)
    return tl.load(table + (at * rope_heads + head % rope_heads) * PAIRS + pair, mask=read, other=0.0)


@triton.jit
def _turns(
    table, frame, line, head, pair, heads, rope_heads, FIRST: tl.constexpr, SECOND: tl.constexpr, PAIRS: tl.constexpr
):  # fmt: skip
    """Turns by frame and row, where the pairs are theirs."""
    by_frame = _axis_turns(table, frame, head, pair, heads, rope_heads, 0, FIRST, PAIRS)
    by_row = _axis_turns(table, line, head, pair, heads, rope_heads, FIRST, SECOND, PAIRS)
    return tl.where(pair < FIRST, by_frame, by_row)


@triton.jit
def _normed(x, weight, dim, eps, HEADS: tl.constexpr, PAIRS: tl.constexpr):
    """Both members of the pairs of a row, (HEADS, PAIRS) float32 each."""
    x = x.to(tl.float32)
    x = x * (1 / tl.sqrt(tl.sum(x * x) / dim + eps)) * weight
    return tl.split(tl.reshape(x, (HEADS, PAIRS, 2)))


@triton.jit
def _turn_heads(
    qkv, weight, cos, sin, place, mean, scales, out, tokens, heads, eps, rope_heads,
    FIRST: tl.constexpr, SECOND: tl.constexpr, WIDTH: tl.constexpr, HEADS: tl.constexpr, COUNT: tl.constexpr,
    HAS_SCALES: tl.constexpr,
):  # fmt: skip
    """Part 0 is q, 1 is k, 2 is v, which is only scaled."""
    part = tl.program_id(1)
    start = tl.program_id(0).to(tl.int64) * COUNT
    stop = tl.minimum(start + COUNT, tokens)
    PAIRS: tl.constexpr = WIDTH // 2
    head = tl.arange(0, HEADS)[:, None]
    inside = head < heads
    within = head * WIDTH + tl.arange(0, WIDTH)[None, :]
    dim = heads * WIDTH
    source = qkv + part * dim + within
    target = out + part * tokens * dim + within
    if HAS_SCALES:
        factor = 1.0 / tl.load(scales + part * heads + head, mask=inside, other=1.0)
    if part < 2:
        pair = tl.arange(0, PAIRS)[None, :]
        own_weight = tl.load(weight + part * dim + within, mask=inside, other=0.0)
        if HAS_SCALES:
            # Nothing is longer than the bound that the scales were made for, so nothing has to be cut off.
            own_weight = own_weight * factor
            centre = tl.load(mean + within, mask=inside & (part == 1), other=0.0) * factor
        frame = tl.full((), -1, tl.int32)
        line = tl.full((), -1, tl.int32)
        still_cos = tl.zeros((HEADS, PAIRS), tl.float32)
        still_sin = tl.zeros((HEADS, PAIRS), tl.float32)
        following = tl.load(source + start * 3 * dim, mask=inside, other=0.0)
        for row in range(start, stop):
            x = following
            following = tl.load(source + (row + 1) * 3 * dim, mask=inside & (row + 1 < stop), other=0.0)
            own_frame, own_line = tl.load(place + row * 3), tl.load(place + row * 3 + 1)
            if (own_frame != frame) | (own_line != line):
                frame, line = own_frame, own_line
                still_cos = _turns(cos, frame, line, head, pair, heads, rope_heads, FIRST, SECOND, PAIRS)
                still_sin = _turns(sin, frame, line, head, pair, heads, rope_heads, FIRST, SECOND, PAIRS)
            at = tl.load(place + row * 3 + 2)
            c = _axis_turns(cos, at, head, pair, heads, rope_heads, SECOND, PAIRS, PAIRS)
            s = _axis_turns(sin, at, head, pair, heads, rope_heads, SECOND, PAIRS, PAIRS)
            c, s = tl.where(pair < SECOND, still_cos, c), tl.where(pair < SECOND, still_sin, s)
            even, odd = _normed(x, own_weight, dim, eps, HEADS, PAIRS)
            turned = tl.reshape(tl.join(even * c - odd * s, even * s + odd * c), (HEADS, WIDTH))
            if HAS_SCALES:
                turned = turned - centre
            tl.store(target + row * dim, turned.to(out.dtype.element_ty), mask=inside)
    elif HAS_SCALES:
        for row in range(start, stop):
            x = tl.load(source + row * 3 * dim, mask=inside, other=0.0).to(tl.float32)
            x = tl.minimum(tl.maximum(x * factor, -448.0), 448.0)
            tl.store(target + row * dim, x.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _sum_keys(
    qkv, weight, cos, sin, place, sums, tokens, samples, heads, eps, rope_heads,
    FIRST: tl.constexpr, SECOND: tl.constexpr, WIDTH: tl.constexpr, HEADS: tl.constexpr, COUNT: tl.constexpr,
    EVERY: tl.constexpr,
):  # fmt: skip
    """A program's share of the mean of the turned keys, (heads, WIDTH), from COUNT tokens that are EVERY apart."""
    start = tl.program_id(0).to(tl.int64) * COUNT
    PAIRS: tl.constexpr = WIDTH // 2
    head, pair = tl.arange(0, HEADS)[:, None], tl.arange(0, PAIRS)[None, :]
    inside = head < heads
    within = head * WIDTH + tl.arange(0, WIDTH)[None, :]
    dim = heads * WIDTH
    own_weight = tl.load(weight + dim + within, mask=inside, other=0.0)
    total = tl.zeros((HEADS, WIDTH), dtype=tl.float32)
    for index in range(COUNT):
        row = (start + index) * EVERY
        if row < tokens:
            x = tl.load(qkv + row * 3 * dim + dim + within, mask=inside, other=0.0)
            frame, line, at = tl.load(place + row * 3), tl.load(place + row * 3 + 1), tl.load(place + row * 3 + 2)
            c = _turns(cos, frame, line, head, pair, heads, rope_heads, FIRST, SECOND, PAIRS)
            s = _turns(sin, frame, line, head, pair, heads, rope_heads, FIRST, SECOND, PAIRS)
            c = tl.where(pair < SECOND, c, _axis_turns(cos, at, head, pair, heads, rope_heads, SECOND, PAIRS, PAIRS))
            s = tl.where(pair < SECOND, s, _axis_turns(sin, at, head, pair, heads, rope_heads, SECOND, PAIRS, PAIRS))
            even, odd = _normed(x, own_weight, dim, eps, HEADS, PAIRS)
            total += tl.reshape(tl.join(even * c - odd * s, even * s + odd * c), (HEADS, WIDTH))
    tl.store(sums + tl.program_id(0) * dim + within, total / samples, mask=inside)


def launch_turn_heads(
    qkv: Tensor, norm: HeadNorm, rope: AxisRope, *, warps: int | None = None, count: int = _TOKENS
) -> tuple[Tensor, Tensor]:
    """`turn_heads` on a GPU; heads must have a width that is a power of 2 and at least 4, as everywhere in this file.

    `count` tokens go to a program.
    """
    heads, width = _shape(norm)
    tokens = qkv.shape[0]
    out = torch.empty(2, tokens, heads, width, dtype=qkv.dtype, device=qkv.device)
    _turn_heads[(triton.cdiv(tokens, count), 2)](
        *_inputs(qkv, norm, rope), None, None, out, tokens, *_sizes(norm, rope),
        COUNT=count, HAS_SCALES=False, **_blocks(norm, rope, warps),
    )  # fmt: skip
    return out[0], out[1]


def launch_turn_heads_e4m3(
    qkv: Tensor,
    norm: HeadNorm,
    rope: AxisRope,
    scales: Tensor,
    *,
    average: Average | None = None,
    warps: int | None = None,
    count: int = _TOKENS,
) -> E4M3Heads:
    """`turn_heads_e4m3` on a GPU."""
    heads, width = _shape(norm)
    tokens = qkv.shape[0]
    mean = launch_key_mean(qkv, norm, rope)
    mean = mean if average is None else average(mean)
    out = torch.empty(3, tokens, heads, width, dtype=E4M3, device=qkv.device)
    _turn_heads[(triton.cdiv(tokens, count), 3)](
        *_inputs(qkv, norm, rope), mean, scales, out, tokens, *_sizes(norm, rope),
        COUNT=count, HAS_SCALES=True, **_blocks(norm, rope, warps),
    )  # fmt: skip
    return E4M3Heads(q=out[0], k=out[1], v=out[2], scales=scales)


def launch_key_mean(qkv: Tensor, norm: HeadNorm, rope: AxisRope) -> Tensor:
    """Mean (H, d) of the turned keys of every MEAN_EVERY-th token; summed in a fixed order."""
    heads, width = _shape(norm)
    samples = triton.cdiv(qkv.shape[0], MEAN_EVERY)
    programs = triton.cdiv(samples, _MEAN_TOKENS)
    sums = torch.empty(programs, heads, width, dtype=torch.float32, device=qkv.device)
    _sum_keys[(programs,)](
        *_inputs(qkv, norm, rope), sums, qkv.shape[0], samples, *_sizes(norm, rope),
        COUNT=_MEAN_TOKENS, EVERY=MEAN_EVERY, **_blocks(norm, rope),
    )  # fmt: skip
    return sums.sum(dim=0)


def _shape(norm: HeadNorm) -> tuple[int, int]:
    return norm.heads, norm.weight.shape[1] // norm.heads


def _inputs(qkv: Tensor, norm: HeadNorm, rope: AxisRope) -> tuple[Tensor, ...]:
    assert qkv.is_contiguous() and rope.place.shape[:2] == (1, qkv.shape[0])
    return qkv, norm.weight, rope.cos, rope.sin, rope.place


def _sizes(norm: HeadNorm, rope: AxisRope) -> tuple[int, float, int]:
    return norm.heads, norm.eps, rope.cos.shape[1]


def _blocks(norm: HeadNorm, rope: AxisRope, warps: int | None = None) -> dict[str, int]:
    heads, width = _shape(norm)
    block = triton.next_power_of_2(heads)
    warps = warps or max(1, min(16, block * width // 256))
    return {
        "FIRST": rope.pairs[0],
        "SECOND": rope.pairs[0] + rope.pairs[1],
        "WIDTH": width,
        "HEADS": block,
        "num_warps": warps,
        # Two programs of 16 warps then fit a processor, so that one of them reads while the other computes.
        "maxnreg": max(64, min(255, 8 * block * width // (32 * warps))),
    }
