"""Timestep conditioning that is constant over runs of tokens.

Only a few timesteps occur in one forward (0 for clean frames, t for the rest), so all that depends on them is kept
once per run: S runs of `segments[s]` tokens each, and values (B or 1, S, …), in float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def sinusoid(timesteps: Tensor, width: int) -> Tensor:
    """(…, width) float32 for timesteps (…): cosines, then sines, of t · 10000^(−i/(width/2)), computed in float64."""
    half = width // 2
    exponents = torch.arange(half, dtype=torch.float64, device=timesteps.device) / half
    angles = timesteps.to(torch.float64)[..., None] * 10_000.0**-exponents
    return torch.cat([angles.cos(), angles.sin()], dim=-1).float()


class Float32Sequential(nn.Sequential):
    """Layers that compute in float32, whatever their weights' dtype."""

    def forward(self, x: Tensor) -> Tensor:
        for layer in self:
            x = linear_float32(layer, x) if isinstance(layer, nn.Linear) else layer(x)
        return x


def linear_float32(layer: nn.Linear, x: Tensor) -> Tensor:
    """The layer's output in float32, whatever its weights' dtype; out of reach of autocast."""
    with torch.autocast(x.device.type, enabled=False):
        return F.linear(x.float(), layer.weight.float(), layer.bias.float())


def modulate(x: Tensor, shift: Tensor, scale: Tensor, segments: tuple[int, ...], eps: float) -> Tensor:
    """LN(x)·(1 + scale) + shift, with a norm without weights; x (B, N, D), shift and scale (B or 1, S, D)."""
    normed = F.layer_norm(x.float(), (x.shape[-1],), eps=eps)
    return _by_segment(_scale_shift, (normed,), (shift, scale), segments)


def add_gated(x: Tensor, update: Tensor, gate: Tensor, segments: tuple[int, ...]) -> Tensor:
    """x + gate·update; x and update (B, N, D), gate (B or 1, S, D)."""
    return _by_segment(torch.addcmul, (x, update), (gate,), segments)


def skip_tokens(segments: tuple[int, ...], count: int) -> tuple[int, tuple[int, ...]]:
    """The segments after the first `count` tokens, and the index of the first that is left."""
    first = 0
    while count and count >= segments[first]:
        count -= segments[first]
        first += 1
    return first, (segments[first] - count, *segments[first + 1 :])


def _scale_shift(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return torch.addcmul(shift, x, 1 + scale)


def _by_segment(
    function: Callable[..., Tensor],
    tokens: tuple[Tensor, ...],
    values: tuple[Tensor, ...],
    segments: tuple[int, ...],
) -> Tensor:
    if len(segments) == 1:
        return function(*tokens, *values)
    runs = zip(*(torch.split(tensor, list(segments), dim=1) for tensor in tokens), strict=True)
    pieces = [function(*run, *(value[:, index : index + 1] for value in values)) for index, run in enumerate(runs)]
    return torch.cat(pieces, dim=1)
