# mypy: disable-error-code="no-untyped-def, untyped-decorator"
"""`advance` as one Triton kernel: a program holds one row in registers from the first load to the last store."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .formats import RowFormat, Rows, empty_rows
from .residual import Affine, Gate, Keep, Modulation, Step
from .row_store import store_row

_NO_NORM, _MODULATED, _AFFINE = 0, 1, 2


@triton.jit
def _advance(
    x, update, gate, camera_scale, camera_shift, scale, shift, segment, kept, values, scales,
    x_stride, update_stride, gate_stride, camera_stride, norm_stride, width, eps,
    BLOCK: tl.constexpr,
    HAS_UPDATE: tl.constexpr,
    HAS_GATE: tl.constexpr,
    HAS_CAMERA: tl.constexpr,
    NORM: tl.constexpr,
    KEEP: tl.constexpr,
    FORM: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < width
    run = 0
    if HAS_GATE or NORM == 1:
        run = tl.load(segment + row)
    total = tl.load(x + row * x_stride + at, mask=inside, other=0.0).to(tl.float32)
    if HAS_UPDATE:
        new = tl.load(update + row * update_stride + at, mask=inside, other=0.0).to(tl.float32)
        if HAS_GATE:
            new = new * tl.load(gate + run * gate_stride + at, mask=inside, other=0.0)
        total = total + new
    if HAS_CAMERA:
        by = tl.load(camera_scale + row * camera_stride + at, mask=inside, other=0.0).to(tl.float32)
        to = tl.load(camera_shift + row * camera_stride + at, mask=inside, other=0.0).to(tl.float32)
        total = total + to + total * by
    normed = total
    if NORM != 0:
        centred = tl.where(inside, total - tl.sum(total) / width, 0.0)
        normed = centred * (1 / tl.sqrt(tl.sum(centred * centred) / width + eps))
        weight = tl.load(scale + run * norm_stride + at, mask=inside, other=0.0)
        bias = tl.load(shift + run * norm_stride + at, mask=inside, other=0.0)
        normed = normed * (weight + 1.0 if NORM == 1 else weight) + bias
    if KEEP == 1:
        tl.store(kept + row * width + at, total, mask=inside)
    if KEEP == 2:
        tl.store(kept + row * width + at, normed, mask=inside)
    store_row(normed, values, scales, row, at, inside, width, FORM)


def launch_advance(x: Tensor, step: Step, *, warps: int | None = None) -> tuple[Tensor, Rows]:
    """`advance` on a GPU. The last dimension of every tensor is contiguous."""
    count, width = x.shape
    kept = x if step.keep is Keep.NOTHING else torch.empty(count, width, dtype=torch.float32, device=x.device)
    rows = empty_rows(count, width, step.form, step.plain, x.device)
    norm, by, to, norm_stride, segment = _norm_arguments(step.norm)
    gate, gate_stride, segment = _gate_arguments(step.gate, segment)
    camera_scale, camera_shift = step.camera or (None, None)
    block = triton.next_power_of_2(width)
    _advance[(count,)](
        x, step.update, gate, camera_scale, camera_shift, by, to, segment, kept, rows.values, rows.scales,
        x.stride(0),
        0 if step.update is None else step.update.stride(0),
        gate_stride,
        0 if camera_scale is None else camera_scale.stride(0),
        norm_stride, width, step.eps,
        BLOCK=block,
        HAS_UPDATE=step.update is not None,
        HAS_GATE=gate is not None,
        HAS_CAMERA=camera_scale is not None,
        NORM=norm,
        KEEP=int(step.keep),
        FORM=int(step.form),
        num_warps=warps or row_warps(block),
    )  # fmt: skip
    return kept, rows


def row_warps(block: int) -> int:
    """Warps of a program that holds `block` values: 16 of them a thread."""
    return max(1, min(16, block // 512))


def _norm_arguments(norm: Modulation | Affine | None) -> tuple[int, Tensor | None, Tensor | None, int, Tensor | None]:
    """Kind of norm, its factor and its summand, their row stride, and the rows' runs."""
    if norm is None:
        return _NO_NORM, None, None, 0, None
    if isinstance(norm, Affine):
        return _AFFINE, norm.weight, norm.bias, 0, None
    assert norm.scale.stride() == norm.shift.stride()
    return _MODULATED, norm.scale, norm.shift, norm.scale.stride(0), norm.segment


def _gate_arguments(gate: Gate | None, segment: Tensor | None) -> tuple[Tensor | None, int, Tensor | None]:
    if gate is None:
        return None, 0, segment
    return gate.values, gate.values.stride(0), gate.segment


assert (Keep.SUM, Keep.NORMED) == (1, 2) and (RowFormat.PLAIN, RowFormat.INT8, RowFormat.E4M3) == (0, 1, 2)
