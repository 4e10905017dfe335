"""The memory rule on batches of clips, on the training device.

The same rule as the memory store's, which picks, for each query pose, the earlier frame whose view overlaps it most.
Training asks it for thousands of clips a second, so candidates of all clips are counted in a few large products.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ..model.clip import QUERY_OFFSETS
from .cameras import relative_to

NEAR, FAR = 0.1, 30.0
POINTS_PER_AXIS = 10
SINK_FRAME = 4
"""Takes the last slot, whatever the rule chose for it."""
EDGE = 1e-5
"""Metres that float32 may move a point over the image's edge, which itself counts as inside."""
CHUNK = 2**14
"""Pairs of views counted at a time."""


def query_frames(stop: Tensor) -> Tensor:
    """(B, M) query frames of clips that end before frame `stop` (B,)."""
    return stop[:, None] - torch.tensor(QUERY_OFFSETS, device=stop.device)


def choose_frames(extrinsics: Tensor, queries: Tensor, candidate_stop: Tensor, *, last: int) -> Tensor:
    """(B, M) frames from 1 … candidate_stop - 1 whose views overlap the query frames' most, the earliest of equals.

    `extrinsics` (B, F, 4, 4) are camera-to-world with translations in hundreds of units, `queries` (B, M) and
    `candidate_stop` (B,) are frame numbers, none of the latter above `last`, which is known without asking the device.
    """
    batch, frames = extrinsics.shape[:2]
    candidates = extrinsics[:, 1:last]
    rows = torch.arange(batch, device=extrinsics.device)
    seen_from = extrinsics[rows[:, None], queries]
    shape = (batch, queries.shape[1], last - 1, 4, 4)
    views = relative_to(candidates[:, None].expand(shape), seen_from[:, :, None].expand(shape))
    counts = _visible_points(views.flatten(0, 2).float()).view(shape[:3])
    numbers = torch.arange(1, last, device=extrinsics.device)
    allowed = numbers < candidate_stop[:, None, None]
    # argmax may return any of equal entries: an earlier frame's score is higher by less than one point.
    score = counts * frames - numbers
    return numbers[torch.where(allowed, score, -(2**31)).argmax(dim=-1)]


def with_sink(chosen: Tensor) -> Tensor:
    """The chosen frames (B, M) with the sink frame in the last slot."""
    return torch.cat([chosen[:, :-1], torch.full_like(chosen[:, -1:], SINK_FRAME)], dim=1)


def latent_of(frames: Tensor) -> Tensor:
    """Latent frame that holds each video frame."""
    return torch.div(frames - 1, 4, rounding_mode="floor") + 1


def _visible_points(views: Tensor) -> Tensor:
    """(n,) points of the query frustum inside the candidates' images, for query-to-candidate transforms (n, 4, 4)."""
    points = _frustum(views.device)
    counts = []
    for part in torch.split(views, CHUNK):
        x, y, z = (part[:, :3, :3] @ points + part[:, :3, 3:]).unbind(1)
        inside = (z > NEAR) & (z < FAR) & (torch.maximum(x.abs(), y.abs()) <= z + EDGE)
        counts.append(inside.sum(dim=-1))
    return torch.cat(counts)


@lru_cache(maxsize=4)
def _frustum(device: torch.device) -> Tensor:
    """(3, 1000) points of a camera that sees 90° both ways: even depths, even positions at each depth."""
    depth = torch.linspace(NEAR, FAR, POINTS_PER_AXIS)
    side = torch.linspace(-1.0, 1.0, POINTS_PER_AXIS)
    z, y, x = torch.meshgrid(depth, side, side, indexing="ij")
    return torch.stack([x * z, y * z, z]).flatten(1).to(device)
