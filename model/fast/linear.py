"""Linear layers on quantised rows, with several layers of the same input as one matrix product."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..quantization import Int8Linear, dequantize_weight, int8_matmul, quantize_e4m3, quantize_weight
from .formats import RowFormat, Rows

Layer = nn.Linear | Int8Linear


class FusedLinear(nn.Module):
    """Rows (M, K) in a format to (M, N) in the model's dtype, with weights of the same format, for inference."""

    weight: Tensor
    scales: Tensor | None
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None, form: RowFormat) -> None:
        """weight (N, K) and bias (N,) in the model's dtype."""
        super().__init__()
        self.form = form
        self.plain = weight.dtype
        quantized, scales = _quantize(weight.detach(), form)
        self._register(quantized, scales, bias)

    @classmethod
    def of(cls, layers: Sequence[Layer], form: RowFormat, plain: torch.dtype) -> FusedLinear:
        """Layers of the same input side by side."""
        weight = torch.cat([plain_weight(layer, plain) for layer in layers])
        biases: list[Tensor] = [layer.bias for layer in layers if layer.bias is not None]
        assert len(biases) in (0, len(layers)), "layers side by side all have a bias, or none has"
        return cls(weight, torch.cat(biases).to(plain) if biases else None, form)

    def _register(self, weight: Tensor, scales: Tensor | None, bias: Tensor | None) -> None:
        self.register_buffer("weight", weight)
        self.register_buffer("scales", scales)
        self.register_buffer("bias", None if bias is None else bias.detach())

    def forward(self, rows: Rows) -> Tensor:
        if not rows.values.is_cuda or self.form is RowFormat.PLAIN:
            return self.multiply_plainly(rows)
        assert rows.scales is not None and self.scales is not None
        # torch's own e4m3 product of rows adds no bias to float32.
        if self.form is RowFormat.E4M3 and self.plain is torch.bfloat16:
            return torch._scaled_mm(
                rows.values,
                self.weight.t(),
                scale_a=rows.scales[:, None],
                scale_b=self.scales[None],
                bias=self.bias,
                out_dtype=self.plain,
                use_fast_accum=True,
            )
        from .product_kernel import launch_product

        return launch_product(rows, self.weight, self.scales, self.bias, self.plain)

    def multiply_plainly(self, rows: Rows) -> Tensor:
        """The product in plain PyTorch: 8-bit values multiplied exactly, scaled and biased in float32."""
        if rows.scales is None or self.scales is None:
            return F.linear(rows.values, self.weight, self.bias)
        if self.form is RowFormat.INT8:
            product = int8_matmul(rows.values, self.weight).float()
        else:
            product = F.linear(rows.values.float(), self.weight.float())
        product = product * rows.scales[:, None] * self.scales
        return (product if self.bias is None else product + self.bias.float()).to(self.plain)


def plain_weight(layer: Layer, plain: torch.dtype) -> Tensor:
    """A layer's weight (N, K), in the model's dtype."""
    if isinstance(layer, Int8Linear):
        return dequantize_weight(layer.weight, layer.weight_scale, plain)
    return layer.weight.detach().to(plain)


def _quantize(weight: Tensor, form: RowFormat) -> tuple[Tensor, Tensor | None]:
    match form:
        case RowFormat.PLAIN:
            return weight.contiguous(), None
        case RowFormat.INT8:
            return quantize_weight(weight)
        case RowFormat.E4M3:
            return quantize_e4m3(weight)
