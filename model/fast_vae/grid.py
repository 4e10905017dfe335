"""How the fast decoder lays frames out: channels last, with a margin of zeros that convolutions can run into.

A tensor of frames is (T, H + 1, W + 1, C), contiguous within a frame: one row of zeros below the picture and one column
right of it. In the matrix (T·(H + 1)·(W + 1), C) of its rows, the neighbour of a position, in space or time, is a fixed
number of rows away, and one that lies outside of the picture is zero: the margin serves as the left, right, upper and
lower padding at once. So a convolution is a sum of products of shifted row blocks with a tap's weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

CHANNEL_STEP = 8
"""Frames have a multiple of this many channels, so that rows begin where the GPU's copy engine wants them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Positions of a picture."""

    height: int
    width: int

    @property
    def pitch(self) -> int:
        """Rows of the matrix from a position to the one below."""
        return self.width + 1

    @property
    def rows(self) -> int:
        """Rows of the matrix that a frame takes."""
        return (self.height + 1) * self.pitch

    @property
    def doubled(self) -> Grid:
        """Twice the size."""
        return Grid(height=2 * self.height, width=2 * self.width)

    @classmethod
    def of(cls, frames: Tensor) -> Grid:
        """Of frames with a margin."""
        return cls(height=frames.shape[1] - 1, width=frames.shape[2] - 1)


def padded_channels(channels: int) -> int:
    """Channels of the frames that hold so many."""
    return -(-channels // CHANNEL_STEP) * CHANNEL_STEP


def empty_frames(count: int, grid: Grid, channels: int, like: Tensor) -> Tensor:
    """Frames whose values, margin included, are yet to be written; dtype and device are those of `like`."""
    return like.new_empty(count, grid.height + 1, grid.width + 1, channels)


def picture(frames: Tensor) -> Tensor:
    """The frames (T, H, W, C) without their margin, as a view."""
    return frames[:, :-1, :-1]


def clear_margin(frames: Tensor) -> None:
    """Write the margin's zeros."""
    frames[:, -1].zero_()
    frames[:, :, -1].zero_()


def framed(pictures: Tensor) -> Tensor:
    """Pictures (T, H, W, C) with a margin of zeros."""
    return torch.nn.functional.pad(pictures, (0, 0, 0, 1, 0, 1))
