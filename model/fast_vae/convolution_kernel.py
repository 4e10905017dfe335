"""`convolve` as Triton kernels: matrix products of shifted row blocks, which Hopper's copy engine fetches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from .convolution import Convolution, Shortcut
from .descriptors import rows_of
from .ending_kernel import finish, finish_pixels, finish_rows
from .grid import Grid
from .library import convolve_by_library
from .norm import EPSILON, Norm, activate
from .pairs import convolve_in_pairs

WIDEST_BLOCK = 256
"""Channels up to which a row fits into a block, so that its norm can follow at once."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocks:
    """How a convolution is cut into programs."""

    rows: int
    columns: int
    depth: int = 64
    """Input channels of a step."""
    warps: int = 8
    stages: int = 4
    """Steps that are being fetched or multiplied at a time."""


@triton.jit
def _sum_products(
    source, weights, place, frame_rows, pitch, first_weight, first_column,
    IN: tl.constexpr, TIME: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, DEPTH: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Sums of products of an output frame's rows, tap by tap."""
    steps: tl.constexpr = (IN + DEPTH - 1) // DEPTH
    sums = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), tl.float32)
    for step in tl.range(TIME * ROWS * COLUMNS * steps, num_stages=STAGES):
        tap = step // steps
        channel = step % steps * DEPTH
        shift = tap // (ROWS * COLUMNS) * frame_rows + tap // COLUMNS % ROWS * pitch + tap % COLUMNS
        x = source.load([place + shift, channel])
        w = weights.load([(first_weight + tap) * IN + channel, first_column])
        sums = tl.dot(x, w, sums, input_precision="ieee")
    return sums


@triton.jit(do_not_specialize=["frames", "height", "width", "time_offset"])
def _convolve(
    source, weights, bias, gamma, shortcut, raw, active, pixels,
    frames, height, width, raw_stride, active_stride, shortcut_stride, time_offset,
    IN: tl.constexpr, OUT: tl.constexpr, TIME: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    SCALE: tl.constexpr, CHANNELS: tl.constexpr, EPSILON: tl.constexpr,
    TIME_FACTOR: tl.constexpr, REPEATS: tl.constexpr, SHORTCUT_WIDTH: tl.constexpr, BY_ROWS: tl.constexpr,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, DEPTH: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    pitch = width + 1
    frame_rows = (height + 1) * pitch
    # Time runs fastest, so that programs at work together read the same frames.
    frame = tl.program_id(0) % frames
    first_row = tl.program_id(0) // frames * BLOCK_ROWS
    first_column = tl.program_id(1) * BLOCK_COLUMNS
    phase = tl.program_id(2)
    corner = (phase // SCALE - ROWS // 2) * pitch + phase % SCALE - COLUMNS // 2
    start = frame * frame_rows + first_row
    sums = _sum_products(
        source, weights, start + corner, frame_rows, pitch, phase * TIME * ROWS * COLUMNS, first_column,
        IN, TIME, ROWS, COLUMNS, BLOCK_ROWS, BLOCK_COLUMNS, DEPTH, STAGES,
    )  # fmt: skip
    row = first_row + tl.arange(0, BLOCK_ROWS)
    column = first_column + tl.arange(0, BLOCK_COLUMNS)
    if pixels is not None:
        finish_pixels(sums, bias, pixels, frame, row, column, frames, height, width)
    elif BY_ROWS:
        finish_rows(
            sums, bias, gamma, shortcut, raw, active, start, first_column, height, width,
            CHANNELS, EPSILON, BLOCK_ROWS, BLOCK_COLUMNS,
        )  # fmt: skip
    else:
        finish(
            sums, bias, gamma, shortcut, raw, active, frame, row, column, frames, height, width, phase,
            raw_stride, active_stride, shortcut_stride, time_offset,
            SCALE, OUT, CHANNELS, EPSILON, TIME_FACTOR, REPEATS, SHORTCUT_WIDTH,
        )  # fmt: skip


def launch_convolve(
    source: Tensor,
    convolution: Convolution,
    *,
    raw: Tensor | None = None,
    active: Tensor | None = None,
    norm: Norm | None = None,
    shortcut: Shortcut | None = None,
    blocks: Blocks | None = None,
) -> None:
    """`convolve` on a GPU."""
    if blocks is None and convolution.pair_filters is not None:
        convolve_in_pairs(source, convolution, raw=raw, active=active, norm=norm, shortcut=shortcut)
        return
    if blocks is None and convolution.filters is not None:
        convolve_by_library(source, convolution, raw=raw, active=active, norm=norm, shortcut=shortcut)
        return
    blocks = blocks or choose_blocks(convolution)
    if active is None or convolution.out_channels <= blocks.columns:
        _launch(source, convolution, blocks, raw=raw, active=active, norm=norm, shortcut=shortcut)
        return
    assert norm is not None, "active frames need a norm"
    between = torch.empty_like(active) if raw is None else raw
    _launch(source, convolution, blocks, raw=between, shortcut=shortcut)
    activate(between, norm, into=active)


def launch_pixels(source: Tensor, convolution: Convolution, pixels: Tensor, *, blocks: Blocks | None = None) -> None:
    """`convolve_pixels` on a GPU."""
    _launch(source, convolution, blocks or choose_blocks(convolution), pixels=pixels)


def choose_blocks(convolution: Convolution) -> Blocks:
    """What was fastest on an H200."""
    columns = max(16, min(WIDEST_BLOCK, triton.next_power_of_2(convolution.out_channels)))
    if columns > 128:
        return Blocks(rows=128, columns=columns, stages=3)
    if columns > 64 and convolution.scale == 1:
        return Blocks(rows=256, columns=columns)
    return Blocks(rows=128, columns=columns, warps=4, stages=3)


def _launch(
    source: Tensor,
    convolution: Convolution,
    blocks: Blocks,
    *,
    raw: Tensor | None = None,
    active: Tensor | None = None,
    norm: Norm | None = None,
    shortcut: Shortcut | None = None,
    pixels: Tensor | None = None,
) -> None:
    grid = Grid.of(source)
    frames = len(source) - convolution.past_frames
    time, rows, columns = convolution.kernel
    places = triton.cdiv(grid.rows, blocks.rows)
    parts = triton.cdiv(convolution.out_channels, blocks.columns)
    by_rows = pixels is None and convolution.scale == 1 and all(_is_dense(target) for target in (raw, active))
    shape = [blocks.rows, blocks.columns]
    added = None if shortcut is None else shortcut.frames
    _convolve[(places * frames, parts, convolution.phases)](
        rows_of(source, [blocks.rows, blocks.depth]),
        TensorDescriptor.from_tensor(convolution.weights, [blocks.depth, blocks.columns]),
        convolution.bias,
        None if norm is None else norm.gamma,
        rows_of(added, shape) if by_rows else added,
        rows_of(raw, shape) if by_rows else raw,
        rows_of(active, shape) if by_rows else active,
        pixels,
        frames, grid.height, grid.width, _frame_stride(raw), _frame_stride(active), _frame_stride(added),
        0 if shortcut is None else shortcut.time_offset,
        IN=convolution.in_channels, OUT=convolution.out_channels, TIME=time, ROWS=rows, COLUMNS=columns,
        SCALE=convolution.scale, CHANNELS=convolution.channels, EPSILON=EPSILON,
        TIME_FACTOR=1 if shortcut is None else shortcut.time_factor,
        REPEATS=1 if shortcut is None else shortcut.repeats,
        SHORTCUT_WIDTH=0 if added is None else added.shape[3], BY_ROWS=by_rows,
        BLOCK_ROWS=blocks.rows, BLOCK_COLUMNS=blocks.columns, DEPTH=blocks.depth,
        STAGES=blocks.stages, num_warps=blocks.warps,
    )  # fmt: skip


def _is_dense(frames: Tensor | None) -> bool:
    """Whether each frame follows the one before without a gap."""
    return frames is None or frames.is_contiguous()


def _frame_stride(frames: Tensor | None) -> int:
    return 0 if frames is None else frames.stride(0)
