"""Convolutions over frames, with all that follows one until the next: bias, shortcut, norm and SiLU.

On a GPU this is one Triton kernel where a row fits into a block, and two where it does not; elsewhere plain PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layout import split_dim
from .grid import framed, padded_channels, picture
from .norm import Norm, activate


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
    """(out channels, in channels, time, rows, columns), channels last: the weights for a library's convolution, where
    that is the faster one."""

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
        convolve_plainly(source, convolution, raw=raw, active=active, norm=norm, shortcut=shortcut)


def convolve_plainly(
    source: Tensor,
    convolution: Convolution,
    *,
    raw: Tensor | None,
    active: Tensor | None,
    norm: Norm | None,
    shortcut: Shortcut | None,
) -> None:
    """`convolve` in plain PyTorch."""
    values = convolved_pictures(source, convolution)
    if shortcut is not None:
        values = values + _enlarged(shortcut, len(values), convolution)
    frames = framed(values.to(source.dtype))
    if raw is not None:
        raw.copy_(frames)
    if active is not None:
        assert norm is not None, "active frames need a norm"
        activate(frames, norm, into=active)


def convolved_pictures(source: Tensor, convolution: Convolution) -> Tensor:
    """Pictures (T, H, W, N) in float32, by PyTorch's convolutions."""
    time, rows, columns = convolution.kernel
    kernels = convolution.weights.view(convolution.phases, time, rows, columns, -1, convolution.out_channels)
    x = picture(source).permute(3, 0, 1, 2)[None]
    phases = []
    for phase, kernel in enumerate(kernels.permute(0, 5, 4, 1, 2, 3)):
        down, right = divmod(phase, convolution.scale)
        above, left = rows // 2 - down, columns // 2 - right
        padded = F.pad(x, (left, columns - 1 - left, above, rows - 1 - above))
        phases.append(F.conv3d(padded, kernel)[0].permute(1, 2, 3, 0).float() + convolution.bias)
    return _interleaved(torch.stack(phases), convolution.scale)


def _interleaved(phases: Tensor, scale: int) -> Tensor:
    """Phases (s², T, h, w, N) as pictures (T, s·h, s·w, N)."""
    _, frames, height, width, channels = phases.shape
    x = phases.view(scale, scale, frames, height, width, channels).permute(2, 3, 0, 4, 1, 5)
    return x.reshape(frames, scale * height, scale * width, channels)


def _enlarged(shortcut: Shortcut, frames: int, convolution: Convolution) -> Tensor:
    """What a shortcut adds to the convolution's pictures (T, H, W, N)."""
    x = picture(shortcut.frames).float()
    scale = convolution.scale
    factor = shortcut.time_factor * convolution.phases
    taken = torch.arange(convolution.channels * factor, device=x.device) // shortcut.repeats
    x = split_dim(x[..., taken], 3, (-1, shortcut.time_factor, scale, scale))
    x = F.pad(x.movedim(3, -1), (0, convolution.out_channels - convolution.channels))
    # (t, h, w, time, row, column, n) to (t, time, h, row, w, column, n)
    x = x.permute(0, 3, 1, 4, 2, 5, 6).flatten(4, 5).flatten(2, 3).flatten(0, 1)
    return x[shortcut.time_offset :][:frames]


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
    kernels = convolution.weights.view(*convolution.kernel, convolution.in_channels, convolution.out_channels)
    filters = kernels.permute(4, 3, 0, 1, 2).contiguous(memory_format=torch.channels_last_3d)
    return replace(convolution, filters=filters)
