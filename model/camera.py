"""Camera maps: what the transformer is told about where each latent frame is seen from.

A map gives each pixel of the image the ray (origin, direction) of its camera, then folds 16×16 pixels into channels,
so that it lies on the latent grid. Cameras are relative: see `clip_motion` and `memory_motion` in `poses`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .clip import FIRST_CLIP_FRAMES, ClipInputs
from .layout import patchify, split_dim
from .poses import Float64, clip_motion, extrinsics_of, intrinsics_of, memory_motion
from .transfer import to_device

PATCH = 16
"""Pixels of the image along one side of a latent."""
FRAMES_PER_LATENT = 4


def camera_map(
    clip: ClipInputs, *, grid: tuple[int, int], device: torch.device | str, dtype: torch.dtype
) -> torch.Tensor:
    """Map (1, 1536, M+T, h, w) of a clip with M memory frames before its T latents, for a latent `grid` (h, w)."""
    cameras = to_device(torch.from_numpy(clip_cameras(clip)).float(), torch.device(device))
    return ray_map(cameras, grid=grid, dtype=dtype)


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraRays:
    """Camera maps of B clips by what they are made of: the rays of a map are linear in a camera's twelve numbers."""

    cameras: torch.Tensor
    """(B, F, 4, 4) relative camera matrices, memory first."""
    grid: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """(B, 1536, F, h, w), that of the maps."""
        return (self.cameras.shape[0], 6 * PATCH * PATCH, self.cameras.shape[1], *self.grid)

    def since(self, frame: int) -> CameraRays:
        """Without the frames before `frame`."""
        return CameraRays(cameras=self.cameras[:, frame:], grid=self.grid)

    def project(self, weight: torch.Tensor, bias: torch.Tensor, patch_size: tuple[int, ...]) -> torch.Tensor:
        """(B, F·P, D) what a linear layer makes of the maps' patches, in the layer's dtype, computed in float32.

        `weight` (D, 1536 · patch) and `bias` (D,) are the layer's. It sees the same pixels in every frame, so it is
        taken together with them to a basis (P, 12, D), whose sum weighted by a camera's numbers is the result.
        """
        rays = split_dim(weight.float(), 1, (2, 3, -1))  # (D, origin or direction, axis, pixels of a patch)
        directions = pixel_directions(self.grid, self.cameras.float()).flatten(0, 2)[None, :, None]
        seen = split_dim(patchify(directions, patch_size)[0], 1, (3, -1))  # (P, axis, pixels of a patch)
        turned = torch.einsum("dik,pjk->ijpd", rays[:, 1], seen).flatten(0, 1)
        moved = rays[:, 0].sum(dim=-1).T[:, None].expand(-1, seen.shape[0], -1)
        basis = torch.cat([turned, moved]).flatten(1)
        numbers = torch.cat([self.cameras[..., :3, :3].flatten(2), self.cameras[..., :3, 3]], dim=2).float()
        projected = split_dim(numbers @ basis, 2, (-1, weight.shape[0])) + bias.float()
        return projected.flatten(1, 2).to(weight.dtype)


def clip_cameras(clip: ClipInputs) -> Float64:
    """Relative camera matrices (M+T, 4, 4) of a clip: memory frames to their query frames, the rest to the one before.

    A latent's camera is that of the last of its four frames; the first latent of a world is frame 0 alone.
    """
    first = 0 if len(clip.poses) == FIRST_CLIP_FRAMES else FRAMES_PER_LATENT - 1
    own = clip_motion(extrinsics_of(clip.poses[first::FRAMES_PER_LATENT]))
    if clip.memory is None or clip.query_poses is None:
        return own
    memory = memory_motion(extrinsics_of(clip.query_poses), extrinsics_of(clip.memory.poses))
    return np.concatenate([memory, own])


def ray_map(cameras: torch.Tensor, *, grid: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
    """Map (1, 6·16·16, T, h, w) in `dtype` of camera-to-world matrices (T, 4, 4), on their device.

    Channels are (ray, pixel row, pixel column) with ray = origin x, y, z, direction x, y, z; directions have length 1.
    """
    h, w = grid
    rays = torch.empty(6, PATCH, PATCH, len(cameras), h, w, dtype=dtype, device=cameras.device)
    rays[:3] = cameras[:, :3, 3].T[:, None, None, :, None, None]
    rays[3:] = torch.einsum("tij,jpqhw->ipqthw", cameras[:, :3, :3], pixel_directions(grid, cameras))
    return rays.view(1, 6 * PATCH * PATCH, len(cameras), h, w)


def pixel_directions(grid: tuple[int, int], like: torch.Tensor) -> torch.Tensor:
    """Unit directions (3, 16, 16, h, w) in camera axes through the pixel centres of the image that the grid covers."""
    h, w = grid
    fx, fy, cx, cy = intrinsics_of(h * PATCH, w * PATCH).tolist()
    rows = (torch.arange(h * PATCH, dtype=like.dtype, device=like.device) + (0.5 - cy)) / fy
    columns = (torch.arange(w * PATCH, dtype=like.dtype, device=like.device) + (0.5 - cx)) / fx
    y = rows.view(h, PATCH).T.view(1, PATCH, 1, h, 1)
    x = columns.view(w, PATCH).T.view(1, 1, PATCH, 1, w)
    directions = torch.cat([part.expand(1, PATCH, PATCH, h, w) for part in (x, y, torch.ones_like(x))])
    return torch.nn.functional.normalize(directions, dim=0)
