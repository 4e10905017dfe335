"""Convolutions over frames, and all that follows one until the next, in PyTorch.

The margin is convolved as if it were picture, because libraries take frames without gaps as they are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..vae_blocks import conv3d
from .convolution import Convolution, Shortcut, filters_of
from .grid import Grid, clear_margin, empty_frames, picture
from .norm import Norm, activate


def convolve_plainly(
    source: Tensor,
    convolution: Convolution,
    *,
    raw: Tensor | None,
    active: Tensor | None,
    norm: Norm | None,
    shortcut: Shortcut | None,
) -> None:
    """See `convolve`."""
    frames = convolved(source, convolution)
    if convolution.scale > 1:
        frames = _interleaved(frames, convolution, Grid.of(source))
    if shortcut is not None:
        _add(shortcut, frames, convolution)
    clear_margin(frames)
    if raw is not None:
        raw.copy_(frames)
    if active is not None:
        assert norm is not None, "active frames need a norm"
        activate(frames, norm, into=active)


def convolved(source: Tensor, convolution: Convolution) -> Tensor:
    """Convolution + bias (T, H + 1, W + 1, N), whose margin holds anything.

    With scale 2 it is (T, h + 2, w + 2, 4 · N), for sources of one frame each: a phase (down, right) of position (y, x)
    is at (y + down, x + right).
    """
    filters = filters_of(convolution) if convolution.filters is None else convolution.filters
    bias = convolution.bias.to(source.dtype)
    bias = bias if convolution.scale == 1 else bias.repeat(convolution.phases)
    time, rows, columns = convolution.kernel
    if convolution.kernel == (1, 1, 1):
        return F.linear(source, filters.flatten(1), bias)
    if time == 1:
        images = F.conv2d(source.permute(0, 3, 1, 2), filters[:, :, 0], bias, padding=(rows // 2, columns // 2))
        return images.permute(0, 2, 3, 1)
    video = conv3d(source.permute(3, 0, 1, 2)[None], filters, bias, padding=(0, rows // 2, columns // 2))
    return video[0].permute(1, 2, 3, 0)


def _interleaved(phases: Tensor, convolution: Convolution, grid: Grid) -> Tensor:
    """Frames (T, 2h + 1, 2w + 1, N) of `convolved`'s phases; their margin holds anything."""
    frames = empty_frames(len(phases), grid.doubled, convolution.out_channels, phases)
    for phase, values in enumerate(torch.split(phases, convolution.out_channels, dim=3)):
        down, right = divmod(phase, convolution.scale)
        places = picture(frames)[:, down :: convolution.scale, right :: convolution.scale]
        places.copy_(values[:, down : down + grid.height, right : right + grid.width])
    return frames


def _add(shortcut: Shortcut, frames: Tensor, convolution: Convolution) -> None:
    """Add what belongs to each sub-step: frames a time factor apart, every second row and column where scale is 2."""
    scale, steps = convolution.scale, shortcut.time_factor
    factor = steps * convolution.phases
    for index in range(factor):
        step, phase = divmod(index, convolution.phases)
        down, right = divmod(phase, scale)
        first = (step - shortcut.time_offset) % steps
        places = picture(frames)[first::steps, down::scale, right::scale, : convolution.channels]
        source = picture(shortcut.frames)[int(step < shortcut.time_offset) :]
        places.add_(source[..., _taken(index, factor, shortcut.repeats, convolution.channels)])


def _taken(index: int, factor: int, repeats: int, channels: int) -> slice | list[int]:
    """The shortcut's channels (n · factor + index) // repeats; a slice where they are evenly apart, which is faster."""
    if factor % repeats == 0:
        apart = factor // repeats
        return slice(index // repeats, channels * apart, apart)
    return [(channel * factor + index) // repeats for channel in range(channels)]
