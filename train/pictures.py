"""Small pictures of a training run: loss curves and strips of frames."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from torch import Tensor

CURVE_SIZE = (420, 200)
MARGIN = 24


def to_uint8(frames: Tensor) -> npt.NDArray[np.uint8]:
    """Frames (..., 3, H, W) in [-1, 1] to RGB (..., H, W, 3)."""
    scaled = (frames.detach().float().clamp(-1, 1) + 1.0) * 127.5
    return scaled.round().to(torch.uint8).movedim(-3, -1).cpu().numpy()


def save_strip(rows: Sequence[npt.NDArray[np.uint8]], path: Path, *, height: int = 96) -> None:
    """Rows of frames (n, H, W, 3) one under the other, each frame scaled down to `height` rows where it is higher."""
    strips = [np.concatenate(list(row), axis=1) for row in rows]
    width = max(strip.shape[1] for strip in strips)
    padded = [np.pad(strip, ((0, 2), (0, width - strip.shape[1]), (0, 0))) for strip in strips]
    image = Image.fromarray(np.concatenate(padded, axis=0))
    frame_height = rows[0].shape[1]
    if frame_height > height:
        scale = height / frame_height
        size = (round(image.width * scale), round(image.height * scale))
        image = image.resize(size, Image.Resampling.LANCZOS)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, optimize=True, quality=88)


def save_curves(rows: Sequence[Mapping[str, float]], path: Path, *, title: str) -> None:
    """One small plot per logged number against seconds, side by side; log scale where all values are positive."""
    keys = [key for key in rows[-1] if key not in ("step", "seconds")]
    plots = [_curve(rows, key, title) for key in keys]
    columns = min(3, len(plots))
    lines = math.ceil(len(plots) / columns)
    sheet = Image.new("P", (columns * CURVE_SIZE[0], lines * CURVE_SIZE[1]), 0)
    sheet.putpalette([255, 255, 255, 0, 0, 0, 31, 119, 180, 200, 200, 200])
    for index, plot in enumerate(plots):
        sheet.paste(plot, ((index % columns) * CURVE_SIZE[0], (index // columns) * CURVE_SIZE[1]))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


def _curve(rows: Sequence[Mapping[str, float]], key: str, title: str) -> Image.Image:
    points = [(row["seconds"], row[key]) for row in rows if key in row and math.isfinite(row[key])]
    plot = Image.new("P", CURVE_SIZE, 0)
    draw = ImageDraw.Draw(plot)
    draw.text((MARGIN, 4), f"{title}: {key}", fill=1)
    if len(points) < 2:
        return plot
    is_log = min(value for _, value in points) > 0
    values = [math.log10(value) if is_log else value for _, value in points]
    low, high = min(values), max(values)
    start, end = points[0][0], points[-1][0]
    width, height = CURVE_SIZE[0] - 2 * MARGIN, CURVE_SIZE[1] - 2 * MARGIN
    line = [
        (
            MARGIN + width * (time - start) / max(end - start, 1e-9),
            MARGIN + height * (1.0 - (value - low) / max(high - low, 1e-9)),
        )
        for (time, _), value in zip(points, values, strict=True)
    ]
    draw.rectangle((MARGIN, MARGIN, MARGIN + width, MARGIN + height), outline=3)
    draw.line(line, fill=2, width=2)
    top, bottom = (10**high, 10**low) if is_log else (high, low)
    draw.text((MARGIN + 4, MARGIN + 2), f"{top:.4g}", fill=1)
    draw.text((MARGIN + 4, CURVE_SIZE[1] - MARGIN - 12), f"{bottom:.4g}", fill=1)
    draw.text((MARGIN, CURVE_SIZE[1] - MARGIN + 4), f"{start:.0f} s", fill=1)
    draw.text((CURVE_SIZE[0] - MARGIN - 36, CURVE_SIZE[1] - MARGIN + 4), f"{end:.0f} s", fill=1)
    return plot
