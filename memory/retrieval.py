"""Which past frames see most of what a query frame will see.

The rule is that of Matrix-Game 3.0: 10×10×10 points fill the view frustum of the query frame, and the earlier frame
that has most of them in its own frustum wins; of equals, the first. The last slot then goes to a fixed early frame,
the sink.

Counting 1000 points for each of ten minutes of frames is slow, so most frames are ruled out first, by a bound that is
never below the exact count: neighbouring points share a ball, and a ball wholly outside the frustum holds no point
inside. Frames are then counted in the order of their bounds until no bound left can beat the best count. Nothing is
approximated: counting has one fixed order of operations, so equal frames count equal in any batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .frustum import BALLS, FAR, IMAGE_HEIGHT, IMAGE_WIDTH, NEAR, POINTS, Float64, axes_of, positions_of

Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]

SINK_FRAME = 4
FRAMES_PER_LATENT = 4

_COUNT_BATCH = 32
_BOUND_BATCH = 512
"""Candidates at a time: what a batch needs stays in a core's cache, and memory does not grow with the world."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Frames chosen for M queries."""

    frame_idx: Int64
    """(M,) with the sink frame in the last slot."""
    frame_idx_raw: Int64
    """(M,) without it."""
    overlap: Float32
    """(M,) share of each query's points that the raw choice sees, in [0, 1]."""

    @property
    def latent_idx(self) -> Int64:
        """(M,) latent frame that holds each chosen frame."""
        return (self.frame_idx - 1) // FRAMES_PER_LATENT + 1

    @property
    def pose_idx(self) -> Int64:
        """(M,) last frame of each chosen latent's block of four: where the latent counts as seen from."""
        return FRAMES_PER_LATENT * self.latent_idx


def select_frames(query_poses: Float64, poses: Float64, candidate_stop: int) -> Selection:
    """Choose for each of `query_poses` (M, 5) among frames 1 … candidate_stop - 1 of a world's `poses` (F, 5)."""
    if not 1 < candidate_stop <= len(poses):
        raise ValueError(f"candidate_stop {candidate_stop} leaves no candidate among {len(poses)} frames")
    best, counts = most_overlapping(query_poses, poses[1:candidate_stop])
    raw = best + 1
    frame_idx = raw.copy()
    frame_idx[-1] = SINK_FRAME
    overlap = (counts / len(POINTS)).astype(np.float32)
    return Selection(frame_idx=frame_idx, frame_idx_raw=raw, overlap=overlap)


def most_overlapping(query_poses: Float64, candidates: Float64) -> tuple[Int64, Int64]:
    """Index (M,) of the first candidate (N, 5) that sees most points of each query, and how many (M,) it sees."""
    distinct = first_of_each(candidates)
    axes, positions = axes_of(candidates[distinct]), positions_of(candidates[distinct])
    queries = zip(axes_of(query_poses), positions_of(query_poses), strict=True)
    found = [_best_view(*query, axes, positions) for query in queries]
    best, counts = np.array(found, np.int64).reshape(-1, 2).T
    return distinct[best], counts


def first_of_each(poses: Float64) -> Int64:
    """Ascending indices of the poses that equal none before them: a camera that stays or returns is counted once."""
    order = np.lexsort(poses.T)
    is_new = np.ones(len(poses), np.bool_)
    is_new[1:] = (poses[order[1:]] != poses[order[:-1]]).any(axis=1)
    return np.sort(order[is_new])


def _best_view(query_axes: Float64, query_position: Float64, axes: Float64, positions: Float64) -> tuple[int, int]:
    bounds = upper_bounds(query_axes, query_position, axes, positions)
    # Stable: among equal bounds the earlier frame comes first.
    left = np.argsort(-bounds, kind="stable")
    points = world_points(query_axes, query_position)
    best, most = -1, -1
    while len(left):
        batch, left = left[:_COUNT_BATCH], left[_COUNT_BATCH:]
        counts = count_visible(points, axes[batch], positions[batch])
        top = int(counts.max())
        first = int(batch[counts == top].min())
        if top > most or (top == most and first < best):
            best, most = first, top
        left = left[(bounds[left] > most) | ((bounds[left] == most) & (left < best))]
    return best, most


def world_points(query_axes: Float64, query_position: Float64) -> Float32:
    """The query's sample points (3, 1000) in the world, in metres."""
    return _rotate(query_axes.T, POINTS.T) + query_position.astype(np.float32)[:, None]


def count_visible(points: Float32, axes: Float64, positions: Float64) -> Int64:
    """How many world points (3, P) each camera (N, 3, 3), (N, 3) has in its frustum (N,).

    The image's edges are inside, the near and the far plane are not. All of it is float32 in the published rule's
    order of operations: a view that is met again stands exactly on those edges, where rounding decides.
    """
    axes32, positions32 = axes.astype(np.float32), positions.astype(np.float32)
    x, y, z = (axes32[:, :, k] * positions32[:, None, k] for k in range(3))
    in_camera = _rotate(axes32, points) - (x + y + z)[:, :, None]
    ahead = np.maximum(in_camera[:, 2], np.float32(1e-6))
    visible = (in_camera[:, 2] > np.float32(NEAR)) & (in_camera[:, 2] < np.float32(FAR))
    for across, size in ((0, IMAGE_WIDTH), (1, IMAGE_HEIGHT)):
        half = np.float32(size / 2)
        pixel = in_camera[:, across] * half / ahead + half
        visible &= (pixel >= 0) & (pixel <= size)
    counts: Int64 = visible.sum(axis=1, dtype=np.int64)
    return counts


def _rotate(matrices: Float64 | Float32, points: Float32) -> Float32:
    """Matrices (…, 3, 3) times points (3, P) in float32 with fused multiply-adds, the same on every machine."""
    # Float64 holds the product of two float32 numbers exactly, so one rounding is left, as in a fused multiply-add.
    exact, wide = matrices.astype(np.float32).astype(np.float64), points.astype(np.float64)
    total: Float32 = (exact[..., 0, None] * wide[0]).astype(np.float32)
    for k in (1, 2):
        total = (exact[..., k, None] * wide[k] + total).astype(np.float32)
    return total


def upper_bounds(query_axes: Float64, query_position: Float64, axes: Float64, positions: Float64) -> Int64:
    """For each camera (N, 3, 3), (N, 3) a number that is at least its `count_visible` of the query's points."""
    centres = (BALLS.centres @ query_axes).astype(np.float32)
    # Relative to the query, so that float32 is exact to 0.1 mm for every camera near enough to see anything.
    offsets = np.einsum("nij,nj->ni", axes, positions - query_position).astype(np.float32)
    axes32 = axes.astype(np.float32)
    bounds = np.empty(len(axes), np.int64)
    for start in range(0, len(axes), _BOUND_BATCH):
        batch = slice(start, start + _BOUND_BATCH)
        x, y, z = (axes32[batch, k] @ centres.T - offsets[batch, k, None] for k in range(3))
        beyond_edges = np.maximum(np.abs(x, out=x), np.abs(y, out=y), out=x) - z
        touched = (beyond_edges <= BALLS.edge_slack) & (z >= BALLS.z_min) & (z <= BALLS.z_max)
        bounds[batch] = np.count_nonzero(touched, axis=1) * BALLS.points_each
    return bounds
