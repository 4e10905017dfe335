"""Numbers of the picture that the two renderers share: PyTorch (`shade`) and the GPU kernel (`kernel`).

Heights and lengths are metres; shares and factors have no unit; colours are light.
"""

from __future__ import annotations

from typing import Final

FAR: Final = 1.0e4
"""Metres that stand for never."""
FARTHEST_M: Final = 500.0
"""Nothing has a place beyond."""
NEAREST_M: Final = 1e-3
NEAREST_SOLID_M: Final = 0.05
LEAST_RUN: Final = 1e-4
"""Least horizontal part of a ray, for those that look straight up or down."""

# What a ray hits: a wall across x or across y, a floor or the top of a block, a ceiling, a solid, or nothing.
WALL_X: Final = 0
WALL_Y: Final = 1
GROUND: Final = 2
CEILING: Final = 3
ROUND: Final = 4
SKY: Final = 5

# Surfaces.
LEAST_FACING: Final = 0.02
FACING_POWER: Final = 0.7
"""How much a slanting view blurs patterns: between not at all (0) and as its longer side does (1)."""
LEAST_GIRTH_M: Final = 0.3
"""Patterns of solids thinner than this are not squeezed further."""
DISC_DEPTH: Final = 0.02
"""A point this share of reach² inside a solid's round side lies on an end disc …"""
DISC_DEPTH_M2: Final = 1e-3
"""… and at least so many square metres."""
DECAL_BOTTOM_M: Final = 0.05
DECAL_TOP_M: Final = 2.35
DECAL_MARGIN: Final = 0.004
"""Pictures are not repeated: their lookups keep this far from the upper and lower end."""
WINDOW_LIGHT: Final = (1.0, 0.78, 0.42)

# A slow change of tone over metres, so that two stretches of one wall never look the same.
TONE_SHARE: Final = 0.16
TONE_ALONG: Final = 0.41
TONE_UP: Final = 0.9
TONE_X: Final = 0.29
TONE_Y: Final = 0.23

# Light on surfaces.
LIFT_M: Final = 0.22
"""Light is looked up this far in front of a surface."""
SHADOW_LIFT_M: Final = 0.15
SHADOW_EDGE: Final = 2.5
"""A shadow's edge is one over this many metres high."""
CORNER_TOP_M: Final = 3.5
"""Corners matter less higher up a wall, and not at all from here on."""
FOOT_LIGHT: Final = 0.55
FOOT_RISE: Final = 0.9
# Walls across x and across y, floors and ceilings each get their own share, as a room's do.
SKY_SHARE: Final = 0.72
SKY_UP: Final = 0.28
SKY_X: Final = 0.10
SKY_Y: Final = -0.06
LAMP_SHARE: Final = 0.62
LAMP_X: Final = 0.25
LAMP_Y: Final = 0.12
LAMP_UP: Final = 0.3
LAMP_HEIGHT_M: Final = 1.8
LAMP_FADE: Final = 0.05
FOG_POWER: Final = 1.4

# The sky.
GRADIENT_POWER: Final = 2.5
CLOUD_SPREAD: Final = 0.17
CLOUD_HEIGHT: Final = 0.16
CLOUD_SHIFT: Final = 31.0
CLOUD_FROM: Final = 0.42
CLOUD_EDGE: Final = 3.0
CLOUD_RISE: Final = 6.0
CLOUD_SHARE: Final = 0.85
HALO_WIDE_POWER: Final = 24.0
HALO_WIDE: Final = 0.35
HALO_NARROW_POWER: Final = 200.0
HALO_NARROW: Final = 0.4
HALO_BEHIND: Final = 0.5
DISC_EDGE: Final = 0.15
DISC_BEHIND: Final = 0.7
DISC_LIGHT: Final = 2.5
DISC_BASE: Final = 0.45
STARS_ROUND: Final = 6.0
"""Pages of stars around the horizon."""
STARS_UP: Final = 1.5
RIDGE_EDGE: Final = 60.0
RIDGE_WAVES: Final = (2, 5, 11)
"""Waves of the mountains around the horizon."""

# The tone curve.
SHOULDER: Final = 0.11
SHOULDER_FALL: Final = 0.45
