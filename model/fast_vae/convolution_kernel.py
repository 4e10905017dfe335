"""`convolve` as Triton kernels: matrix products of shifted row blocks, which Hopper's copy engine fetches.

Two ways to go through the taps. `_by_output` makes a block of one output frame from all its taps. `_by_input` walks
through time at one place: a block of an input frame is fetched once for each tap in space and multiplied with the
weights of all three taps in time, for the three output frames that see it, so that narrow convolutions are not held up
by fetching. Both add the products in the same order and give the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from .convolution import Convolution, Shortcut
from .ending_kernel import finish, finish_pixels
from .grid import Grid
from .norm import EPSILON, Norm, activate

WIDEST_BLOCK = 256
"""Channels up to which a row fits into a block, so that its norm can follow at once."""
SHORTEST_WALK = 16
"""Output frames from which walking through time pays: two more input frames are visited than there are outputs."""


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
    registers: int | None = None
    """That a thread may have; fewer let more programs run at a time."""
    by_input: bool = False


@triton.jit(do_not_specialize=["frames", "height", "width", "time_offset"])
def _by_output(
    source, weights, bias, gamma, shortcut, raw, active, pixels,
    frames, height, width, raw_stride, active_stride, shortcut_stride, time_offset,
    IN: tl.constexpr, OUT: tl.constexpr, TIME: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    SCALE: tl.constexpr, CHANNELS: tl.constexpr, EPSILON: tl.constexpr,
    TIME_FACTOR: tl.constexpr, REPEATS: tl.constexpr, SHORTCUT_WIDTH: tl.constexpr,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, DEPTH: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    pitch = width + 1
    frame_rows = (height + 1) * pitch
    # Time runs fastest, so that programs at work together read the same frames.
    frame = tl.program_id(0) % frames
    first_row = tl.program_id(0) // frames * BLOCK_ROWS
    phase = tl.program_id(2)
    first_column = tl.program_id(1) * BLOCK_COLUMNS
    steps: tl.constexpr = (IN + DEPTH - 1) // DEPTH
    taps: tl.constexpr = TIME * ROWS * COLUMNS
    corner = frame * frame_rows + first_row + (phase // SCALE - ROWS // 2) * pitch + phase % SCALE - COLUMNS // 2
    sums = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), tl.float32)
    for step in tl.range(taps * steps, num_stages=STAGES):
        tap = step // steps
        channel = step % steps * DEPTH
        place = corner + tap // (ROWS * COLUMNS) * frame_rows + tap // COLUMNS % ROWS * pitch + tap % COLUMNS
        x = source.load([place, channel])
        w = weights.load([(phase * taps + tap) * IN + channel, first_column])
        sums = tl.dot(x, w, sums, input_precision="ieee")
    row = first_row + tl.arange(0, BLOCK_ROWS)
    column = first_column + tl.arange(0, BLOCK_COLUMNS)
    if pixels is not None:
        finish_pixels(sums, bias, pixels, frame, row, column, height, width)
    else:
        finish(
            sums, bias, gamma, shortcut, raw, active, frame, row, column, height, width, phase,
            raw_stride, active_stride, shortcut_stride, time_offset,
            SCALE, OUT, CHANNELS, EPSILON, TIME_FACTOR, REPEATS, SHORTCUT_WIDTH,
        )  # fmt: skip


@triton.jit(do_not_specialize=["height", "width"])
def _by_input(
    source, weights, bias, gamma, shortcut, raw, active, pixels,
    frames: tl.constexpr, height, width, raw_stride, active_stride, shortcut_stride,
    IN: tl.constexpr, OUT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    CHANNELS: tl.constexpr, EPSILON: tl.constexpr, SHORTCUT_WIDTH: tl.constexpr,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr, DEPTH: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    pitch = width + 1
    frame_rows = (height + 1) * pitch
    first_row = tl.program_id(0) * BLOCK_ROWS
    first_column = tl.program_id(1) * BLOCK_COLUMNS
    steps: tl.constexpr = (IN + DEPTH - 1) // DEPTH
    taps: tl.constexpr = ROWS * COLUMNS
    corner = first_row - ROWS // 2 * pitch - COLUMNS // 2
    row = first_row + tl.arange(0, BLOCK_ROWS)
    column = first_column + tl.arange(0, BLOCK_COLUMNS)
    # Sums of the output frames to which the input frame is the last, the middle and the first of three.
    last = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), tl.float32)
    middle = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), tl.float32)
    for visited in range(frames + 2):
        first = tl.zeros((BLOCK_ROWS, BLOCK_COLUMNS), tl.float32)
        for step in tl.range(taps * steps, num_stages=STAGES):
            tap = step // steps
            channel = step % steps * DEPTH
            x = source.load([corner + visited * frame_rows + tap // COLUMNS * pitch + tap % COLUMNS, channel])
            last_w = weights.load([(2 * taps + tap) * IN + channel, first_column])
            middle_w = weights.load([(taps + tap) * IN + channel, first_column])
            first_w = weights.load([tap * IN + channel, first_column])
            last = tl.dot(x, last_w, last, input_precision="ieee")
            middle = tl.dot(x, middle_w, middle, input_precision="ieee")
            first = tl.dot(x, first_w, first, input_precision="ieee")
        if visited >= 2:
            frame = visited - 2
            if pixels is not None:
                finish_pixels(last, bias, pixels, frame, row, column, height, width)
            else:
                finish(
                    last, bias, gamma, shortcut, raw, active, frame, row, column, height, width, 0,
                    raw_stride, active_stride, shortcut_stride, 0,
                    1, OUT, CHANNELS, EPSILON, 1, 1, SHORTCUT_WIDTH,
                )  # fmt: skip
        last = middle
        middle = first


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
    frames = len(source) - convolution.past_frames
    blocks = blocks or choose_blocks(convolution, frames, Grid.of(source))
    if active is None or convolution.out_channels <= blocks.columns:
        _launch(source, convolution, blocks, raw=raw, active=active, norm=norm, shortcut=shortcut)
        return
    assert norm is not None, "active frames need a norm"
    between = torch.empty_like(active) if raw is None else raw
    _launch(source, convolution, blocks, raw=between, shortcut=shortcut)
    activate(between, norm, into=active)


def launch_pixels(source: Tensor, convolution: Convolution, pixels: Tensor, *, blocks: Blocks | None = None) -> None:
    """`convolve_pixels` on a GPU."""
    frames = len(source) - convolution.past_frames
    _launch(source, convolution, blocks or choose_blocks(convolution, frames, Grid.of(source)), pixels=pixels)


def choose_blocks(convolution: Convolution, frames: int, grid: Grid) -> Blocks:
    """What was fastest on an H200."""
    columns = max(16, min(WIDEST_BLOCK, triton.next_power_of_2(convolution.out_channels)))
    walks = columns <= 64 and convolution.kernel == (3, 3, 3) and frames >= SHORTEST_WALK
    if walks:
        return Blocks(rows=256, columns=columns, stages=3, by_input=True)
    return Blocks(rows=128 if columns == 256 else 256, columns=columns)


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
    extra = (
        {"frames": 0, "channels": 0}
        if shortcut is None
        else {
            "frames": shortcut.frames.stride(0),
            "channels": shortcut.frames.shape[3],
        }
    )
    arguments = (
        _rows_of(source, blocks.rows, blocks.depth),
        TensorDescriptor.from_tensor(convolution.weights, [blocks.depth, blocks.columns]),
        convolution.bias,
        None if norm is None else norm.gamma,
        None if shortcut is None else shortcut.frames,
        raw,
        active,
        pixels,
        frames,
        grid.height,
        grid.width,
        0 if raw is None else raw.stride(0),
        0 if active is None else active.stride(0),
        extra["frames"],
    )
    sizes = {
        "IN": convolution.in_channels,
        "OUT": convolution.out_channels,
        "ROWS": rows,
        "COLUMNS": columns,
        "CHANNELS": convolution.channels,
        "EPSILON": EPSILON,
        "SHORTCUT_WIDTH": extra["channels"],
        "BLOCK_ROWS": blocks.rows,
        "BLOCK_COLUMNS": blocks.columns,
        "DEPTH": blocks.depth,
        "STAGES": blocks.stages,
        "num_warps": blocks.warps,
        "maxnreg": blocks.registers,
    }
    if blocks.by_input:
        _by_input[(places, parts)](*arguments, **sizes)
    else:
        _by_output[(places * frames, parts, convolution.phases)](
            *arguments, 0 if shortcut is None else shortcut.time_offset, **sizes, TIME=time, SCALE=convolution.scale,
            TIME_FACTOR=1 if shortcut is None else shortcut.time_factor,
            REPEATS=1 if shortcut is None else shortcut.repeats,
        )  # fmt: skip


def _rows_of(source: Tensor, rows: int, depth: int) -> TensorDescriptor:
    """A contiguous tensor's matrix of rows, read in blocks; outside of it is zero."""
    return TensorDescriptor.from_tensor(source.flatten(0, 2), [rows, depth])
