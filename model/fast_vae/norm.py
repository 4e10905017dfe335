"""Norm over the channels of each position, and SiLU."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .grid import padded_channels

EPSILON = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Norm:
    """x · rsqrt(mean(x²) + 1e-6) · γ."""

    gamma: Tensor
    """(C,) float32, C being the channels of the frames; zero for channels that only fill up."""
    channels: int
    """Of the network: the mean is over these."""


def norm_of(gamma: Tensor) -> Norm:
    """From the parameter of a ChannelNorm."""
    channels = gamma.numel()
    filled = F.pad(gamma.detach().float().flatten(), (0, padded_channels(channels) - channels))
    return Norm(gamma=filled.contiguous(), channels=channels)


def activate(frames: Tensor, norm: Norm, *, into: Tensor) -> None:
    """Write SiLU(norm(frames)) of frames (T, H + 1, W + 1, C) into a tensor of that shape. A margin stays zero."""
    if frames.is_cuda:
        from .norm_kernel import launch_activate

        launch_activate(frames, norm, into)
    else:
        torch.mul(frames, _scale(frames, norm), out=into)
        F.silu(into.mul_(norm.gamma), inplace=True)


def normed(frames: Tensor, norm: Norm) -> Tensor:
    """norm(frames) in float32."""
    x = frames.float()
    return x * _scale(x, norm) * norm.gamma


def _scale(frames: Tensor, norm: Norm) -> Tensor:
    """rsqrt(mean(x²) + 1e-6) of each position (T, H + 1, W + 1, 1)."""
    # Several times as fast on a CPU as a sum of squares.
    size: Tensor = torch.linalg.vector_norm(frames, dim=-1, keepdim=True, dtype=torch.float32)
    return (size.square_() / norm.channels + EPSILON).rsqrt_()
