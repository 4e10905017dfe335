# mypy: disable-error-code="no-untyped-def, untyped-decorator"
"""`advance` as one Triton kernel: a program holds a row in registers from the first load to the last store.

Gates and norms' factors and summands, which neighbouring rows share, are as large as a row: they are read once for
several of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from .formats import RowFormat, Rows, empty_rows
from .residual import Affine, Gate, Keep, Modulation, Step
from .row_store import store_row

_NO_NORM, _MODULATED, _AFFINE = 0, 1, 2


@dataclass(frozen=True, kw_only=True, slots=True)
class RowTiling:
    """How rows are shared out."""

    count: int
    """Rows that a program takes one after another."""
    warps: int
    registers: int = 255
    """At most so many a thread."""

    @classmethod
    def of(cls, block: int, *, has_tables: bool, has_camera: bool) -> RowTiling:
        """What was fastest on an H200 for rows that fit `block` values, with or without tables that several rows share
        and camera terms, which leave no registers for the next row."""
        if has_camera:
            return cls(count=1, warps=max(1, min(16, block // 256)))
        if not has_tables:
            return cls(count=1, warps=row_warps(block))
        # 128 registers for 16 values a thread: two programs of 8 warps fit a processor.
        warps = max(1, min(16, block // 512))
        return cls(count=4, warps=warps, registers=min(255, max(64, block // (4 * warps))))


@triton.jit
def _read(
    x, update, camera_scale, camera_shift, row, stop, at, inside, x_stride, update_stride, camera_stride,
    HAS_UPDATE: tl.constexpr, HAS_CAMERA: tl.constexpr,
):  # fmt: skip
    """What belongs to one row alone, zero from row `stop` on; x stands in for what is absent."""
    inside = inside & (row < stop)
    total = tl.load(x + row * x_stride + at, mask=inside, other=0.0)
    new, by, to = total, total, total
    if HAS_UPDATE:
        new = tl.load(update + row * update_stride + at, mask=inside, other=0.0)
    if HAS_CAMERA:
        by = tl.load(camera_scale + row * camera_stride + at, mask=inside, other=0.0)
        to = tl.load(camera_shift + row * camera_stride + at, mask=inside, other=0.0)
    return total, new, by, to


@triton.jit
def _advance(
    x, update, gate, camera_scale, camera_shift, scale, shift, segment, kept, values, scales,
    x_stride, update_stride, gate_stride, camera_stride, norm_stride, rows, width, eps,
    BLOCK: tl.constexpr,
    COUNT: tl.constexpr,
    HAS_UPDATE: tl.constexpr,
    HAS_GATE: tl.constexpr,
    HAS_CAMERA: tl.constexpr,
    NORM: tl.constexpr,
    KEEP: tl.constexpr,
    FORM: tl.constexpr,
):  # fmt: skip
    """COUNT rows one after another; the next one is read while one is computed."""
    start = tl.program_id(0).to(tl.int64) * COUNT
    stop = tl.minimum(start + COUNT, rows)
    at = tl.arange(0, BLOCK)
    inside = at < width
    run = tl.full((), -1, tl.int32)
    gating = tl.zeros((BLOCK,), tl.float32)
    weight = tl.zeros((BLOCK,), tl.float32)
    bias = tl.zeros((BLOCK,), tl.float32)
    if NORM == 2:
        weight = tl.load(scale + at, mask=inside, other=0.0)
        bias = tl.load(shift + at, mask=inside, other=0.0)
    next_total, next_new, next_by, next_to = _read(
        x, update, camera_scale, camera_shift, start, stop, at, inside, x_stride, update_stride, camera_stride,
        HAS_UPDATE, HAS_CAMERA,
    )  # fmt: skip
    for row in range(start, stop):
        total, new, by, to = next_total.to(tl.float32), next_new, next_by, next_to
        next_total, next_new, next_by, next_to = _read(
            x, update, camera_scale, camera_shift, row + 1, stop, at, inside, x_stride, update_stride, camera_stride,
            HAS_UPDATE, HAS_CAMERA,
        )  # fmt: skip
        if HAS_GATE or NORM == 1:
            now = tl.load(segment + row)
            if now != run:
                run = now
                if HAS_GATE:
                    gating = tl.load(gate + run * gate_stride + at, mask=inside, other=0.0)
                if NORM == 1:
                    weight = tl.load(scale + run * norm_stride + at, mask=inside, other=0.0) + 1.0
                    bias = tl.load(shift + run * norm_stride + at, mask=inside, other=0.0)
        if HAS_GATE:
            total = total + new.to(tl.float32) * gating
        elif HAS_UPDATE:
            total = total + new.to(tl.float32)
        if HAS_CAMERA:
            total = total + to.to(tl.float32) + total * by.to(tl.float32)
        normed = total
        if NORM != 0:
            centred = tl.where(inside, total - tl.sum(total) / width, 0.0)
            normed = centred * (1 / tl.sqrt(tl.sum(centred * centred) / width + eps)) * weight + bias
        if KEEP == 1:
            tl.store(kept + row * width + at, total.to(kept.dtype.element_ty), mask=inside)
        if KEEP == 2:
            tl.store(kept + row * width + at, normed.to(kept.dtype.element_ty), mask=inside)
        store_row(normed, values, scales, row, at, inside, width, FORM)


def launch_advance(x: Tensor, step: Step, *, tiling: RowTiling | None = None) -> tuple[Tensor, Rows]:
    """`advance` on a GPU. The last dimension of every tensor is contiguous."""
    total, width = x.shape
    kept = x if step.keep is Keep.NOTHING else torch.empty(total, width, dtype=step.stream, device=x.device)
    rows = empty_rows(total, width, step.form, step.plain, x.device)
    norm, by, to, norm_stride, segment = _norm_arguments(step.norm)
    gate, gate_stride, segment = _gate_arguments(step.gate, segment)
    camera_scale, camera_shift = step.camera or (None, None)
    block = triton.next_power_of_2(width)
    has_tables = gate is not None or norm != _NO_NORM
    tiling = tiling or RowTiling.of(block, has_tables=has_tables, has_camera=camera_scale is not None)
    _advance[(triton.cdiv(total, tiling.count),)](
        x, step.update, gate, camera_scale, camera_shift, by, to, segment, kept, rows.values, rows.scales,
        x.stride(0),
        0 if step.update is None else step.update.stride(0),
        gate_stride,
        0 if camera_scale is None else camera_scale.stride(0),
        norm_stride, total, width, step.eps,
        BLOCK=block,
        COUNT=tiling.count,
        HAS_UPDATE=step.update is not None,
        HAS_GATE=gate is not None,
        HAS_CAMERA=camera_scale is not None,
        NORM=norm,
        KEEP=int(step.keep),
        FORM=int(step.form),
        num_warps=tiling.warps,
        maxnreg=tiling.registers,
    )  # fmt: skip
    return kept, rows


def row_warps(block: int) -> int:
    """Warps of a program that holds `block` values and shares nothing: 32 of them a thread, more in wide rows."""
    return max(1, min(8, block // 1024))


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
