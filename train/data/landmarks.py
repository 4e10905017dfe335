"""Landmarks and furniture made of solids of revolution: towers, trees, fountains, statues, crystals and the like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from .blueprint import Blueprint
from .patterns import Pattern


@dataclass(frozen=True, kw_only=True, slots=True)
class Skin:
    """Material numbers of one landmark."""

    body: int
    accent: int
    glow: int


Builder = Callable[[Blueprint, float, float, float, Skin], None]
"""(blueprint, x, y, size, skin): builds at a place; size 1 is about twice a person's height."""


def _tower(bp: Blueprint, x: float, y: float, s: float, skin: Skin) -> None:
    bp.solid(x, y, 0, 5 * s, 1.1 * s, 1.0 * s, skin.body)
    bp.solid(x, y, 5 * s, 7.6 * s, 1.45 * s, 0.02, skin.accent)


def _obelisk(bp: Blueprint, x: float, y: float, s: float, skin: Skin) -> None:
    bp.solid(x, y, 0, 0.5 * s, 1.0 * s, 1.0 * s, skin.accent)
    bp.solid(x, y, 0.5 * s, 5 * s, 0.6 * s, 0.3 * s, skin.body)
    bp.solid(x, y, 5 * s, 5.6 * s, 0.3 * s, 0.01, skin.accent)


def _fountain(bp: Blueprint, x: float, y: float, s: float, skin: Skin) -> None:
    bp.solid(x, y, 0, 0.55, 1.5 * s, 1.6 * s, skin.body)
    bp.solid(x, y, 0.55, 1.7 * s, 0.2 * s, 0.16 * s, skin.body)
    bp.solid(x, y, 1.7 * s, 2.1 * s, 0.15 * s, 0.8 * s, skin.body)
    bp.ball(x, y, 2.5 * s, 0.4 * s, 0.4 * s, skin.accent)


def _statue(bp: Blueprint, x: float, y: float, s: float, skin: Skin) -> None:
    bp.solid(x, y, 0, 0.9 * s, 0.75 * s, 0.65 * s, skin.accent)
    bp.solid(x, y, 0.9 * s, 2.4 * s, 0.5 * s, 0.22 * s, skin.body)
    bp.ball(x, y, 2.3 * s, 0.42 * s, 0.38 * s, skin.body)
    bp.ball(x, y, 2.9 * s, 0.27 * s, 0.32 * s, skin.body)


def _globe(bp: Blueprint, x: float, y: float, s: float, skin: Skin) -> None:
    bp.solid(x, y, 0, 0.8 * s, 0.55 * s, 0.35 * s, skin.accent)
    bp.ball(x, y, 1.75 * s, 1.05 * s, 1.05 * s, skin.body)


def _column(bp: Blueprint, x: float, y: float, s: float, skin: Skin) -> None:
    bp.solid(x, y, 0, 0.35, 0.6 * s, 0.6 * s, skin.accent)
    bp.solid(x, y, 0.35, 3.6 * s, 0.42 * s, 0.36 * s, skin.body)
    bp.solid(x, y, 3.6 * s, 4.0 * s, 0.36 * s, 0.65 * s, skin.accent)


def _mushroom(bp: Blueprint, x: float, y: float, s: float, skin: Skin) -> None:
    bp.solid(x, y, 0, 1.9 * s, 0.38 * s, 0.26 * s, skin.accent)
    bp.ball(x, y, 2.1 * s, 1.3 * s, 0.65 * s, skin.body)


def _totem(bp: Blueprint, x: float, y: float, s: float, skin: Skin) -> None:
    for level, material in enumerate((skin.body, skin.accent, skin.glow)):
        bp.ball(x, y, (0.75 + 1.3 * level) * s, (0.8 - 0.14 * level) * s, 0.75 * s, material)


def _crystal(bp: Blueprint, x: float, y: float, s: float, skin: Skin) -> None:
    bp.solid(x, y, 0, 0.5 * s, 0.8 * s, 0.6 * s, skin.body)
    bp.solid(x, y, 0.7 * s, 1.6 * s, 0.02, 0.6 * s, skin.glow)
    bp.solid(x, y, 1.6 * s, 3.4 * s, 0.6 * s, 0.01, skin.glow)


def _vase(bp: Blueprint, x: float, y: float, s: float, skin: Skin) -> None:
    bp.solid(x, y, 0, 0.8 * s, 0.5 * s, 0.5 * s, skin.accent)
    bp.ball(x, y, 1.4 * s, 0.55 * s, 0.65 * s, skin.body)
    bp.solid(x, y, 1.9 * s, 2.25 * s, 0.2 * s, 0.4 * s, skin.body)


def _dome(bp: Blueprint, x: float, y: float, s: float, skin: Skin) -> None:
    bp.solid(x, y, 0, 1.7 * s, 1.6 * s, 1.6 * s, skin.body)
    bp.ball(x, y, 1.7 * s, 1.65 * s, 1.5 * s, skin.accent)
    bp.ball(x, y, 3.4 * s, 0.22 * s, 0.3 * s, skin.glow)


def _pyramid(bp: Blueprint, x: float, y: float, s: float, skin: Skin) -> None:
    bp.solid(x, y, 0, 0.4 * s, 1.7 * s, 1.7 * s, skin.accent)
    bp.solid(x, y, 0.4 * s, 3.4 * s, 1.5 * s, 0.01, skin.body)


def _hourglass(bp: Blueprint, x: float, y: float, s: float, skin: Skin) -> None:
    bp.solid(x, y, 0, 1.6 * s, 0.95 * s, 0.15 * s, skin.body)
    bp.solid(x, y, 1.6 * s, 3.2 * s, 0.15 * s, 0.95 * s, skin.accent)


def _lantern(bp: Blueprint, x: float, y: float, s: float, skin: Skin) -> None:
    bp.solid(x, y, 0, 1.5 * s, 0.3 * s, 0.25 * s, skin.body)
    bp.ball(x, y, 2.0 * s, 0.55 * s, 0.6 * s, skin.glow)
    bp.solid(x, y, 2.5 * s, 3.0 * s, 0.6 * s, 0.05, skin.body)


LANDMARKS: Final[dict[str, tuple[Builder, int]]] = {
    "tower": (_tower, 2),
    "obelisk": (_obelisk, 3),
    "fountain": (_fountain, 4),
    "statue": (_statue, 4),
    "globe": (_globe, 2),
    "column": (_column, 3),
    "mushroom": (_mushroom, 2),
    "totem": (_totem, 3),
    "crystal": (_crystal, 3),
    "vase": (_vase, 3),
    "dome": (_dome, 3),
    "cone": (_pyramid, 2),
    "hourglass": (_hourglass, 2),
    "lantern": (_lantern, 3),
}
"""Name → builder and how many solids it takes."""


def place_landmark(bp: Blueprint, name: str, color: str, accent: str, x: float, y: float, size: float) -> bool:
    """Builds a landmark and notes it for the prompt; False when the world has no room for its solids."""
    builder, count = LANDMARKS[name]
    if not bp.has_room(count):
        return False
    pattern = (Pattern.PLAIN, Pattern.STRIPES, Pattern.RINGS, Pattern.CHECKER, Pattern.BLOCKS)[int(bp.rng.integers(5))]
    second = accent if pattern in (Pattern.STRIPES, Pattern.RINGS, Pattern.CHECKER) else color
    skin = Skin(
        body=bp.material(pattern, color, second, 2.0),
        accent=bp.material(Pattern.PLAIN, accent, accent, 2.0),
        glow=bp.material(Pattern.PLAIN, color, color, 2.0, glow=0.9),
    )
    builder(bp, x, y, size, skin)
    bp.attributes.landmarks.append(f"{color} {name}")
    return True


def place_tree(bp: Blueprint, x: float, y: float, shape: str, size: float, bark: int, crown: int) -> bool:
    """A tree: 'round', 'pine' or 'poplar'; two or three solids. False when there is no room for them."""
    if not bp.has_room(3):
        return False
    bp.solid(x, y, 0, 1.9 * size, 0.2 * size, 0.14 * size, bark)
    if shape == "round":
        bp.ball(x, y, 2.9 * size, 1.35 * size, 1.25 * size, crown)
    elif shape == "pine":
        bp.solid(x, y, 1.0 * size, 3.2 * size, 1.3 * size, 0.35 * size, crown)
        bp.solid(x, y, 2.6 * size, 5.0 * size, 0.95 * size, 0.01, crown)
    else:
        bp.ball(x, y, 3.2 * size, 0.7 * size, 2.3 * size, crown)
    return True


def place_street_lamp(bp: Blueprint, x: float, y: float, post: int, light: int, *, lit: bool) -> bool:
    """A lamp post with a globe; shines when lit. False when there is no room."""
    if not bp.has_room(2):
        return False
    bp.solid(x, y, 0, 3.0, 0.09, 0.06, post)
    bp.ball(x, y, 3.2, 0.28, 0.3, light)
    if lit:
        bp.lamp(x, y, 3.1, "gold", 3.0)
    return True
