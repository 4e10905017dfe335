"""What makes two pictures different: pixels, and edges at several scales.

The squared error is what PSNR measures, but it forgives blur and learns slowly once errors are small; the absolute
error does neither, and edges weigh outlines. All are cheap and need no trained network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureLossConfig:
    """Weights of the terms."""

    pixel: float = 0.5
    square: float = 4.0
    """Of the squared error: its gradient equals that of the pixels where an error is 1/32 of black to white."""
    edge: float = 0.2
    edge_scales: int = 3


def picture_loss(config: PictureLossConfig, made: Tensor, true: Tensor) -> Tensor:
    """Mean difference of frames (N, 3, H, W) in [-1, 1]."""
    error = made.float() - true.float()
    total = config.pixel * error.abs().mean() + config.square * error.square().mean()
    return total + config.edge * _edges(error, config.edge_scales) if config.edge else total


def _edges(error: Tensor, scales: int) -> Tensor:
    # Differences are linear: the edges' error is the error's edges.
    total = error.new_zeros(())
    for scale in range(scales):
        if scale:
            error = F.avg_pool2d(error, 2)
        total = total + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
        total = total + (error[..., :, 1:] - error[..., :, :-1]).abs().mean()
    return total / scales
