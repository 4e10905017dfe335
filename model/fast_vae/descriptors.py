"""Frames as Hopper's copy engine sees them."""

from __future__ import annotations

from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor


def rows_of(frames: Tensor | None, block: list[int]) -> TensorDescriptor | None:
    """The matrix of rows of frames without gaps, in blocks; outside of it, zeros are read and nothing is written."""
    return None if frames is None else TensorDescriptor.from_tensor(frames.flatten(0, 2), block)
