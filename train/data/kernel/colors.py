# mypy: disable-error-code="untyped-decorator, no-any-return"
"""Colours of the rays of a tile."""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl

from .. import look
from .arithmetic import clip, lerp


class Color(NamedTuple):
    """Light or a share of it."""

    red: tl.tensor
    green: tl.tensor
    blue: tl.tensor


@triton.jit
def load_color(place: tl.tensor) -> Color:
    """A colour from three numbers in a row."""
    return Color(tl.load(place), tl.load(place + 1), tl.load(place + 2))


@triton.jit
def mixed(start: Color, end: Color, weight: tl.tensor) -> Color:
    """From one colour at weight 0 to another at weight 1."""
    return Color(
        lerp(start.red, end.red, weight), lerp(start.green, end.green, weight), lerp(start.blue, end.blue, weight)
    )


@triton.jit
def scaled(color: Color, factor: tl.tensor) -> Color:
    """A colour times a number."""
    return Color(color.red * factor, color.green * factor, color.blue * factor)


@triton.jit
def times(color: Color, other: Color) -> Color:
    """A colour under light of another."""
    return Color(color.red * other.red, color.green * other.green, color.blue * other.blue)


@triton.jit
def added(color: Color, more: Color, factor: tl.tensor) -> Color:
    """A colour and another one times a number."""
    return Color(color.red + more.red * factor, color.green + more.green * factor, color.blue + more.blue * factor)


@triton.jit
def chosen(condition: tl.tensor, color: Color, other: Color) -> Color:
    """One colour where the condition holds, else the other."""
    return Color(
        tl.where(condition, color.red, other.red),
        tl.where(condition, color.green, other.green),
        tl.where(condition, color.blue, other.blue),
    )


@triton.jit
def tone(light: tl.tensor) -> tl.tensor:
    """Display values of light, see `shade.tone`."""
    return tl.sqrt(clip(light * (1.0 + look.SHOULDER * light) / (1.0 + look.SHOULDER_FALL * light * light)))
