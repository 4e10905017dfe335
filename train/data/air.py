"""Sky, sun and weather of a world: named times of day and weathers with their light."""

from __future__ import annotations

from typing import Final

import numpy as np

from .blueprint import Blueprint, Float

TIMES: Final = ("day", "morning", "sunset", "dusk", "night")
WEATHERS: Final = ("clear", "cloudy", "foggy")

FIELDS: Final[dict[str, int]] = {
    "zenith": 3,
    "horizon": 3,
    "sun_direction": 3,
    "sun_color": 3,
    "sun_size": 1,
    "ambient": 3,
    "ground_bounce": 1,
    "fog_m": 1,
    "stars": 1,
    "clouds": 1,
    "cloud_color": 3,
    "ridge_color": 3,
    "ridge": 7,
    "glow": 1,
}
"""Names and widths of what describes the air; colours are light, directions unit vectors (x, y, z)."""

# zenith, horizon, sun colour, ambient (each RGB light), sun elevation in degrees from … to, stars, window glow
_TIMES: Final = {
    "day": ((0.07, 0.22, 0.62), (0.50, 0.66, 0.85), (1.15, 1.08, 0.92), (0.30, 0.36, 0.44), (38, 62), 0.0, 0.05),
    "morning": ((0.16, 0.28, 0.52), (0.85, 0.66, 0.46), (1.15, 0.86, 0.56), (0.28, 0.30, 0.38), (16, 28), 0.0, 0.15),
    "sunset": ((0.14, 0.10, 0.30), (0.95, 0.36, 0.14), (1.20, 0.52, 0.22), (0.24, 0.19, 0.28), (8, 16), 0.05, 0.5),
    "dusk": ((0.03, 0.05, 0.17), (0.30, 0.16, 0.30), (0.30, 0.22, 0.34), (0.13, 0.13, 0.22), (10, 22), 0.6, 0.9),
    "night": ((0.005, 0.01, 0.035), (0.03, 0.05, 0.11), (0.22, 0.27, 0.40), (0.09, 0.10, 0.16), (30, 55), 1.0, 1.1),
}


def outdoor_air(bp: Blueprint, *, fog_m: float) -> str:
    """Draws time and weather, writes the blueprint's air and attributes; returns the time of day."""
    rng = bp.rng
    time = str(rng.choice(TIMES, p=(0.38, 0.17, 0.17, 0.12, 0.16)))
    weather = str(rng.choice(WEATHERS, p=(0.5, 0.35, 0.15)))
    zenith, horizon, sun, ambient, elevation, stars, glow = _TIMES[time]
    tint = rng.uniform(0.85, 1.15, 3)
    azimuth, height = rng.uniform(0, 2 * np.pi), np.deg2rad(rng.uniform(*elevation))
    sun_share = {"clear": 1.0, "cloudy": 0.8, "foggy": 0.35}[weather]
    haze = np.asarray(horizon) * tint
    grey = haze.mean()
    if weather == "foggy":
        haze = 0.4 * haze + 0.6 * grey
    bp.air = _row(
        zenith=np.asarray(zenith) * tint if weather != "foggy" else 0.7 * haze,
        horizon=haze,
        sun_direction=(np.cos(height) * np.cos(azimuth), np.cos(height) * np.sin(azimuth), np.sin(height)),
        sun_color=np.asarray(sun) * sun_share,
        sun_size=0.9985 if time in ("dusk", "night") else 0.9965,
        ambient=np.asarray(ambient) * (1.0 if weather == "clear" else 1.2),
        ground_bounce=0.12,
        fog_m=fog_m * {"clear": 1.6, "cloudy": 1.2, "foggy": 0.4}[weather],
        stars=stars * (weather == "clear"),
        clouds={"clear": 0.25, "cloudy": 0.85, "foggy": 0.0}[weather],
        cloud_color=0.35 * haze + 0.65 * np.minimum(np.asarray(sun) + np.asarray(ambient), 1.0),
        ridge_color=0.55 * haze + 0.25 * np.asarray(zenith) + 0.02,
        ridge=_ridge(rng, rng.uniform(0.04, 0.24)),
        glow=glow,
    )
    bp.attributes.time, bp.attributes.weather = time, weather
    return time


def indoor_air(bp: Blueprint, ambient: Float, fog_color: Float, fog_m: float, glow: float) -> None:
    """Air under a roof: no sun, light from lamps and a little from everywhere."""
    dark = np.zeros(3)
    bp.air = _row(
        zenith=fog_color,
        horizon=fog_color,
        sun_direction=(0.0, 0.0, 1.0),
        sun_color=dark,
        sun_size=2.0,
        ambient=ambient,
        ground_bounce=0.2,
        fog_m=fog_m,
        stars=0.0,
        clouds=0.0,
        cloud_color=dark,
        ridge_color=dark,
        ridge=np.zeros(7),
        glow=glow,
    )


def _ridge(rng: np.random.Generator, height: float) -> Float:
    """Base height of the mountains on the horizon (tangent of elevation), three amplitudes and three phases."""
    return np.concatenate([[height], height * rng.uniform(0.2, 0.6, 3), rng.uniform(0, 2 * np.pi, 3)]).astype(
        np.float32
    )


def _row(**values: object) -> dict[str, Float]:
    return {name: np.broadcast_to(np.asarray(values[name], np.float32), (width,)) for name, width in FIELDS.items()}
