"""The action module's two attentions, each with its norms and turns in one pass.

M = F·P tokens in the order (frame, position), H heads of width d.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ..layout import split_dim, split_heads
from ..rope import Rope, rotate


def attend_frames(qkv: Tensor, rope: Rope, heads: int, eps: float) -> Tensor:
    """Tokens attend to those at their own grid position in all frames: qkv (M, 3·H·d) → (M, H·d), in its dtype.

    `rope` (1, F, 1, pairs) turns the frames. Queries and keys are normed head by head.
    """
    if not qkv.is_cuda:
        return attend_frames_plainly(qkv, rope, heads, eps)
    from .frames_kernel import launch_attend_frames

    return launch_attend_frames(qkv, rope, heads, eps)


def attend_frames_plainly(qkv: Tensor, rope: Rope, heads: int, eps: float) -> Tensor:
    """`attend_frames` in plain PyTorch."""
    by_position = split_dim(qkv, 0, (rope.cos.shape[1], -1)).transpose(0, 1)  # (P, F, 3·H·d)
    q, k, v = split_dim(by_position, -1, (3, heads, -1)).unbind(2)
    q, k = (rotate(_normed(part, eps), rope).to(qkv.dtype) for part in (q, k))
    out = F.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))  # (P, H, F, d)
    return out.permute(2, 0, 1, 3).flatten(2).flatten(0, 1)


def attend_keyboard(q: Tensor, key: Tensor, value: Tensor, rope: Rope, eps: float) -> Tensor:
    """Every token attends to the frames' keyboard states: q (M, H·d) → (M, H·d), in its dtype.

    key and value (F, H, d) are normed and turned already; `rope` (1, F, 1, pairs) turns the queries by their frame.
    """
    if not q.is_cuda:
        return attend_keyboard_plainly(q, key, value, rope, eps)
    from .frames_kernel import launch_attend_keyboard

    return launch_attend_keyboard(q, key, value, rope, eps)


def attend_keyboard_plainly(q: Tensor, key: Tensor, value: Tensor, rope: Rope, eps: float) -> Tensor:
    """`attend_keyboard` in plain PyTorch."""
    frames, heads, _ = key.shape
    by_frame = split_dim(_normed(split_heads(q, heads), eps), 0, (frames, -1))  # (F, P, H, d)
    turned = rotate(by_frame.flatten(1, 2)[None], rope)[0].view(-1, *key.shape[1:]).to(q.dtype)
    out = F.scaled_dot_product_attention(turned.transpose(0, 1), key.transpose(0, 1), value.transpose(0, 1))
    return out.transpose(0, 1).flatten(1)


def _normed(x: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x.float(), x.shape[-1:], None, eps)
