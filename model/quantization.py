"""W8A8: linear layers with weights and activations of 8 bits, as integers or as floats (e4m3).

Weights have one scale per output channel, activations one per token; both are max|·|/127 (e4m3: max|·|/448), or 1
where all is zero. Products of integers are summed in int32. Layers of a checkpoint store `weight` (int8),
`weight_scale` (float32) and `bias`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCALE_SUFFIX = "weight_scale"
E4M3 = torch.float8_e4m3fn
E4M3_LIMIT = 448.0

_LIMIT = 127
# 127² · 1024 < 2²⁴: so many products add up exactly in float32, whose matrix product is the fast one on a CPU.
_EXACT_WIDTH = 1024


class QuantizedLayers(Enum):
    """Groups of a transformer's linear layers, as patterns of their names."""

    ATTENTION = r"blocks\.\d+\.(self|cross)_attn\.[qkvo]"
    """q, k, v, o of both attentions: what the reference quantises."""
    FEED_FORWARD = r"blocks\.\d+\.ffn\.[02]"
    CAMERA = r"blocks\.\d+\.cam_(injector_layer1|injector_layer2|scale_layer|shift_layer)"
    ACTION = r"blocks\.\d+\.action_model\.(t_qkv|proj_mouse|mouse_attn_q|proj_keyboard)"


def quantize_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weight (out, in) → int8 (out, in), rounded half to even, and scales (out,) float32."""
    values = weight.float()
    scales = _scales(values)
    return (values / scales[:, None]).round().to(torch.int8), scales


def quantize_activation(x: Tensor) -> tuple[Tensor, Tensor]:
    """Activations (…, in) → int8 (…, in), rounded half away from zero, and scales (…) float32."""
    values = x.float()
    scales = _scales(values)
    scaled = values / scales[..., None]
    return (scaled + scaled.sign() * 0.5).trunc().to(torch.int8), scales


def quantize_e4m3(x: Tensor) -> tuple[Tensor, Tensor]:
    """Weight or activations (…, in) → e4m3 (…, in), rounded half to even, and scales (…) float32."""
    values = x.float()
    scales = _scales(values, E4M3_LIMIT)
    return to_e4m3(values * (1 / scales[..., None])), scales


def to_e4m3(values: Tensor) -> Tensor:
    """Float values rounded to e4m3; what is out of its range becomes ±448."""
    return values.clamp(-E4M3_LIMIT, E4M3_LIMIT).to(E4M3)


def dequantize_weight(weight: Tensor, scales: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """int8 (out, in) and scales (out,) → weight (out, in)."""
    return (weight.float() * scales.float()[:, None]).to(dtype)


def int8_matmul(x: Tensor, weight: Tensor) -> Tensor:
    """Exact int32 product of int8 x (M, K) and weight (N, K) transposed, (M, N)."""
    if x.is_cuda:
        return _int8_matmul_cuda(x, weight)
    total = torch.zeros(x.shape[0], weight.shape[0], dtype=torch.int32, device=x.device)
    for start in range(0, x.shape[1], _EXACT_WIDTH):
        part = slice(start, start + _EXACT_WIDTH)
        total += F.linear(x[:, part].float(), weight[:, part].float()).to(torch.int32)
    return total


class Int8Linear(nn.Module):
    """A linear layer with an int8 weight, for inference: quantisation passes no gradient."""

    weight: Tensor
    weight_scale: Tensor

    def __init__(self, weight: Tensor, weight_scale: Tensor, bias: Tensor | None) -> None:
        """`weight` (out, in) int8, `weight_scale` (out,) float32, `bias` (out,)."""
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer(SCALE_SUFFIX, weight_scale)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    @classmethod
    def from_linear(cls, linear: nn.Linear) -> Int8Linear:
        weight, scales = quantize_weight(linear.weight.detach())
        return cls(weight, scales, linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out), in x's dtype; scaled and biased in float32."""
        quantized, scales = quantize_activation(x)
        product = int8_matmul(quantized.flatten(0, -2), self.weight)
        out = product.float() * scales.flatten()[:, None] * self.weight_scale
        if self.bias is not None:
            out = out + self.bias.float()
        return out.to(x.dtype).view(*x.shape[:-1], -1)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Int8Linear:
        """Move as any module, but keep the scales in float32 when the model changes its dtype."""
        scales = self.weight_scale
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.weight_scale.dtype != torch.float32:
            self.weight_scale = scales.to(self.weight_scale.device)
        return self


def quantize_module(model: nn.Module, layers: Collection[QuantizedLayers] = (QuantizedLayers.ATTENTION,)) -> list[str]:
    """Replace the linear layers of these groups by Int8Linear, in place; returns their names.

    On the meta device only the shapes change, so that a state dict with int8 weights can be loaded afterwards.
    """
    pattern = re.compile("|".join(group.value for group in layers))
    names = [
        name for name, module in model.named_modules() if isinstance(module, nn.Linear) and pattern.fullmatch(name)
    ]
    _swap(model, names)
    return names


def quantize_like(model: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Replace the linear layers that `state` stores as int8, in place; returns their names."""
    names = [key.removesuffix(f".{SCALE_SUFFIX}") for key in state if key.endswith(f".{SCALE_SUFFIX}")]
    _swap(model, names)
    return names


def dequantize_state(state: Mapping[str, Tensor], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """A state dict of plain layers from one that stores some as int8: int8 as a format to ship, not to compute in."""
    plain = {key: tensor for key, tensor in state.items() if not key.endswith(f".{SCALE_SUFFIX}")}
    for key in state.keys() - plain.keys():
        weight = f"{key.removesuffix(SCALE_SUFFIX)}weight"
        plain[weight] = dequantize_weight(state[weight], state[key], dtype)
    return plain


def _swap(model: nn.Module, names: Collection[str]) -> None:
    for name in names:
        linear = cast(nn.Linear, model.get_submodule(name))
        model.set_submodule(name, Int8Linear.from_linear(linear))


def _scales(values: Tensor, limit: float = _LIMIT) -> Tensor:
    largest = values.abs().amax(dim=-1) / limit
    return torch.where(largest == 0, torch.ones_like(largest), largest)


def _int8_matmul_cuda(x: Tensor, weight: Tensor) -> Tensor:
    """`torch._int_mm` wants more than 16 rows, and K and N in multiples of 8: pad with zeros."""
    rows, columns = x.shape[0], weight.shape[0]
    more_rows, more_columns, more_width = max(17 - rows, 0), -columns % 8, -x.shape[1] % 8
    x = F.pad(x, (0, more_width, 0, more_rows))
    weight = F.pad(weight, (0, more_width, 0, more_columns))
    return torch._int_mm(x, weight.t())[:rows, :columns]
