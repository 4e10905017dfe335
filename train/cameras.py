"""Relative cameras of many clips at once: `clip_motion` and `memory_motion` of the model, batched on the device.

Matrices are camera-to-world, (..., T, 4, 4) float64, translations in metres.
"""

from __future__ import annotations

import torch
from torch import Tensor


def relative_to(base: Tensor, cameras: Tensor) -> Tensor:
    """inv(base) · cameras, exact where both stand at the same place."""
    to_base = base[..., :3, :3].mT
    relative = torch.zeros_like(cameras)
    relative[..., :3, :3] = to_base @ cameras[..., :3, :3]
    relative[..., :3, 3:] = to_base @ (cameras[..., :3, 3:] - base[..., :3, 3:])
    relative[..., 3, 3] = 1
    return relative


def clip_motion(cameras: Tensor) -> Tensor:
    """Each camera relative to the one before, the first the identity; translations over the clip's largest norm."""
    still = torch.eye(4, dtype=cameras.dtype, device=cameras.device).expand_as(cameras[..., :1, :, :])
    motion = torch.cat([still, relative_to(cameras[..., :-1, :, :], cameras[..., 1:, :, :])], dim=-3)
    largest = motion[..., :3, 3].norm(dim=-1).amax(dim=-1)[..., None, None]
    return _divide_translation(motion, largest)


def memory_motion(queries: Tensor, memory: Tensor) -> Tensor:
    """Memory cameras relative to their query cameras, each translation of norm 1 or 0."""
    motion = relative_to(queries, memory)
    return _divide_translation(motion, motion[..., :3, 3].norm(dim=-1)[..., None])


def _divide_translation(motion: Tensor, norm: Tensor) -> Tensor:
    motion[..., :3, 3] /= torch.where(norm > 0, norm, torch.ones_like(norm))
    return motion
