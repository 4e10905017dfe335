# mypy: disable-error-code="no-untyped-def, untyped-decorator"
"""`attend_frames` and `attend_keyboard` in Triton: all keys of a head fit one tile, so the softmax needs one pass."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..rope import Rope

_KEYS_LEAST = 16
"""The shortest side of a tile that the matrix units take."""
_BLOCK_TOKENS = 64


@triton.jit
def _norm_and_turn(x, cos, sin, eps, ROWS: tl.constexpr, WIDTH: tl.constexpr):
    """Rows (ROWS, WIDTH) float32, normed, their pairs turned by cos and sin, of any shape that fits (ROWS, WIDTH/2)."""
    x = x * (1 / tl.sqrt(tl.sum(x * x, axis=1) / WIDTH + eps))[:, None]
    even, odd = tl.split(tl.reshape(x, (ROWS, WIDTH // 2, 2)))
    return tl.reshape(tl.join(even * cos - odd * sin, even * sin + odd * cos), (ROWS, WIDTH))


@triton.jit
def _softmax_mean(q, k, v, frames, scale, KEYS: tl.constexpr):
    """Attention of q over the first `frames` rows of k and v."""
    score = tl.dot(q, k.T, input_precision="ieee") * scale
    score = tl.where((tl.arange(0, KEYS) < frames)[None, :], score, -float("inf"))
    share = tl.exp(score - tl.max(score, axis=1)[:, None])
    found = tl.dot(share.to(v.dtype), v, input_precision="ieee")
    return found / tl.sum(share, axis=1)[:, None]


@triton.jit
def _attend_frames(
    qkv, cos, sin, out, frames, positions, heads, eps, scale, KEYS: tl.constexpr, WIDTH: tl.constexpr
):  # fmt: skip
    """One head at one grid position."""
    frame = tl.arange(0, KEYS)[:, None]
    inside = frame < frames
    token = frame.to(tl.int64) * positions + tl.program_id(0)
    dim = tl.arange(0, WIDTH)[None, :]
    turn = frame * (WIDTH // 2) + tl.arange(0, WIDTH // 2)[None, :]
    c = tl.load(cos + turn, mask=inside, other=0.0)
    s = tl.load(sin + turn, mask=inside, other=0.0)
    source = qkv + (token * 3 * heads + tl.program_id(1)) * WIDTH + dim
    q = tl.load(source, mask=inside, other=0.0)
    k = tl.load(source + heads * WIDTH, mask=inside, other=0.0)
    v = tl.load(source + 2 * heads * WIDTH, mask=inside, other=0.0)
    turned_q = _norm_and_turn(q.to(tl.float32), c, s, eps, KEYS, WIDTH).to(q.dtype)
    turned_k = _norm_and_turn(k.to(tl.float32), c, s, eps, KEYS, WIDTH).to(q.dtype)
    found = _softmax_mean(turned_q, turned_k, v, frames, scale, KEYS)
    target = out + (token * heads + tl.program_id(1)) * WIDTH + dim
    tl.store(target, found.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _attend_keyboard(
    q, key, value, cos, sin, out, frames, positions, heads, eps, scale, key_stride, value_stride,
    BM: tl.constexpr, KEYS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """One head of BM tokens of one frame."""
    head, frame = tl.program_id(1), tl.program_id(2)
    position = tl.program_id(0) * BM + tl.arange(0, BM)[:, None]
    inside = position < positions
    token = frame.to(tl.int64) * positions + position
    dim = tl.arange(0, WIDTH)[None, :]
    turn = frame * (WIDTH // 2) + tl.arange(0, WIDTH // 2)[None, :]
    x = tl.load(q + (token * heads + head) * WIDTH + dim, mask=inside, other=0.0)
    turned = _norm_and_turn(x.to(tl.float32), tl.load(cos + turn), tl.load(sin + turn), eps, BM, WIDTH).to(x.dtype)
    at = tl.arange(0, KEYS)[:, None]
    k = tl.load(key + at * key_stride + head * WIDTH + dim, mask=at < frames, other=0.0)
    v = tl.load(value + at * value_stride + head * WIDTH + dim, mask=at < frames, other=0.0)
    found = _softmax_mean(turned, k, v, frames, scale, KEYS)
    tl.store(out + (token * heads + head) * WIDTH + dim, found.to(out.dtype.element_ty), mask=inside)


def launch_attend_frames(qkv: Tensor, rope: Rope, heads: int, eps: float, *, warps: int = 2) -> Tensor:
    """`attend_frames` on a GPU; the width of a head is a power of 2 and at least 16, as in all of this file."""
    tokens, frames = len(qkv), rope.cos.shape[1]
    width = qkv.shape[1] // (3 * heads)
    positions = tokens // frames
    out = torch.empty(tokens, heads * width, dtype=qkv.dtype, device=qkv.device)
    assert qkv.is_contiguous() and rope.cos.is_contiguous() and rope.sin.is_contiguous()
    _attend_frames[(positions, heads)](
        qkv, rope.cos, rope.sin, out, frames, positions, heads, eps, width**-0.5,
        KEYS=_tile_of(frames), WIDTH=width, num_warps=warps,
    )  # fmt: skip
    return out


def launch_attend_keyboard(q: Tensor, key: Tensor, value: Tensor, rope: Rope, eps: float) -> Tensor:
    """`attend_keyboard` on a GPU."""
    frames, heads, width = key.shape
    positions = len(q) // frames
    out = torch.empty_like(q)
    assert q.is_contiguous() and rope.cos.is_contiguous() and rope.sin.is_contiguous()
    assert key.stride()[1:] == value.stride()[1:] == (width, 1)
    _attend_keyboard[(triton.cdiv(positions, _BLOCK_TOKENS), heads, frames)](
        q, key, value, rope.cos, rope.sin, out, frames, positions, heads, eps, width**-0.5,
        key.stride(0), value.stride(0),
        BM=_BLOCK_TOKENS, KEYS=_tile_of(frames), WIDTH=width, num_warps=4,
    )  # fmt: skip
    return out


def _tile_of(frames: int) -> int:
    return max(_KEYS_LEAST, int(triton.next_power_of_2(frames)))
