"""Contact sheets of samples: one row each, frames evenly over its length, the held keys below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from .sample import Sample
from .video import Frames

_MARGIN: Final = 14


def contact_sheet(samples: Sequence[Sample], columns: int = 8) -> Frames:
    """(rows, width, 3) picture of samples that all have the same size."""
    return np.concatenate([_row(sample, columns) for sample in samples])


def _row(sample: Sample, columns: int) -> Frames:
    picks = np.linspace(0, len(sample.frames) - 1, columns).round().astype(int)
    height, width = sample.frames.shape[1:3]
    canvas = Image.new("RGB", (columns * width, height + _MARGIN), (18, 18, 22))
    draw = ImageDraw.Draw(canvas)
    for column, pick in enumerate(picks):
        canvas.paste(Image.fromarray(sample.frames[pick]), (column * width, 0))
        draw.text((column * width + 3, height + 1), _caption(sample, int(pick)), fill=(220, 220, 210))
    return np.asarray(canvas)


def _caption(sample: Sample, frame: int) -> str:
    held = "".join(key for key, on in zip("WSAD", sample.keyboard[frame], strict=False) if on > 0.5)
    pitch, yaw = sample.mouse[frame]
    turn = f" {yaw * 15:+.1f}" if abs(yaw) >= 0.02 else ""
    tilt = f" pitch {pitch * 15:+.1f}" if abs(pitch) >= 0.02 else ""
    return f"{sample.key} {frame} {held}{turn}{tilt}" if frame == 0 else f"{frame} {held}{turn}{tilt}"
