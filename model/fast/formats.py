"""Activations on their way into a matrix product: rows in the model's dtype, or in 8 bits with a scale each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from ..precision import Precision
from ..quantization import E4M3, quantize_activation, quantize_e4m3


class RowFormat(IntEnum):
    """What a row's values are stored as. The numbers are those that the kernels know."""

    PLAIN = 0
    """The model's dtype, without scales."""
    INT8 = 1
    E4M3 = 2

    @classmethod
    def of(cls, precision: Precision) -> RowFormat:
        """The format in which a precision multiplies."""
        return {Precision.BF16: cls.PLAIN, Precision.INT8: cls.INT8}.get(precision, cls.E4M3)

    def dtype(self, plain: torch.dtype) -> torch.dtype:
        """Of the values, in a model of dtype `plain`."""
        return {RowFormat.PLAIN: plain, RowFormat.INT8: torch.int8, RowFormat.E4M3: E4M3}[self]


def stream_dtype(precision: Precision) -> torch.dtype:
    """Of the residual stream between the passes over it: the fastest precision halves its bytes."""
    return torch.bfloat16 if precision is Precision.FP8_ATTENTION else torch.float32


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """M rows of width K."""

    values: Tensor
    """(M, K), contiguous."""
    scales: Tensor | None
    """(M,) float32 that the values are to be multiplied by; None for 1."""

    def last(self, count: int) -> Rows:
        """The last `count` rows."""
        scales = self.scales
        return Rows(values=self.values[-count:], scales=None if scales is None else scales[-count:])

    def dequantized(self) -> Tensor:
        """(M, K) float32."""
        values = self.values.float()
        return values if self.scales is None else values * self.scales[:, None]


def quantize_rows(x: Tensor, form: RowFormat, plain: torch.dtype) -> Rows:
    """Rows (M, K) of any float dtype, in a format; the definition that the kernels follow."""
    if form is RowFormat.PLAIN:
        return Rows(values=x.to(plain), scales=None)
    values, scales = quantize_activation(x) if form is RowFormat.INT8 else quantize_e4m3(x)
    return Rows(values=values, scales=scales)


def empty_rows(count: int, width: int, form: RowFormat, plain: torch.dtype, device: torch.device) -> Rows:
    """Rows for a kernel to fill."""
    scales = None if form is RowFormat.PLAIN else torch.empty(count, dtype=torch.float32, device=device)
    return Rows(values=torch.empty(count, width, dtype=form.dtype(plain), device=device), scales=scales)
