"""Pictures of the pressed keys, drawn on frames: W A S D at the left, four camera arrows at the right."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from .actions import Held

Frame = npt.NDArray[np.uint8]
Rgba = npt.NDArray[np.uint8]

IDLE_ANGLE = 0.02
"""Camera angles below this are ignored by the world's rule of motion."""
_OVERSAMPLE = 4
_IDLE = (12, 14, 20, 120)
_IDLE_INK = (255, 255, 255, 130)
_LIT = (255, 196, 87, 245)
_LIT_INK = (30, 22, 6, 255)
_EDGE = (255, 255, 255, 60)
# Each cap: (column, row) in the cluster, which is three wide and two high.
_LETTERS = {"W": (1, 0), "A": (0, 1), "S": (1, 1), "D": (2, 1)}
_ARROWS = {"up": (1, 0), "left": (0, 1), "down": (1, 1), "right": (2, 1)}
_ARROW_SHAPES = {
    "up": ((0.5, 0.28), (0.76, 0.68), (0.24, 0.68)),
    "down": ((0.5, 0.72), (0.76, 0.32), (0.24, 0.32)),
    "left": ((0.28, 0.5), (0.68, 0.24), (0.68, 0.76)),
    "right": ((0.72, 0.5), (0.32, 0.24), (0.32, 0.76)),
}


def pressed_letters(held: Held) -> frozenset[str]:
    """Which of W, A, S and D are held."""
    states = {"W": held.forward, "S": held.back, "A": held.left, "D": held.right}
    return frozenset(letter for letter, is_held in states.items() if is_held)


def pressed_arrows(held: Held) -> frozenset[str]:
    """Which ways the camera turns: up, down, left, right."""
    pitch, yaw = held.camera_pitch, held.camera_yaw
    states = {"up": -pitch, "down": pitch, "left": -yaw, "right": yaw}
    return frozenset(way for way, angle in states.items() if angle >= IDLE_ANGLE)


def describe(held: Held) -> str:
    """The same in words, such as 'W D + turn right'; 'still' when nothing is held."""
    letters = " ".join(letter for letter in "WASD" if letter in pressed_letters(held))
    looks = {"left": "turn left", "right": "turn right", "up": "look up", "down": "look down"}
    ways = ", ".join(words for way, words in looks.items() if way in pressed_arrows(held))
    return " + ".join(filter(None, (letters, ways))) or "still"


def draw_keys(frame: Frame, held: Held) -> Frame:
    """A copy of an RGB frame (H, W, 3) with both clusters of keys in its lower corners."""
    height, width, _ = frame.shape
    cap = max(6, min(height // 12, width // 16))
    margin = max(2, cap // 2)
    letters = _letter_cluster(pressed_letters(held), cap)
    arrows = _arrow_cluster(pressed_arrows(held), cap)
    drawn = frame.copy()
    bottom = height - letters.shape[0] - margin
    _blend(drawn, letters, bottom, margin)
    _blend(drawn, arrows, bottom, width - arrows.shape[1] - margin)
    return drawn


def key_strip(held: Held, cap: int) -> Image.Image:
    """Both clusters side by side as one RGBA picture with caps of `cap` pixels, for captions."""
    clusters = (_letter_cluster(pressed_letters(held), cap), _arrow_cluster(pressed_arrows(held), cap))
    gap = np.zeros((clusters[0].shape[0], cap, 4), np.uint8)
    return Image.fromarray(np.concatenate([clusters[0], gap, clusters[1]], axis=1))


@functools.cache
def _letter_cluster(pressed: frozenset[str], cap: int) -> Rgba:
    canvas, draw, size = _canvas(cap)
    font = ImageFont.load_default(size * 0.55)
    for letter, place in _LETTERS.items():
        left, top = _draw_cap(draw, place, size, letter in pressed)
        ink = _LIT_INK if letter in pressed else _IDLE_INK
        draw.text((left + size / 2, top + size / 2), letter, fill=ink, font=font, anchor="mm")
    return _shrink(canvas)


@functools.cache
def _arrow_cluster(pressed: frozenset[str], cap: int) -> Rgba:
    canvas, draw, size = _canvas(cap)
    for way, place in _ARROWS.items():
        left, top = _draw_cap(draw, place, size, way in pressed)
        corners = [(left + x * size, top + y * size) for x, y in _ARROW_SHAPES[way]]
        draw.polygon(corners, fill=_LIT_INK if way in pressed else _IDLE_INK)
    return _shrink(canvas)


def _canvas(cap: int) -> tuple[Image.Image, ImageDraw.ImageDraw, int]:
    """An empty cluster of 3 × 2 caps, drawn larger than shown so that edges come out smooth."""
    size = cap * _OVERSAMPLE
    canvas = Image.new("RGBA", (size * 3 + size // 4, size * 2 + size // 8))
    return canvas, ImageDraw.Draw(canvas), size


def _draw_cap(draw: ImageDraw.ImageDraw, place: tuple[int, int], size: int, is_pressed: bool) -> tuple[float, float]:
    left, top = place[0] * size * 9 / 8, place[1] * size * 9 / 8
    box = (left, top, left + size - 1, top + size - 1)
    draw.rounded_rectangle(
        box, radius=size // 5, fill=_LIT if is_pressed else _IDLE, outline=_EDGE, width=_OVERSAMPLE // 2
    )
    return left, top


def _shrink(canvas: Image.Image) -> Rgba:
    size = (canvas.width // _OVERSAMPLE, canvas.height // _OVERSAMPLE)
    return np.asarray(canvas.resize(size, Image.Resampling.BOX))


def _blend(frame: Frame, sprite: Rgba, top: int, left: int) -> None:
    """Draw the sprite over the frame, in place; what lies outside the frame is left out."""
    top, left = max(0, top), max(0, left)
    region = frame[top : top + sprite.shape[0], left : left + sprite.shape[1]]
    sprite = sprite[: region.shape[0], : region.shape[1]]
    alpha = sprite[..., 3:].astype(np.float32) / 255
    region[:] = np.rint(region * (1 - alpha) + sprite[..., :3] * alpha).astype(np.uint8)
