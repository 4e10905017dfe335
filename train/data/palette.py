"""Named colours of the rendered worlds: a closed list, so that prompts can name what is seen."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

_SRGB: Final[dict[str, tuple[int, int, int]]] = {
    "red": (196, 48, 40),
    "crimson": (150, 24, 48),
    "orange": (232, 128, 36),
    "yellow": (240, 204, 56),
    "gold": (214, 166, 54),
    "green": (64, 150, 62),
    "lime": (150, 204, 66),
    "olive": (116, 122, 54),
    "teal": (36, 140, 138),
    "turquoise": (72, 196, 190),
    "blue": (50, 96, 196),
    "navy": (34, 48, 110),
    "violet": (124, 72, 180),
    "magenta": (196, 62, 150),
    "pink": (238, 150, 170),
    "brown": (120, 80, 48),
    "tan": (200, 166, 120),
    "cream": (240, 226, 192),
    "white": (240, 240, 236),
    "silver": (180, 186, 194),
    "grey": (130, 132, 134),
    "slate": (84, 94, 108),
    "black": (36, 36, 40),
}

VIVID: Final = (
    "red", "crimson", "orange", "yellow", "gold", "green", "lime", "teal", "turquoise", "blue", "violet", "magenta",
    "pink", "white",
)  # fmt: skip
"""Colours for things that should stand out."""

WALLS: Final = (
    "red",
    "brown",
    "tan",
    "cream",
    "white",
    "silver",
    "grey",
    "slate",
    "teal",
    "olive",
    "orange",
    "navy",
    "pink",
    "gold",
)
"""Colours for large surfaces."""

NAMES: Final = tuple(_SRGB)


def linear(name: str) -> npt.NDArray[np.float32]:
    """(3,) light of a named colour, in [0, 1], by the renderer's square-root tone curve."""
    color: npt.NDArray[np.float32] = np.square(np.asarray(_SRGB[name], np.float32) / np.float32(255))
    return color


def shade(name: str, factor: float) -> npt.NDArray[np.float32]:
    """(3,) the named colour, darker (factor < 1) or lighter, in the same light units."""
    shaded: npt.NDArray[np.float32] = np.clip(linear(name) * factor, 0.0, 1.0).astype(np.float32)
    return shaded
