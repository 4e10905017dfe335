"""The end of a convolution kernel: bias, shortcut, norm and SiLU of a block of rows, and the stores.

Targets that are None are left out. Rows of the margin get zeros, and so do columns that only fill up the frames.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .norm_kernel import norm_silu


@triton.jit
def finish_rows(
    values, bias, gamma, shortcut, raw, active, first_row, first_column, height, width,
    CHANNELS: tl.constexpr, EPSILON: tl.constexpr, BLOCK_ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr,
):  # fmt: skip
    """Store the ends of `values`, float32 (rows, columns), sums of products at rows of all frames from `first_row` on.

    The shortcut has the size of the targets, and all are descriptors. A block may reach into the next frame: what it
    writes there is what that frame's own block writes.
    """
    pitch = width + 1
    row = (first_row + tl.arange(0, BLOCK_ROWS)) % ((height + 1) * pitch)
    column = first_column + tl.arange(0, BLOCK_COLUMNS)
    known = column < CHANNELS
    values += tl.load(bias + column, mask=known, other=0.0)[None, :]
    if shortcut is not None:
        values += shortcut.load([first_row, first_column]).to(tl.float32)
    inside = (row < height * pitch) & (row % pitch < width)
    values = tl.where(inside[:, None] & known[None, :], values, 0.0)
    if raw is not None:
        raw.store([first_row, first_column], values.to(raw.dtype))
    if active is not None:
        scales = tl.load(gamma + column, mask=known, other=0.0)
        active.store([first_row, first_column], norm_silu(values, scales, CHANNELS, EPSILON).to(active.dtype))


@triton.jit(do_not_specialize=["height", "width"])
def finish_frames(
    products, bias, gamma, shortcut, raw, active, height, width,
    CHANNELS: tl.constexpr, EPSILON: tl.constexpr, BLOCK_ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr,
):  # fmt: skip
    """`finish_rows` of frames of products, whose margin holds anything."""
    first_row = tl.program_id(0) * BLOCK_ROWS
    values = products.load([first_row, 0]).to(tl.float32)
    finish_rows(
        values, bias, gamma, shortcut, raw, active, first_row, 0, height, width,
        CHANNELS, EPSILON, BLOCK_ROWS, BLOCK_COLUMNS,
    )  # fmt: skip


@triton.jit
def finish(
    values, bias, gamma, shortcut, raw, active, frame, row, column, frames, height, width, phase,
    raw_stride, active_stride, shortcut_stride, time_offset,
    SCALE: tl.constexpr, OUT: tl.constexpr, CHANNELS: tl.constexpr, EPSILON: tl.constexpr,
    TIME_FACTOR: tl.constexpr, REPEATS: tl.constexpr, SHORTCUT_WIDTH: tl.constexpr,
):  # fmt: skip
    """Store the ends of `values`, float32 (rows, columns), sums of products at rows `row` of frame `frame`, if there is
    that frame.

    Strides are values a frame. Targets are OUT wide.
    """
    pitch = width + 1
    at_h = row // pitch
    at_w = row % pitch
    down = phase // SCALE
    right = phase % SCALE
    known = column < CHANNELS
    values += tl.load(bias + column, mask=known, other=0.0)[None, :]
    if shortcut is not None:
        step = frame + time_offset
        taken = column
        factor: tl.constexpr = TIME_FACTOR * SCALE * SCALE
        if factor != REPEATS:
            taken = (column * factor + step % TIME_FACTOR * SCALE * SCALE + phase) // REPEATS
        start = shortcut + (step // TIME_FACTOR).to(tl.int64) * shortcut_stride
        source = start + row[:, None] * SHORTCUT_WIDTH + taken[None, :]
        values += tl.load(source, mask=(at_h <= height)[:, None] & known[None, :], other=0.0).to(tl.float32)
    values = tl.where(((at_h < height) & (at_w < width))[:, None] & known[None, :], values, 0.0)
    out_h = SCALE * at_h + down
    out_w = SCALE * at_w + right
    # What the last margin row and column would become beyond one row and column of margin is no part of the result.
    present = (frame < frames) & (at_h <= height) & (out_h <= SCALE * height) & (out_w <= SCALE * width)
    at = (out_h * (SCALE * width + 1) + out_w)[:, None] * OUT + column[None, :]
    stored = present[:, None] & (column < OUT)[None, :]
    if raw is not None:
        target = raw + frame.to(tl.int64) * raw_stride
        tl.store(target + at, values.to(raw.dtype.element_ty), mask=stored)
    if active is not None:
        scales = tl.load(gamma + column, mask=known, other=0.0)
        target = active + frame.to(tl.int64) * active_stride
        tl.store(target + at, norm_silu(values, scales, CHANNELS, EPSILON).to(active.dtype.element_ty), mask=stored)


@triton.jit
def finish_pixels(values, bias, pixels, frame, row, column, frames, height, width):
    """Store 12 channels (colour, column, row) of each position as 2×2 RGB pixels, from [-1, 1] to 0 … 255."""
    pitch = width + 1
    at_h = row // pitch
    at_w = row % pitch
    known = column < 12
    values += tl.load(bias + column, mask=known, other=0.0)[None, :]
    scaled = (tl.minimum(tl.maximum(values, -1.0), 1.0) + 1.0) * 127.5
    # Adding 1.5 · 2²³ leaves no bits below one: it rounds, halves to even.
    rounded = (scaled + 12582912.0) - 12582912.0
    colour = column // 4
    right = column // 2 % 2
    down = column % 2
    line = 2 * width * 3
    place = (2 * at_h * line + 2 * at_w * 3)[:, None] + (down * line + right * 3 + colour)[None, :]
    inside = ((frame < frames) & (at_h < height) & (at_w < width))[:, None] & known[None, :]
    target = pixels + frame.to(tl.int64) * (2 * height * line)
    tl.store(target + place, rounded.to(tl.uint8), mask=inside)
