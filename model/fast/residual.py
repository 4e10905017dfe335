"""Everything between two matrix products that touches the residual stream, in one pass over it.

M rows of width D; S runs of tokens share their modulation, and `segment` says to which run a row belongs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import torch
import torch.nn.functional as F
from torch import Tensor

from .formats import RowFormat, Rows, quantize_rows


class Keep(IntEnum):
    """What becomes of the residual stream. The numbers are those that the kernel knows."""

    NOTHING = 0
    """It stays as it is: nothing was added, or nobody reads it again."""
    SUM = 1
    """It is written with the update added."""
    NORMED = 2
    """The normalised rows take its place."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Modulation:
    """Values of the S runs: (S, D) float32 each, the last dimension contiguous."""

    shift: Tensor
    scale: Tensor
    segment: Tensor
    """(M,) int32."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Affine:
    """Weight and bias of a norm, (D,) float32."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """What an update is multiplied by."""

    values: Tensor
    """(S, D) float32, the last dimension contiguous."""
    segment: Tensor
    """(M,) int32."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What happens to x: x + gate·update, then x·(1 + camera scale) + camera shift, then a norm; each may be absent."""

    form: RowFormat
    """Of the rows that leave."""
    plain: torch.dtype
    """The dtype of RowFormat.PLAIN."""
    eps: float = 1e-6
    update: Tensor | None = None
    """(M, D)."""
    gate: Gate | None = None
    camera: tuple[Tensor, Tensor] | None = None
    """Scale and shift, (M, D) each, the last dimension contiguous and with the same row stride."""
    norm: Modulation | Affine | None = None
    """LN(x)·(1 + scale) + shift, or LN(x)·weight + bias."""
    keep: Keep = Keep.NOTHING
    stream: torch.dtype = torch.float32
    """Of the residual stream that is written."""


def advance(x: Tensor, step: Step) -> tuple[Tensor, Rows]:
    """Rows x (M, D) through a step: the residual stream after it, of dtype `step.stream` (x itself with Keep.NOTHING),
    and the rows for the next matrix product."""
    if x.is_cuda:
        from .residual_kernel import launch_advance

        return launch_advance(x, step)
    return advance_plainly(x, step)


def as_rows(x: Tensor, form: RowFormat) -> Rows:
    """Rows x (M, K) in a format, with nothing done to them."""
    if form is RowFormat.PLAIN:
        return Rows(values=x, scales=None)
    return advance(x, Step(form=form, plain=x.dtype))[1]


def advance_plainly(x: Tensor, step: Step) -> tuple[Tensor, Rows]:
    """`advance` in plain PyTorch."""
    total = x.float()
    if step.update is not None:
        update = step.update.float()
        total = total + (update if step.gate is None else step.gate.values[step.gate.segment] * update)
    if step.camera is not None:
        scale, shift = step.camera
        total = total + shift.float() + total * scale.float()
    normed = _normalize(total, step)
    kept = x if step.keep is Keep.NOTHING else (total if step.keep is Keep.SUM else normed).to(step.stream)
    return kept, quantize_rows(normed, step.form, step.plain)


def _normalize(x: Tensor, step: Step) -> Tensor:
    width, norm = x.shape[-1], step.norm
    if norm is None:
        return x
    if isinstance(norm, Affine):
        return F.layer_norm(x, (width,), norm.weight, norm.bias, step.eps)
    normed = F.layer_norm(x, (width,), eps=step.eps)
    return torch.addcmul(norm.shift[norm.segment], normed, 1 + norm.scale[norm.segment])
