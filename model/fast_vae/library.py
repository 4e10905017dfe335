"""Convolutions by cuDNN, with one Triton kernel for all that follows."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from .convolution import Convolution, Shortcut
from .descriptors import rows_of
from .ending_kernel import finish_frames
from .grid import Grid
from .norm import EPSILON, Norm

BLOCK_VALUES = 8192
"""Values that a program holds."""


def convolve_by_library(
    source: Tensor,
    convolution: Convolution,
    *,
    raw: Tensor | None = None,
    active: Tensor | None = None,
    norm: Norm | None = None,
    shortcut: Shortcut | None = None,
) -> None:
    """See `convolve`. Targets have no gaps between frames."""
    finish_products(products_of(source, convolution), convolution, raw=raw, active=active, norm=norm, shortcut=shortcut)


def products_of(source: Tensor, convolution: Convolution) -> Tensor:
    """The convolution (T, H + 1, W + 1, N) without bias; its margin holds anything.

    The source's margin is convolved as if it were picture, because cuDNN takes frames without gaps as they are. It
    picks an algorithm by its own rules, without trying any, so that every process picks the same.
    """
    assert convolution.filters is not None, "made for a library"
    _, rows, columns = convolution.kernel
    x = source.permute(3, 0, 1, 2)[None]
    padding = (0, rows // 2, columns // 2)
    benchmark, deterministic, allow_tf32 = False, True, False
    y: Tensor = torch.cudnn_convolution(
        x, convolution.filters, padding, (1, 1, 1), (1, 1, 1), 1, benchmark, deterministic, allow_tf32
    )
    return y[0].permute(1, 2, 3, 0)


def finish_products(
    products: Tensor,
    convolution: Convolution,
    *,
    raw: Tensor | None = None,
    active: Tensor | None = None,
    norm: Norm | None = None,
    shortcut: Shortcut | None = None,
) -> None:
    """Bias, shortcut, norm and SiLU of `products_of`; see `convolve`."""
    grid = Grid.of(products)
    columns = triton.next_power_of_2(convolution.out_channels)
    block = [max(8, BLOCK_VALUES // columns), columns]
    finish_frames[(triton.cdiv(len(products) * grid.rows, block[0]),)](
        rows_of(products, block),
        convolution.bias,
        None if norm is None else norm.gamma,
        rows_of(None if shortcut is None else shortcut.frames, block),
        rows_of(raw, block),
        rows_of(active, block),
        grid.height, grid.width, CHANNELS=convolution.channels, EPSILON=EPSILON,
        BLOCK_ROWS=block[0], BLOCK_COLUMNS=columns, num_warps=8,
    )  # fmt: skip
