"""The memory rule on batches of clips, on the training device.

It chooses, bit for bit, what the memory store chooses when the model serves: for each query pose the earlier frame that
has most of the query's sample points in its own view. The store's NumPy code rules most frames out by a bound; here all
are counted, in large products, and what a data set's clips need is counted once for the whole set.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ..memory.frustum import FAR, IMAGE_HEIGHT, IMAGE_WIDTH, NEAR, POINTS
from ..model.clip import LATER_CLIP_FRAMES, QUERY_OFFSETS

SINK_FRAME = 4
"""Takes the last slot, whatever the rule chose for it."""
CHUNK = 2**13
"""Pairs of views counted at a time."""


def first_frame(start: Tensor) -> Tensor:
    """Video frame at which latent `start` begins, 1 or more."""
    return 4 * (start - 1) + 1


def query_frames(start: Tensor) -> Tensor:
    """(…, M) query frames of later clips that start at latents `start` (…,)."""
    return first_frame(start)[..., None] + LATER_CLIP_FRAMES - _query_offsets(start.device)


def retrieve(extrinsics: Tensor, start: Tensor, *, latest: int) -> Tensor:
    """Memory latents (B, M), the sink included, of later clips that start at latents `start` (B,), at most `latest`.

    `extrinsics` (B, F, 4, 4) float64 are camera-to-world, translations in metres.
    """
    last = 4 * (latest - 1) + 1
    rows = torch.arange(len(extrinsics), device=extrinsics.device)
    seen_from = extrinsics[rows[:, None], query_frames(start)]
    counts = visible_points(seen_from, extrinsics[:, 1:last])
    return latent_of(with_sink(_first_of_most(counts, first_frame(start)[:, None, None])))


def memory_table(extrinsics: Tensor, earliest: int, latest: int) -> Tensor:
    """Memory latents (N, S, M) of later clips that start at latents `earliest` … `latest` of episodes (N, F, 4, 4)."""
    start = torch.arange(earliest, latest + 1, device=extrinsics.device)
    # Clips that start two latents apart share all queries but one.
    queries, which = torch.unique(query_frames(start), return_inverse=True)
    counts = visible_points(extrinsics[:, queries], extrinsics[:, 1 : 4 * (latest - 1) + 1])
    return latent_of(with_sink(_first_of_most(counts[:, which], first_frame(start)[:, None, None])))


def _first_of_most(counts: Tensor, stop: Tensor) -> Tensor:
    """(…, M) of frames 1 … stop - 1 the first with the highest count (…, M, frames)."""
    frames = counts.shape[-1]
    numbers = torch.arange(1, frames + 1, device=counts.device)
    # argmax may return any of equal entries: an earlier frame's score is higher by less than one point.
    score = torch.where(numbers < stop, counts * (frames + 1) - numbers, -(2**31))
    return numbers[score.argmax(dim=-1)]


def with_sink(chosen: Tensor) -> Tensor:
    """The chosen frames (…, M) with the sink frame in the last slot."""
    return torch.cat([chosen[..., :-1], torch.full_like(chosen[..., -1:], SINK_FRAME)], dim=-1)


def latent_of(frames: Tensor) -> Tensor:
    """Latent frame that holds each video frame."""
    return torch.div(frames - 1, 4, rounding_mode="floor") + 1


def visible_points(queries: Tensor, candidates: Tensor) -> Tensor:
    """(B, Q, N) how many sample points of each query camera (B, Q, 4, 4) each candidate camera (B, N, 4, 4) sees.

    The published rule's float32 arithmetic in its order of operations, see `worldloom.memory.retrieval.count_visible`:
    a view that is met again stands exactly on the frustum's edges, where rounding decides.
    """
    batch, number = queries.shape[:2]
    points = _rotate(queries[..., :3, :3], _points(queries.device)) + queries[..., :3, 3:].float()
    axes = candidates[..., :3, :3].mT.float()
    x, y, z = (axes[..., k] * candidates[..., k, None, 3].float() for k in range(3))
    offset = (x + y + z)[..., None]
    at_once = max(1, CHUNK // candidates.shape[1])
    clip = torch.arange(batch, device=queries.device)[:, None].expand(-1, number).flatten()
    parts = zip(torch.split(points.flatten(0, 1), at_once), torch.split(clip, at_once), strict=True)
    counts = [_count(part, axes[at], offset[at]) for part, at in parts]
    return torch.cat(counts).view(batch, number, -1)


def _count(points: Tensor, axes: Tensor, offset: Tensor) -> Tensor:
    """(n, N) points (n, 3, P) in the views of cameras: axes (n, N, 3, 3), their own positions (n, N, 3, 1)."""
    across, down, depth = (_rotate(axes, points[:, None]) - offset).unbind(-2)
    ahead = depth.clamp(min=1e-6)
    visible = (depth > NEAR) & (depth < FAR)
    for value, size in ((across, IMAGE_WIDTH), (down, IMAGE_HEIGHT)):
        pixel = value * (size / 2) / ahead + size / 2
        visible &= (pixel >= 0) & (pixel <= size)
    return visible.sum(dim=-1)


def _rotate(matrices: Tensor, points: Tensor) -> Tensor:
    """Matrices (…, 3, 3) times float32 points (…, 3, P) with float32 fused multiply-adds, the same on every machine."""
    # Float64 holds the product of two float32 numbers exactly, so one rounding is left, as in a fused multiply-add.
    exact, wide = matrices.float().double(), points.double()
    total = (exact[..., 0, None] * wide[..., None, 0, :]).float()
    for k in (1, 2):
        total = (exact[..., k, None] * wide[..., None, k, :] + total).float()
    return total


@lru_cache(maxsize=4)
def _query_offsets(device: torch.device) -> Tensor:
    """(M,) int64."""
    return torch.tensor(QUERY_OFFSETS, device=device)


@lru_cache(maxsize=4)
def _points(device: torch.device) -> Tensor:
    """(3, 1000) sample points in camera axes."""
    return torch.from_numpy(POINTS.T.copy()).to(device)
