"""What every benchmark's worlds have in common."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...model.preset import Preset

PROMPT = "A street at night after the rain, neon signs, wet asphalt"
VIEWPOINT = "first_person"
PIECE_LATENTS = 2
"""Latents that are decoded at a time, as a service does by default."""
STORE_BYTES = 16 << 30
"""Of memory for all worlds: an hour of one session at 720p takes 12 GB."""


def start_image(preset: Preset) -> npt.NDArray[np.uint8]:
    """A picture (H, W, 3) of smooth colours, of the preset's size."""
    rows, columns = np.mgrid[0 : preset.video.height, 0 : preset.video.width]
    red, green = 255 * rows / preset.video.height, 255 * columns / preset.video.width
    return np.stack([red, green, (red + green) / 2], axis=-1).astype(np.uint8)
