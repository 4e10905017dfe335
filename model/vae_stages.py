"""Stages of the video autoencoder: residual blocks around a change of size, with a shortcut past the whole stage.

Shapes are (B, C, T, H, W). A stage halves or doubles space, and time too if `time` is set.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layout import split_dim
from .vae_blocks import CausalConv3d, ResidualBlock, StreamModule, StreamPiece, StreamSequential, fold_time, unfold_time


class Downsample(StreamModule):
    """Space: zeros right and below, 3×3 convolution of stride 2. Time: kernel 3, stride 2, past the first frame."""

    def __init__(self, channels: int, *, time: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, stride=2))
        self.time_conv = nn.Conv3d(channels, channels, (3, 1, 1), stride=(2, 1, 1)) if time else None

    def forward(self, x: Tensor, piece: StreamPiece) -> Tensor:
        x = unfold_time(self.resample(fold_time(x)), batch=x.shape[0])
        if self.time_conv is None:
            return x
        frames = piece.with_past(x, 1)
        if not piece.is_first:
            return self._halve_time(frames)
        return x if x.shape[2] == 1 else torch.cat([x[:, :, :1], self._halve_time(frames)], dim=2)

    def _halve_time(self, x: Tensor) -> Tensor:
        assert self.time_conv is not None
        halved: Tensor = self.time_conv(x)
        return halved


class Upsample(StreamModule):
    """Time: two frames of each, but one of a stream's first. Space: nearest ×2, then a 3×3 convolution."""

    def __init__(self, channels: int, *, time: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(channels, channels, 3, padding=1))
        self.time_conv = CausalConv3d(channels, 2 * channels, kernel_space=1) if time else None

    def forward(self, x: Tensor, piece: StreamPiece) -> Tensor:
        if self.time_conv is not None:
            # The first half of the channels is the earlier frame.
            pairs = split_dim(self.time_conv(x, piece), 1, (2, -1))
            x = pairs.permute(0, 2, 3, 1, 4, 5).flatten(2, 3)
            x = x[:, :, 1:] if piece.is_first else x
        return unfold_time(self.resample(fold_time(x)), batch=x.shape[0])


def average_shortcut(x: Tensor, out_channels: int, *, time_factor: int, space_factor: int) -> Tensor:
    """Reduces `x` by folding blocks of time and space into channels and averaging runs of them to `out_channels`.

    Time is filled up with zeros in front to a multiple of its factor.
    """
    batch, channels, frames, height, width = x.shape
    x = F.pad(x, (0, 0, 0, 0, -frames % time_factor, 0))
    x = x.reshape(
        batch, channels, -1, time_factor, height // space_factor, space_factor, width // space_factor, space_factor
    )
    x = x.permute(0, 1, 3, 5, 7, 2, 4, 6).flatten(1, 4)
    return split_dim(x, 1, (out_channels, -1)).mean(dim=2)


def repeat_shortcut(x: Tensor, out_channels: int, *, time_factor: int, space_factor: int) -> Tensor:
    """Enlarges `x` by repeating each channel and unfolding the copies into blocks of time and space."""
    factor = time_factor * space_factor * space_factor
    x = x.repeat_interleave(out_channels * factor // x.shape[1], dim=1)
    x = split_dim(x, 1, (out_channels, time_factor, space_factor, space_factor))
    x = x.permute(0, 1, 5, 2, 6, 3, 7, 4)
    return x.flatten(6, 7).flatten(4, 5).flatten(2, 3)


class DownStage(StreamModule):
    """Residual blocks, then half the size; or, in the last stage, the same size."""

    def __init__(self, in_channels: int, out_channels: int, *, blocks: int, space: bool, time: bool) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.factors = {"time_factor": 2 if time else 1, "space_factor": 2 if space else 1}
        modules: list[nn.Module] = [ResidualBlock(in_channels, out_channels)]
        modules += [ResidualBlock(out_channels, out_channels) for _ in range(blocks - 1)]
        if space:
            modules.append(Downsample(out_channels, time=time))
        self.downsamples = StreamSequential(modules)

    def forward(self, x: Tensor, piece: StreamPiece) -> Tensor:
        main: Tensor = self.downsamples(x, piece)
        return main + average_shortcut(x, self.out_channels, **self.factors)


class UpStage(StreamModule):
    """Residual blocks, then twice the size; or, in the last stage, the same size and no shortcut."""

    def __init__(self, in_channels: int, out_channels: int, *, blocks: int, space: bool, time: bool) -> None:
        super().__init__()
        self.out_channels = out_channels
        self.space = space
        self.time = time
        modules: list[nn.Module] = [ResidualBlock(in_channels, out_channels)]
        modules += [ResidualBlock(out_channels, out_channels) for _ in range(blocks - 1)]
        if space:
            modules.append(Upsample(out_channels, time=time))
        self.upsamples = StreamSequential(modules)

    def forward(self, x: Tensor, piece: StreamPiece) -> Tensor:
        main: Tensor = self.upsamples(x, piece)
        if not self.space:
            return main
        shortcut = repeat_shortcut(x, self.out_channels, time_factor=2 if self.time else 1, space_factor=2)
        if self.time and piece.is_first:
            shortcut = shortcut[:, :, 1:]
        return main + shortcut
