"""The last convolution, to pixels that can be shown."""

from __future__ import annotations

import torch
from torch import Tensor

from ..layout import split_dim
from .convolution import Convolution
from .grid import Grid, picture
from .plain import convolved

PATCH = 2
"""A position stands for 2×2 pixels."""


def convolve_pixels(source: Tensor, convolution: Convolution) -> Tensor:
    """RGB frames (T, 2H, 2W, 3), uint8, of a source with two past frames and a convolution to 12 channels.

    The channels are (colour, column, row) of the pixels; their values from -1 to 1 become 0 to 255.
    """
    if not source.is_cuda:
        return pixels_of(picture(convolved(source, convolution))[..., : 3 * PATCH * PATCH])
    from .convolution_kernel import launch_pixels

    grid = Grid.of(source).doubled
    pixels = source.new_empty(len(source) - convolution.past_frames, grid.height, grid.width, 3, dtype=torch.uint8)
    launch_pixels(source, convolution, pixels)
    return pixels


def pixels_of(patches: Tensor) -> Tensor:
    """Pictures (T, H, W, 12) as RGB frames (T, 2H, 2W, 3), uint8."""
    x = patches.clamp(-1, 1).add_(1).mul_(127.5).round_().to(torch.uint8)
    x = split_dim(x, 3, (3, PATCH, PATCH)).permute(0, 1, 5, 2, 4, 3)
    return x.flatten(3, 4).flatten(1, 2)
