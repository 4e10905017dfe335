"""RGB pixels to the planes that video encoders take, on the pixels' device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

LUMA = (0.2126, 0.7152, 0.0722)
"""Weights of red, green and blue: ITU-R BT.709, section 3.2."""


def rgb_to_i420(pixels: Tensor) -> Tensor:
    """RGB (F, H, W, 3) uint8 to BT.709 in limited range, (F, 3 H / 2, W) uint8: H rows of luma, then the two planes of
    chroma, each pixel of which is the mean of four. H is a multiple of 4 and W even."""
    frames, height, width, _ = pixels.shape
    colours = pixels.permute(0, 3, 1, 2).float()
    quarter = functional.avg_pool2d(colours, 2)
    quarter_luma = _weighted(quarter)
    chroma = [
        128 + (224 / 255) * (quarter[:, colour] - quarter_luma) / (2 * (1 - LUMA[colour]))
        for colour in (2, 0)  # blue, red
    ]
    planes = [16 + (219 / 255) * _weighted(colours), *(plane.reshape(frames, height // 4, width) for plane in chroma)]
    return torch.cat([plane.round_().clamp_(0, 255).to(torch.uint8) for plane in planes], dim=1)


def _weighted(colours: Tensor) -> Tensor:
    """Luma (F, H, W) of colours (F, 3, H, W), in the same range."""
    red, green, blue = LUMA
    return red * colours[:, 0] + green * colours[:, 1] + blue * colours[:, 2]
