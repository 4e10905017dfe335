"""Convolutions over frames, with all that follows one until the next: bias, shortcut, norm and SiLU.

On a GPU this is one Triton kernel or two, or cuDNN and a kernel or two; elsewhere PyTorch, which means oneDNN on a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from .grid import padded_channels
from .norm import Norm


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Convolution:
    """Stride 1, size kept in space. In time, the first kernel_time − 1 frames of the source are the past.

    With scale 2 it stands for nearest ×2 followed by a 3×3 convolution: each of the four positions that a source
    position becomes (its phase) sees 2×2 source positions, with the weights of the taps that fall together summed up.
    That is the same function with 4/9 of the products.
    """

    weights: Tensor
    """(phases · taps · in channels, out channels): phases in the order (row, column), taps (time, row, column)."""
    bias: Tensor
    """(out channels,), float32."""
    kernel: tuple[int, int, int]
    channels: int
    """Out channels of the network; those after them only fill up, and stay zero."""
    scale: int = 1
    filters: Tensor | None = None
    """(phases · out channels, in channels, time, rows, columns), channels last: the weights for a library, where one
    shall do the convolution."""
    pair_filters: Tensor | None = None
    """(4 · out channels, in channels, 3, 3), float16, channels last: the weights for two frames at a time, where they
    shall be made so."""

    @property
    def phases(self) -> int:
        """Kinds of output positions."""
        return self.scale * self.scale

    @property
    def past_frames(self) -> int:
        """Frames of the source before the first one that has an output."""
        return self.kernel[0] - 1

    @property
    def in_channels(self) -> int:
        """Channels of the source, those that only fill up included."""
        time, rows, columns = self.kernel
        return self.weights.shape[0] // (self.phases * time * rows * columns)

    @property
    def out_channels(self) -> int:
        """Channels of the result, those that only fill up included."""
        return self.weights.shape[1]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shortcut:
    """Frames that are added to the result, at the source's size.

    With factor F = time_factor · scale² and r = F · out channels / channels of the frames, output channel n of sub-step
    k (time, row, column) takes channel (n · F + k) // r: the stage shortcut of the VAE; with F = 1 it is channel n.
    """

    frames: Tensor
    time_factor: int = 1
    time_offset: int = 0
    """Output frames that are missing at the start."""
    repeats: int = 1


def convolution_of(weight: Tensor, bias: Tensor) -> Convolution:
    """From the parameters of a Conv2d or Conv3d, of weight's dtype."""
    if weight.ndim == 4:
        weight = weight.unsqueeze(2)
    return _pack(weight[None], bias, scale=1)


def upsampling_convolution(weight: Tensor, bias: Tensor) -> Convolution:
    """From the parameters of the 3×3 Conv2d that follows a nearest ×2."""
    return _pack(torch.stack([_phase_kernel(weight, a, b) for a in range(2) for b in range(2)]), bias, scale=2)


def convolve(
    source: Tensor,
    convolution: Convolution,
    *,
    raw: Tensor | None = None,
    active: Tensor | None = None,
    norm: Norm | None = None,
    shortcut: Shortcut | None = None,
) -> None:
    """Write the convolution of `source` (T + past frames, h + 1, w + 1, C), margins included, to one target or both.

    raw: (T, H + 1, W + 1, N) for convolution + bias + shortcut. active: the same shape, for SiLU(norm(that)).
    """
    if source.is_cuda:
        from .convolution_kernel import launch_convolve

        launch_convolve(source, convolution, raw=raw, active=active, norm=norm, shortcut=shortcut)
    else:
        from .plain import convolve_plainly

        convolve_plainly(source, convolution, raw=raw, active=active, norm=norm, shortcut=shortcut)


def _phase_kernel(weight: Tensor, down: int, right: int) -> Tensor:
    """(N, C, 1, 2, 2): the 3×3 weights as output position (2h + down, 2w + right) sees the source."""
    rows = _merge_taps(weight.float(), down, dim=2)
    return _merge_taps(rows, right, dim=3).to(weight.dtype).unsqueeze(2)


def _merge_taps(weight: Tensor, phase: int, *, dim: int) -> Tensor:
    """Three taps at upsampled positions −1, 0, 1 from the phase on, as two taps at source positions."""
    first, second, third = weight.unbind(dim)
    pair = (first, second + third) if phase == 0 else (first + second, third)
    return torch.stack(pair, dim=dim)


def _pack(kernels: Tensor, bias: Tensor, *, scale: int) -> Convolution:
    """From kernels (phases, N, C, time, rows, columns), with channels filled up by zeros."""
    _, out_channels, in_channels, *taps = kernels.shape
    missing_out = padded_channels(out_channels) - out_channels
    missing_in = padded_channels(in_channels) - in_channels
    x = F.pad(kernels.permute(0, 3, 4, 5, 2, 1), (0, missing_out, 0, missing_in))
    time, rows, columns = taps
    return Convolution(
        weights=x.flatten(0, 4).contiguous(),
        bias=F.pad(bias.float(), (0, missing_out)).contiguous(),
        kernel=(time, rows, columns),
        channels=out_channels,
        scale=scale,
    )


def for_library(convolution: Convolution) -> Convolution:
    """The same one, to be run by a library."""
    return replace(convolution, filters=filters_of(convolution))


def filters_of(convolution: Convolution) -> Tensor:
    """See Convolution.filters."""
    shape = (convolution.phases, *convolution.kernel, convolution.in_channels, convolution.out_channels)
    kernels = convolution.weights.view(shape).permute(0, 5, 4, 1, 2, 3)
    return kernels.flatten(0, 1).contiguous(memory_format=torch.channels_last_3d)
