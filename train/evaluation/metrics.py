"""How alike two pictures are, and how sharp one is.

Pictures are float tensors (..., 3, H, W) in [-1, 1]; a mask (..., H, W) limits a measure to the pixels that are True.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 11
SIGMA = 1.5
LEAST_ERROR = 1e-10
"""Mean squared error that counts as none: 106 dB."""
_LUMA = (0.299, 0.587, 0.114)


def to_signed(frames: Tensor) -> Tensor:
    """Pictures (..., 3, H, W) in [-1, 1] of uint8 frames (..., H, W, 3)."""
    return frames.movedim(-1, -3).float() / 127.5 - 1.0


def psnr(made: Tensor, true: Tensor, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio (...) in dB, at most 106; NaN where the mask is empty."""
    error = (made.float().clamp(-1, 1) - true.float()).square().mean(dim=-3)
    return 10.0 * torch.log10(4.0 / _masked_mean(error, mask).clamp(min=LEAST_ERROR))


def ssim(made: Tensor, true: Tensor, mask: Tensor | None = None) -> Tensor:
    """Structural similarity (...) in [-1, 1], over windows whose centres the mask keeps; NaN where it keeps none."""
    border = WINDOW // 2
    inner = None if mask is None else mask[..., border:-border, border:-border]
    return _masked_mean(ssim_map(made, true), inner)


def ssim_map(made: Tensor, true: Tensor) -> Tensor:
    """(..., H-10, W-10) similarity of Gaussian 11×11 windows, mean of the channels.

    Wang, Bovik, Sheikh, Simoncelli 2004, equation 13, with K1 = 0.01 and K2 = 0.03.
    """
    x, y = ((picture.clamp(-1, 1) + 1.0).flatten(0, -3).unsqueeze(1) / 2.0 for picture in (made, true))
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    score = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    score = score / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return score.view(*made.shape[:-2], *score.shape[-2:]).mean(dim=-3)


def sharpness(picture: Tensor) -> Tensor:
    """(...) variance of the Laplacian of the luma: what blur takes away."""
    luma = _luma(picture)
    inner = luma[..., 1:-1, 1:-1]
    sides = luma[..., 2:, 1:-1] + luma[..., :-2, 1:-1] + luma[..., 1:-1, 2:] + luma[..., 1:-1, :-2]
    return (sides - 4 * inner).flatten(-2).var(dim=-1)


def mean_colour(picture: Tensor) -> Tensor:
    """(..., 3) mean red, green and blue in levels of 0 … 255."""
    return (picture.clamp(-1, 1).mean(dim=(-2, -1)) + 1.0) * 127.5


def contrast(picture: Tensor) -> Tensor:
    """(...) standard deviation of the luma in levels of 0 … 255."""
    return _luma(picture).flatten(-2).std(dim=-1) * 127.5


def shrink(picture: Tensor, height: int, width: int) -> Tensor:
    """The picture (..., 3, height, width) by averages of equal boxes of pixels."""
    small = F.adaptive_avg_pool2d(picture.reshape(-1, *picture.shape[-3:]), (height, width))
    return small.view(*picture.shape[:-2], height, width)


def _luma(picture: Tensor) -> Tensor:
    red, green, blue = picture.clamp(-1, 1).unbind(-3)
    return _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue


def _blur(x: Tensor) -> Tensor:
    """Gaussian windows of (n, 1, H, W) that lie wholly inside."""
    offsets = torch.arange(WINDOW, device=x.device) - WINDOW // 2
    kernel = torch.exp(-offsets.square() / (2 * SIGMA**2))
    kernel = (kernel / kernel.sum()).view(1, 1, 1, WINDOW)
    return F.conv2d(F.conv2d(x, kernel), kernel.mT)


def _masked_mean(values: Tensor, mask: Tensor | None) -> Tensor:
    if mask is None:
        return values.mean(dim=(-2, -1))
    return (values * mask).sum(dim=(-2, -1)) / mask.sum(dim=(-2, -1))
