"""Queries and keys of self-attention: RMS norm over all heads, then rotary turns; in e4m3 where asked.

M tokens, H heads of width d, D = H·d. One matrix product makes q, k and v side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layout import split_heads
from ..quantization import E4M3_LIMIT, to_e4m3
from ..rope import AxisRope, rotate

Average = Callable[[Tensor], Tensor]
"""This process's mean to that of all."""
MEAN_EVERY = 16
"""Of so many tokens one counts for the mean of the keys."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadNorm:
    """The norms of q and k."""

    weight: Tensor
    """(2, D) float32: of q, of k."""
    heads: int
    eps: float


@dataclass(frozen=True, kw_only=True, slots=True)
class E4M3Heads:
    """q, k and v (M, H, d) in e4m3, and what to multiply each head by: (3, H) float32."""

    q: Tensor
    k: Tensor
    v: Tensor
    scales: Tensor


def turn_heads(qkv: Tensor, norm: HeadNorm, rope: AxisRope) -> tuple[Tensor, Tensor]:
    """q and k (M, H, d) ready for attention, in the dtype of qkv (M, 3·D). `rope` is that of one world's M tokens."""
    if qkv.is_cuda:
        from .heads_kernel import launch_turn_heads

        return launch_turn_heads(qkv, norm, rope)
    return turn_heads_plainly(qkv, norm, rope)


def turn_heads_plainly(qkv: Tensor, norm: HeadNorm, rope: AxisRope) -> tuple[Tensor, Tensor]:
    """`turn_heads` in plain PyTorch."""
    q, k = _turned(qkv, norm, rope)
    return q.to(qkv.dtype), k.to(qkv.dtype)


def turn_heads_e4m3(
    qkv: Tensor, norm: HeadNorm, rope: AxisRope, scales: Tensor, *, average: Average | None = None
) -> E4M3Heads:
    """q, k and v in e4m3, given the scales (3, H) of `head_scales`.

    The mean of some keys is taken from all of them: softmax does not see a constant, and what is left is smaller than
    the mean by far in trained models, so that rounding hurts less (SageAttention, arXiv 2410.02367, section 4.2).
    Where these are some of all tokens, `average` makes one mean of all processes' means.
    """
    if qkv.is_cuda:
        from .heads_kernel import launch_turn_heads_e4m3

        return launch_turn_heads_e4m3(qkv, norm, rope, scales, average=average)
    return turn_heads_e4m3_plainly(qkv, norm, rope, scales, average=average)


def turn_heads_e4m3_plainly(
    qkv: Tensor, norm: HeadNorm, rope: AxisRope, scales: Tensor, *, average: Average | None = None
) -> E4M3Heads:
    """`turn_heads_e4m3` in plain PyTorch."""
    q, k = _turned(qkv, norm, rope)
    v = split_heads(qkv, 3 * norm.heads)[:, 2 * norm.heads :].float()
    mean = k[::MEAN_EVERY].mean(dim=0)
    k = k - (mean if average is None else average(mean))
    q, k, v = (to_e4m3(x * (1 / scale[:, None])) for x, scale in zip((q, k, v), scales, strict=True))
    return E4M3Heads(q=q, k=k, v=v, scales=scales)


def head_scales(weight: Tensor, bias: Tensor, norm: HeadNorm) -> Tensor:
    """Scales (3, H) of q, k and v that follow from the weights alone: weight (D, K) and bias (D,) are v's.

    A float format rounds the same at any scale, so a bound serves as well as the largest value. A normed vector is no
    longer than √D·max|weight|, and turning does not change that; a key less the mean is at most twice as long. An
    input of v has about √K times the spread of its weights' sums, and twice that is left for modulation; what is
    larger still becomes the limit.
    """
    width, heads = norm.weight.shape[1], norm.heads
    q, k = width**0.5 * split_heads(norm.weight.abs(), heads).amax(dim=-1)
    reach = 2 * weight.shape[1] ** 0.5 * weight.float().norm(dim=1) + bias.float().abs()
    return torch.stack([q, 2 * k, split_heads(reach, heads).amax(dim=-1)]).clamp_min(1e-12) / E4M3_LIMIT


def _turned(qkv: Tensor, norm: HeadNorm, rope: AxisRope) -> list[Tensor]:
    """q and k (M, H, d), normed and turned, float32."""
    turns = rope.turns()
    width = norm.weight.shape[1]
    normed = (
        F.rms_norm(part.float(), (width,), weight, norm.eps)
        for part, weight in zip(torch.split(qkv, width, dim=-1), norm.weight, strict=False)
    )
    return [rotate(split_heads(part, norm.heads)[None], turns)[0] for part in normed]
