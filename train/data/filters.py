"""Which samples are not worth training on: broken poses, dark, static or jumpy pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ...model.poses import STEP
from .drift import picture_motion
from .infer import wrap
from .sample import Sample


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterConfig:
    """Limits of the filters."""

    dark_level: float = 10.0
    """Mean brightness (0 … 255) under which a sample is dark, if its brightest percent is dark too."""
    bright_spots: float = 48.0
    """Brightness of the brightest percent that makes up for a low mean."""
    static_change: float = 0.08
    """Mean change a frame (0 … 255) under which a picture stands still although the camera moves."""
    moving_share: float = 0.15
    """Share of frames with camera motion from which a still picture is wrong."""
    jump_ratio: float = 12.0
    """Change of one frame against the median of its sample that makes it a cut."""
    jump_level: float = 24.0
    """Mean change (0 … 255) that a cut has at least."""
    longest_step: float = 6.0
    """Model steps between two frames past which a pose has jumped."""
    widest_turn_deg: float = 45.0
    """Degrees between two frames past which a pose has jumped."""


Filter = Callable[[Sample, FilterConfig], str | None]
"""The reason why a sample is dropped, or None."""


def broken_pose(sample: Sample, config: FilterConfig) -> str | None:
    """Numbers that are not finite, matrices that are no cameras of the model, or poses that jump."""
    for name in ("poses", "extrinsics", "intrinsics", "keyboard", "mouse"):
        if not np.isfinite(getattr(sample, name)).all():
            return f"{name} are not finite"
    rotation = sample.extrinsics[:, :3, :3].astype(np.float64)
    skew = float(np.abs(rotation @ rotation.swapaxes(1, 2) - np.eye(3)).max())
    if skew > 1e-3:
        return f"a rotation is off by {skew:.2g}"
    if float(np.linalg.det(rotation).max()) > 0:
        return "a camera is right-handed: its determinant is +1, not -1"
    moved = np.linalg.norm(np.diff(sample.extrinsics[:, :3, 3].astype(np.float64), axis=0), axis=1) * 100 / STEP
    if len(moved) and moved.max() > config.longest_step:
        return f"the camera jumps by {moved.max():.1f} steps at frame {int(moved.argmax()) + 1}"
    turned = np.abs(wrap(np.diff(sample.poses[:, 3:].astype(np.float64), axis=0)))
    if turned.size and turned.max() > config.widest_turn_deg:
        return f"the camera turns by {turned.max():.0f} degrees at frame {int(turned.max(1).argmax()) + 1}"
    return None


def dark(sample: Sample, config: FilterConfig) -> str | None:
    """Hardly anything to see."""
    mean, top = float(sample.frames.mean()), float(np.percentile(sample.frames, 99))
    if mean < config.dark_level and top < config.bright_spots:
        return f"mean brightness {mean:.1f} and brightest percent {top:.0f} of 255"
    return None


def static(sample: Sample, config: FilterConfig) -> str | None:
    """A picture that stands still while the camera is said to move."""
    moving = float(((sample.keyboard[:, :4].any(1)) | (np.abs(sample.mouse).max(1) > 0.02)).mean())
    change = float(picture_motion(sample.frames).mean()) if len(sample.frames) > 1 else 0.0
    if change < config.static_change and moving > config.moving_share:
        return f"the picture changes by {change:.3f} a frame although the camera moves in {moving:.0%} of them"
    return None


def jumpy(sample: Sample, config: FilterConfig) -> str | None:
    """A cut, or frames that are missing."""
    motion = picture_motion(sample.frames)
    if not len(motion):
        return None
    worst, usual = float(motion.max()), float(np.median(motion))
    if worst > config.jump_level and worst > config.jump_ratio * max(usual, 0.5):
        return f"frame {int(motion.argmax()) + 1} differs by {worst:.0f}, the usual one by {usual:.1f}"
    return None


FILTERS: Final[dict[str, Filter]] = {"broken_pose": broken_pose, "dark": dark, "static": static, "jumpy": jumpy}
"""By name, cheapest and most decisive first."""


def first_fault(
    sample: Sample, config: FilterConfig, names: tuple[str, ...] = tuple(FILTERS)
) -> tuple[str, str] | None:
    """(filter, reason) of the first filter that drops the sample, or None."""
    for name in names:
        reason = FILTERS[name](sample, config)
        if reason is not None:
            return name, reason
    return None
