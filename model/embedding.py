"""The transformer's ends: latents to tokens, tokens to velocity."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layout import patchify
from .modulation import linear_float32, modulate
from .transformer_config import TransformerConfig


class PatchEmbedding(nn.Module):
    """A convolution whose stride is its kernel, as one matrix product; (B, C, F, h, w) → (B, N, D)."""

    def __init__(self, channels: int, dim: int, patch_size: tuple[int, ...]) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.weight = nn.Parameter(torch.zeros(dim, channels, *patch_size))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(patchify(x, self.patch_size).to(self.weight.dtype), self.weight.flatten(1), self.bias)


class Head(nn.Module):
    """Tokens to patches of velocity, in float32."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.eps = config.eps
        _, rows, columns = config.patch_size
        self.head = nn.Linear(config.dim, rows * columns * config.out_dim)
        self.modulation = nn.Parameter(torch.zeros(1, 2, config.dim))

    def forward(self, x: Tensor, embedded: Tensor, segments: tuple[int, ...]) -> Tensor:
        """x (B, N, D), `embedded` timesteps (B or 1, S, D) → (B, N, patch rows · patch columns · channels)."""
        shift, scale = (self.modulation.float() + embedded[:, :, None]).unbind(2)
        return linear_float32(self.head, modulate(x, shift, scale, segments, self.eps))
