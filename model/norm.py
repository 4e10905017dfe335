"""Normalisations, computed in float32 whatever the dtype of their input."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """x · rsqrt(mean(x²) + eps) · weight over the last dimension; returned in x's dtype."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.width = width
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), (self.width,), self.weight.float(), self.eps).to(x.dtype)


class LayerNorm(nn.Module):
    """Layer norm with weight and bias over the last dimension; returned in float32."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.width = width
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.float(), (self.width,), self.weight.float(), self.bias.float(), self.eps)


class UnscaledRMSNorm(nn.Module):
    """RMS norm over the last dimension that does not apply its weight, which checkpoints store all the same."""

    def __init__(self, width: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.width = width
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(…, width) in x's dtype."""
        return F.rms_norm(x.float(), (self.width,), None, self.eps).to(x.dtype)
