# mypy: disable-error-code="untyped-decorator, no-any-return"
"""Rays of a tile of pixels; t along a ray counts horizontal metres."""

from __future__ import annotations

from typing import NamedTuple

import triton
import triton.language as tl

from .. import look


class Rays(NamedTuple):
    """One number of the frame, or one a ray."""

    x: tl.tensor
    """Metres, of the frame's camera."""
    y: tl.tensor
    eye: tl.tensor
    dx: tl.tensor
    """Horizontal unit direction, of each ray."""
    dy: tl.tensor
    slope: tl.tensor
    """Height gained a horizontal metre."""
    length: tl.tensor
    """Of a ray over its horizontal part."""


class Hits(NamedTuple):
    """Nearest surface of each ray, as `cast.Hits`."""

    t: tl.tensor
    cell: tl.tensor
    side: tl.tensor
    solid: tl.tensor


@triton.jit
def look_through(camera: tl.tensor, u: tl.tensor, v: tl.tensor) -> Rays:
    """Rays through image positions in [−1, 1]. camera: pointer to a row of `cast.cameras`."""
    cos_p, sin_p = tl.load(camera + 3), tl.load(camera + 4)
    cos_y, sin_y = tl.load(camera + 5), tl.load(camera + 6)
    ahead = cos_p - sin_p * v
    flat = tl.maximum(tl.sqrt(ahead * ahead + u * u), look.LEAST_RUN)
    slope = (-sin_p - cos_p * v) / flat
    return Rays(
        tl.load(camera),
        tl.load(camera + 1),
        tl.load(camera + 2),
        (ahead * cos_y - u * sin_y) / flat,
        (ahead * sin_y + u * cos_y) / flat,
        slope,
        tl.sqrt(1.0 + slope * slope),
    )
