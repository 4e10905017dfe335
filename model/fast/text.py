"""Cross-attention to the text: rows of padding are all the same, so one key stands for them all.

M tokens, H heads of width d, D = H·d; T keys. The text is padded with zeros to a fixed length and nothing is masked: a
key that stands for n rows has log n added to its score, which is what n equal keys come to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layout import split_heads
from ..quantization import E4M3_LIMIT, to_e4m3
from .formats import RowFormat, Rows, quantize_rows

KEYS_MULTIPLE = 128
"""T is a multiple of it: surplus keys have a bias of −∞."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextKeys:
    """What one block's tokens attend to."""

    key: Tensor
    """(T, H, d), in the model's dtype, the last dimension contiguous."""
    value: Tensor
    """(T, H, d), likewise."""
    bias: Tensor
    """(T,) float32."""
    scale: Tensor
    """() float32: of the rows that come out in e4m3, see `text_scale`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryNorm:
    """RMS norm of the queries over all heads."""

    weight: Tensor
    """(D,) float32."""
    heads: int
    eps: float


def distinct_rows(text: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Embedded text (L, D) whose rows from `count` on are equal: rows (T, D) that stand for all, their bias (T,)."""
    length = len(text)
    kept = min(count + 1, length)
    surplus = -kept % KEYS_MULTIPLE
    bias = torch.zeros(kept + surplus, device=text.device)
    bias[kept:] = -math.inf
    bias[kept - 1] = math.log(length - kept + 1)
    return F.pad(text[:kept], (0, 0, 0, surplus)), bias


def attend_text(q: Tensor, norm: QueryNorm, keys: TextKeys, form: RowFormat) -> Rows:
    """Queries (M, D), not yet normed, to what they find in the text, as rows (M, D) for the next product."""
    if not q.is_cuda:
        return attend_text_plainly(q, norm, keys, form)
    from .text_kernel import launch_attend_text

    return launch_attend_text(q, norm, keys, form)


def attend_text_plainly(q: Tensor, norm: QueryNorm, keys: TextKeys, form: RowFormat) -> Rows:
    """`attend_text` in plain PyTorch."""
    normed = F.rms_norm(q.float(), (q.shape[-1],), norm.weight, norm.eps).to(q.dtype)
    query, key, value = (x.transpose(0, 1).float() for x in (split_heads(normed, norm.heads), keys.key, keys.value))
    out = F.scaled_dot_product_attention(query, key, value, attn_mask=keys.bias[None]).transpose(0, 1).flatten(1)
    if form is not RowFormat.E4M3:
        return quantize_rows(out, form, q.dtype)
    return Rows(values=to_e4m3(out.float() * (1 / keys.scale)), scales=keys.scale.expand(len(out)).contiguous())


def text_scale(value: Tensor) -> Tensor:
    """() float32: a scale in e4m3 for all means of these values, none of which exceeds the largest.

    One scale serves all tokens, as a float format rounds the same at any scale.
    """
    return value.abs().amax().float().clamp_min(1e-12) / E4M3_LIMIT
