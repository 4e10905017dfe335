"""One piece's frames in the forms that encoders ask for, each made once."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.uint8]

_BT709 = 1
"""As PyAV numbers colour spaces."""


class Layout(Enum):
    """How frames lie in an array of bytes. Colours are BT.709; luma and chroma have video's limited range."""

    RGB = "rgb24"
    """(n, H, W, 3)."""
    I420 = "yuv420p"
    """(n, 3 H / 2, W): H rows of luma, then the two planes of chroma with half the resolution, row after row."""


class Pictures:
    """Frames of one size, given in either layout."""

    def __init__(self, frames: Frames) -> None:
        self.layout = Layout.RGB if frames.ndim == 4 else Layout.I420
        self._frames = np.ascontiguousarray(frames)
        self._height = frames.shape[1] if self.layout is Layout.RGB else frames.shape[1] * 2 // 3
        self._width = frames.shape[2]
        self._made: dict[tuple[Layout, int, int], list[Any]] = {}

    def rgb(self, width: int, height: int) -> Frames:
        """RGB frames (n, height, width, 3)."""
        if (self.layout, self._width, self._height) == (Layout.RGB, width, height):
            return self._frames
        return np.stack([frame.to_ndarray() for frame in self.video(Layout.RGB, width, height)])

    def video(self, layout: Layout, width: int, height: int) -> list[Any]:
        """The frames as PyAV's, which share memory with these and are not to be written."""
        key = (layout, width, height)
        if key not in self._made:
            self._made[key] = self._make(layout, width, height)
        return self._made[key]

    def _make(self, layout: Layout, width: int, height: int) -> list[Any]:
        # JPEG and raw frames in full size need no PyAV.
        import av
        from av.video.reformatter import VideoReformatter

        is_full_size = (width, height) == (self._width, self._height)
        if layout is self.layout and is_full_size:
            return [av.VideoFrame.from_numpy_buffer(frame, format=layout.value) for frame in self._frames]
        # Small pictures are made of a large one in their own layout, which has the smaller half of the bytes.
        source = self.video(self.layout if is_full_size else layout, self._width, self._height)
        shape = VideoReformatter()
        return [shape.reformat(frame, width, height, layout.value, _BT709, _BT709) for frame in source]
