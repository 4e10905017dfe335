"""What makes two pictures different: pixels, edges at several scales, and 8×8 block spectra.

Pixels alone reward blur. Edges weigh outlines, and the spectrum of a block weighs texture that has the right strength
in the wrong place. All three are cheap and need no trained network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.layout import split_dim

BLOCK = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureLossConfig:
    """Weights of the terms."""

    pixel: float = 1.0
    square: float = 1.0
    """Of the squared error, which is what PSNR measures."""
    edge: float = 0.5
    edge_scales: int = 3
    spectrum: float = 0.1


def picture_loss(config: PictureLossConfig, made: Tensor, true: Tensor) -> Tensor:
    """Mean difference of frames (N, 3, H, W) in [-1, 1]."""
    made, true = made.float(), true.float()
    error = made - true
    total = config.pixel * error.abs().mean() + config.square * error.square().mean()
    if config.edge:
        total = total + config.edge * _edges(error, config.edge_scales)
    if config.spectrum:
        total = total + config.spectrum * _spectrum(error)
    return total


def _edges(error: Tensor, scales: int) -> Tensor:
    # Differences are linear: the edges' error is the error's edges.
    total = error.new_zeros(())
    for scale in range(scales):
        if scale:
            error = F.avg_pool2d(error, 2)
        total = total + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
        total = total + (error[..., :, 1:] - error[..., :, :-1]).abs().mean()
    return total / scales


def _spectrum(error: Tensor) -> Tensor:
    """Mean absolute DCT coefficient of the error."""
    height, width = (size // BLOCK * BLOCK for size in error.shape[-2:])
    basis = _dct(error.device)
    blocks = split_dim(split_dim(error[..., :height, :width], -1, (-1, BLOCK)), -3, (-1, BLOCK))
    rows = torch.einsum("...hrwc,kc->...hrwk", blocks, basis)
    return torch.einsum("...hrwk,lr->...hlwk", rows, basis).abs().mean()


@lru_cache(maxsize=4)
def _dct(device: torch.device) -> Tensor:
    """Orthonormal DCT-II matrix (frequency, position)."""
    position = torch.arange(BLOCK) + 0.5
    basis = torch.cos(math.pi / BLOCK * torch.arange(BLOCK)[:, None] * position) * math.sqrt(2.0 / BLOCK)
    basis[0] /= math.sqrt(2.0)
    return basis.to(device)
