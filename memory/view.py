"""Retrieval from a branch: poses to frames to latents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .records import ChunkRecord, Float64, RetrievedView
from .retrieval import select_frames


def retrieve_from(chunks: Sequence[ChunkRecord], query_poses: Float64, candidate_stop: int) -> RetrievedView:
    """The latents of frames 1 … candidate_stop - 1 whose views overlap most with those of `query_poses` (M, 5)."""
    poses = np.concatenate([record.poses for record in chunks])
    found = select_frames(query_poses, poses, candidate_stop)
    stops = np.cumsum([record.latents.shape[1] for record in chunks])
    holders = np.searchsorted(stops, found.latent_idx, side="right")
    latents = [
        chunks[holder].latents[:, latent - stops[holder]]
        for holder, latent in zip(holders, found.latent_idx, strict=True)
    ]
    return RetrievedView(
        latents=np.stack(latents, axis=1),
        frame_idx=found.frame_idx,
        frame_idx_raw=found.frame_idx_raw,
        latent_idx=found.latent_idx,
        overlap=found.overlap,
        poses=poses[found.pose_idx],
    )
