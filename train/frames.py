"""A pool of rendered clips on the training device, and the crops that training takes from it.

Rendering costs as much as training on the frames, so clips are rendered once, kept as uint8 (86 KB a frame of 128×224)
and cut anew, in time and space, each time they are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class CropConfig:
    """What one training step sees."""

    until: float
    """Share of the budget at which the next kind of crop takes over."""
    clips: int
    frames: int
    """4n - 3 of them."""
    height: int
    width: int


class FramePool:
    """Clips of one length, uint8 (N, T, H, W, 3)."""

    def __init__(self, clips: Tensor) -> None:
        self.clips = clips

    def __len__(self) -> int:
        return self.clips.shape[0]

    @property
    def num_frames(self) -> int:
        return self.clips.shape[0] * self.clips.shape[1]

    def draw(self, crop: CropConfig, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
        """Random crops (clips, 3, frames, height, width) in [-1, 1]; half of them mirrored.

        `generator` is a CPU generator: where a crop lies is decided without waiting for the device.
        """
        total, frames, rows, columns = self.clips.shape[:4]
        spans = torch.tensor([total, frames - crop.frames + 1, rows - crop.height + 1, columns - crop.width + 1, 2])
        places = (torch.rand(crop.clips, 5, generator=generator) * spans).long().tolist()
        cuts = []
        for clip, t, y, x, mirror in places:
            cut = self.clips[clip, t : t + crop.frames, y : y + crop.height, x : x + crop.width]
            cuts.append(cut.flip(2) if mirror else cut)
        return to_signed(torch.stack(cuts), dtype)


def to_signed(frames: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 frames (B, T, H, W, 3) to video (B, 3, T, H, W) in [-1, 1]."""
    return frames.movedim(-1, 1).to(dtype) / 127.5 - 1.0


def draw_pixels(frames: Tensor) -> Tensor:
    """Video (B, 3, T, H, W) to frames (B·T, 3, H, W)."""
    return frames.transpose(1, 2).flatten(0, 1)
