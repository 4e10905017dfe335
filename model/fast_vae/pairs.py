# mypy: disable-error-code="no-untyped-def, untyped-decorator"
"""Causal 3×3×3 convolutions two frames at a time, with two thirds of the products: Winograd's F(2, 3) along time.

For four consecutive frames a, b, c, d and the taps g₀, g₁, g₂ in time, the two frames that see them are
m₀ + m₁ + m₂ and m₁ − m₂ − m₃, with (Lavin and Gray, arXiv 1509.09308, section 4.1)

    m₀ = (a − c)·g₀   m₁ = (b + c)·(g₀ + g₁ + g₂)/2   m₂ = (c − b)·(g₀ − g₁ + g₂)/2   m₃ = (b − d)·g₂

where each product is a convolution in space, by cuDNN. They are made of float16 values, which have three bits more than
bfloat16: the result is as near to the exact one as if it had been made directly.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from .convolution import Convolution, Shortcut
from .ending_kernel import finish
from .grid import Grid
from .norm import EPSILON, Norm

BLOCK_VALUES = 4096
"""Values of a frame that a program holds."""


def for_pairs(convolution: Convolution) -> Convolution:
    """The same one, of kernel 3×3×3, to be made in pairs of frames."""
    taps = convolution.weights.view(*convolution.kernel, convolution.in_channels, convolution.out_channels).float()
    first, middle, last = taps.unbind(0)
    outer = first + last
    mixed = torch.stack([first, (outer + middle) / 2, (outer - middle) / 2, last]).half()
    filters = mixed.permute(0, 4, 3, 1, 2).flatten(0, 1)
    return replace(convolution, pair_filters=filters.contiguous(memory_format=torch.channels_last))


def convolve_in_pairs(
    source: Tensor,
    convolution: Convolution,
    *,
    raw: Tensor | None = None,
    active: Tensor | None = None,
    norm: Norm | None = None,
    shortcut: Shortcut | None = None,
) -> None:
    """See `convolve`. The source has no gaps between frames; a shortcut has the size of the targets."""
    assert convolution.pair_filters is not None, "made for pairs"
    filters = convolution.pair_filters.chunk(4)
    products = [_convolved(part, own) for part, own in zip(mixed_frames(source), filters, strict=True)]
    frames, grid = len(source) - convolution.past_frames, Grid.of(source)
    added = None if shortcut is None else shortcut.frames
    columns = triton.next_power_of_2(convolution.out_channels)
    rows = max(1, BLOCK_VALUES // columns)
    _finish_pairs[(triton.cdiv(grid.rows, rows), len(products[0]))](
        *products, convolution.bias, None if norm is None else norm.gamma, added, raw, active,
        frames, grid.height, grid.width, _stride(raw), _stride(active), _stride(added),
        OUT=convolution.out_channels, CHANNELS=convolution.channels, EPSILON=EPSILON,
        SHORTCUT_WIDTH=0 if added is None else added.shape[3],
        BLOCK_ROWS=rows, BLOCK_COLUMNS=columns, num_warps=8,
    )  # fmt: skip


def mixed_frames(source: Tensor) -> Tensor:
    """a − c, b + c, c − b and b − d around each pair of the frames (2 + T, H + 1, W + 1, C), float16:
    (4, ⌈T/2⌉, H + 1, W + 1, C). Where the last pair is one frame, its d is zero."""
    count, *shape = source.shape
    pairs = (count - 1) // 2
    mixed = source.new_empty(4, pairs, *shape, dtype=torch.float16)
    values = source[0].numel()
    _mix_frames[(triton.cdiv(values, BLOCK_VALUES), pairs)](
        source, mixed, count, values, BLOCK=BLOCK_VALUES, num_warps=8
    )
    return mixed


def _convolved(frames: Tensor, filters: Tensor) -> Tensor:
    """Frames (P, H + 1, W + 1, C) convolved in space, (P, H + 1, W + 1, N); margin: see `library.products_of`."""
    x = frames.permute(0, 3, 1, 2)
    if not x.is_cuda:
        return F.conv2d(x, filters, padding=1).permute(0, 2, 3, 1).contiguous()
    benchmark, deterministic, allow_tf32 = False, True, False
    y: Tensor = torch.cudnn_convolution(x, filters, (1, 1), (1, 1), (1, 1), 1, benchmark, deterministic, allow_tf32)
    return y.permute(0, 2, 3, 1).contiguous()


def _stride(frames: Tensor | None) -> int:
    return 0 if frames is None else frames.stride(0)


@triton.jit(do_not_specialize=["count"])
def _mix_frames(source, mixed, count, values, BLOCK: tl.constexpr):
    pair = tl.program_id(1).to(tl.int64)
    pairs = tl.num_programs(1)
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < values
    start = source + 2 * pair * values + at
    a = tl.load(start, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(start + values, mask=inside, other=0.0).to(tl.float32)
    c = tl.load(start + 2 * values, mask=inside, other=0.0).to(tl.float32)
    d = tl.load(start + 3 * values, mask=inside & (2 * pair + 3 < count), other=0.0).to(tl.float32)
    target = mixed + pair * values + at
    step = pairs.to(tl.int64) * values
    tl.store(target, (a - c).to(tl.float16), mask=inside)
    tl.store(target + step, (b + c).to(tl.float16), mask=inside)
    tl.store(target + 2 * step, (c - b).to(tl.float16), mask=inside)
    tl.store(target + 3 * step, (b - d).to(tl.float16), mask=inside)


@triton.jit(do_not_specialize=["frames", "height", "width"])
def _finish_pairs(
    products0, products1, products2, products3, bias, gamma, shortcut, raw, active, frames, height, width,
    raw_stride, active_stride, shortcut_stride,
    OUT: tl.constexpr, CHANNELS: tl.constexpr, EPSILON: tl.constexpr, SHORTCUT_WIDTH: tl.constexpr,
    BLOCK_ROWS: tl.constexpr, BLOCK_COLUMNS: tl.constexpr,
):  # fmt: skip
    """Rows of both frames of a pair: their sums of products, and all that follows."""
    pair = tl.program_id(1)
    row = tl.program_id(0) * BLOCK_ROWS + tl.arange(0, BLOCK_ROWS)
    column = tl.arange(0, BLOCK_COLUMNS)
    frame_rows = (height + 1) * (width + 1)
    inside = (row < frame_rows)[:, None] & (column < OUT)[None, :]
    at = pair.to(tl.int64) * frame_rows * OUT + row[:, None] * OUT + column[None, :]
    first = tl.load(products0 + at, mask=inside, other=0.0).to(tl.float32)
    second = tl.load(products1 + at, mask=inside, other=0.0).to(tl.float32)
    third = tl.load(products2 + at, mask=inside, other=0.0).to(tl.float32)
    last = tl.load(products3 + at, mask=inside, other=0.0).to(tl.float32)
    finish(
        first + second + third, bias, gamma, shortcut, raw, active, 2 * pair, row, column, frames, height, width, 0,
        raw_stride, active_stride, shortcut_stride, 0,
        1, OUT, CHANNELS, EPSILON, 1, 1, SHORTCUT_WIDTH,
    )  # fmt: skip
    if 2 * pair + 1 < frames:
        finish(
            second - third - last, bias, gamma, shortcut, raw, active, 2 * pair + 1, row, column, frames, height, width,
            0, raw_stride, active_stride, shortcut_stride, 0,
            1, OUT, CHANNELS, EPSILON, 1, 1, SHORTCUT_WIDTH,
        )  # fmt: skip
