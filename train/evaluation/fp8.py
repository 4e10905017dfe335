"""Linear layers rounded as if they ran in 8-bit floating point (e4m3), on any device.

Weights have one scale per output channel and activations one per token, both max|·|/448, or 1 where all is zero. The
product itself is exact: what is measured is the loss by rounding.
"""

from __future__ import annotations

import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...model.quantization import QuantizedLayers

E4M3 = torch.float8_e4m3fn
_LIMIT = torch.finfo(E4M3).max


def round_rows(values: Tensor) -> Tensor:
    """Values (..., K), float32, rounded to e4m3 times a scale for each row of K."""
    values = values.float()
    scale = values.abs().amax(dim=-1, keepdim=True) / _LIMIT
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    return (values / scale).to(E4M3).float() * scale


class RoundedLinear(nn.Module):
    """A linear layer whose weight and activations are rounded to e4m3."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(round_rows(linear.weight.detach()), requires_grad=False)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out), in x's dtype; multiplied in float32."""
        bias = None if self.bias is None else self.bias.float()
        return F.linear(round_rows(x), self.weight, bias).to(x.dtype)


def round_layers(model: nn.Module, group: QuantizedLayers = QuantizedLayers.ATTENTION) -> list[str]:
    """Replaces the linear layers of a group, in place; returns their names."""
    pattern = re.compile(group.value)
    names = [
        name for name, module in model.named_modules() if isinstance(module, nn.Linear) and pattern.fullmatch(name)
    ]
    for name in names:
        linear = model.get_submodule(name)
        assert isinstance(linear, nn.Linear)
        model.set_submodule(name, RoundedLinear(linear))
    return names
