"""What every benchmark's worlds have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import ConfigError
from ...model.preset import DecoderChoice, Preset
from ...parallel.planner import Placement

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


def what_ran(preset: Preset, *, gpus: int, sessions: int) -> dict[str, Any]:
    """The fields of a record that say which model ran, and how. Raises ConfigError where its decoder has no name."""
    return {
        "preset": preset.name,
        "gpus": gpus,
        "sessions": sessions,
        "height": preset.video.height,
        "width": preset.video.width,
        "steps": preset.sampling.steps,
        "precision": preset.precision,
        "decoder": decoder_choice(preset),
        # Of a group; GPUs that have sessions of their own are to say so.
        "placement": Placement.REPLICATED if gpus > 1 else Placement.SINGLE,
    }


def decoder_choice(preset: Preset) -> DecoderChoice:
    """Which decoder the preset has. Raises ConfigError for one that has no name."""
    for choice in DecoderChoice:
        if choice.pruning_rate == preset.decoder_pruning_rate:
            return choice
    raise ConfigError(
        f"preset {preset.name!r} has a decoder pruned by {preset.decoder_pruning_rate:g}", hint="Give --decoder."
    )
