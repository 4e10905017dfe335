"""Blocks of the video autoencoder that work on a stream piece by piece.

Shapes are (B, C, T, H, W). A stream's caches are a plain tuple of tensors in the order in which the blocks run: a piece
takes one in and gives the next one out, and nothing is kept in a module.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .layout import split_dim

Caches = tuple[Tensor, ...]

_HAS_ONEDNN: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


class StreamPiece:
    """The caches around one piece of a stream: those of the piece before, and those that this piece leaves."""

    def __init__(self, before: Caches | None) -> None:
        self.is_first = before is None
        self._before = iter(before or ())
        self._after: list[Tensor] = []

    def with_past(self, x: Tensor, frames: int) -> Tensor:
        """`x` with the stream's last `frames` frames in front; at the start of a stream, `x` alone.

        The last frames of the result (or fewer, if there are not as many) become the cache for the next piece.
        """
        if not self.is_first:
            x = torch.cat([next(self._before), x], dim=2)
        # A clone, because a view would keep the whole activation alive.
        self._after.append(x[:, :, -frames:].clone())
        return x

    def with_past_or_zeros(self, x: Tensor, frames: int) -> Tensor:
        """As `with_past`, but with zeros in front at the start of a stream."""
        if self.is_first:
            padded = F.pad(x, (0, 0, 0, 0, frames, 0))
            self._after.append(padded[:, :, -frames:].clone())
            return padded
        return self.with_past(x, frames)

    @property
    def caches(self) -> Caches:
        """What the next piece needs."""
        return tuple(self._after)


class StreamModule(nn.Module):
    """A module that reads and leaves caches."""

    @abstractmethod
    def forward(self, x: Tensor, piece: StreamPiece) -> Tensor: ...


class StreamSequential(StreamModule):
    """Modules in a row under the names '0', '1', …; those that work on streams get the piece."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        for index, module in enumerate(modules):
            self.add_module(str(index), module)

    def forward(self, x: Tensor, piece: StreamPiece) -> Tensor:
        for module in self.children():
            x = module(x, piece) if isinstance(module, StreamModule) else module(x)
        return x


def conv3d(x: Tensor, weight: Tensor, bias: Tensor | None, *, padding: tuple[int, int, int]) -> Tensor:
    """F.conv3d; on a CPU in float32 by oneDNN, since torch itself would take a path several times slower."""
    if x.device.type == "cpu" and x.dtype == torch.float32 and _HAS_ONEDNN:
        return torch.mkldnn_convolution(x, weight, bias, padding, (1, 1, 1), (1, 1, 1), 1)
    return F.conv3d(x, weight, bias, padding=padding)


class CausalConv3d(StreamModule):
    """Convolution that sees `kernel_time - 1` frames of the past and none of the future; size is kept."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel_time: int = 3, kernel_space: int = 3) -> None:
        super().__init__()
        kernel = (kernel_time, kernel_space, kernel_space)
        self.past_frames = kernel_time - 1
        self.padding = (0, kernel_space // 2, kernel_space // 2)
        convolution = nn.Conv3d(in_channels, out_channels, kernel)
        self.weight = convolution.weight
        self.bias = convolution.bias

    def forward(self, x: Tensor, piece: StreamPiece) -> Tensor:
        return conv3d(piece.with_past_or_zeros(x, self.past_frames), self.weight, self.bias, padding=self.padding)


class ChannelNorm(nn.Module):
    """x · rsqrt(mean(x²) + 1e-6) · γ over the channels, for images (B, C, H, W) or videos."""

    def __init__(self, channels: int, *, dims: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *(1,) * dims))

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(x.float().square().mean(dim=1, keepdim=True) + 1e-6)
        return x * scale.to(x.dtype) * self.gamma


class ResidualBlock(StreamModule):
    """Norm, SiLU, causal convolution, twice; with a 1×1×1 shortcut where widths differ."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        # The identity holds the place of a dropout in the published key names.
        self.residual = StreamSequential(
            [
                ChannelNorm(in_channels, dims=3),
                nn.SiLU(),
                CausalConv3d(in_channels, out_channels),
                ChannelNorm(out_channels, dims=3),
                nn.SiLU(),
                nn.Identity(),
                CausalConv3d(out_channels, out_channels),
            ]
        )
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv3d(in_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor, piece: StreamPiece) -> Tensor:
        main: Tensor = self.residual(x, piece)
        shortcut: Tensor = self.shortcut(x)
        return main + shortcut


class FrameAttention(nn.Module):
    """Single-head attention among the positions of each frame, as a residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels, dims=2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, kernel_size=1)
        self.proj = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        frames = fold_time(x)
        qkv = self.to_qkv(self.norm(frames)).flatten(2).transpose(1, 2)
        attended = F.scaled_dot_product_attention(*qkv.chunk(3, dim=-1))
        attended = self.proj(attended.transpose(1, 2).reshape(frames.shape))
        return x + unfold_time(attended, batch=x.shape[0])


def fold_time(x: Tensor) -> Tensor:
    """(B, C, T, H, W) to images (B·T, C, H, W)."""
    return x.transpose(1, 2).flatten(0, 1)


def unfold_time(images: Tensor, *, batch: int) -> Tensor:
    """Images (B·T, C, H, W) to (B, C, T, H, W)."""
    return split_dim(images, 0, (batch, -1)).transpose(1, 2)


def middle(channels: int) -> StreamSequential:
    """The block between the stages: residual block, attention within a frame, residual block."""
    return StreamSequential(
        [ResidualBlock(channels, channels), FrameAttention(channels), ResidualBlock(channels, channels)]
    )


def head(in_channels: int, out_channels: int) -> StreamSequential:
    """The last norm, SiLU and causal convolution."""
    return StreamSequential([ChannelNorm(in_channels, dims=3), nn.SiLU(), CausalConv3d(in_channels, out_channels)])
