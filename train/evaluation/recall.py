"""Memory policies: which of its earlier latents a world gets to see again."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import numpy as np

from ...memory.retrieval import FRAMES_PER_LATENT, Selection, select_frames
from ...model.clip import Array, Int64, MemoryQuery, MemoryView, WorldState


class Policy(Enum):
    """How the memory of a later clip is chosen. Only CAMERA has the sink frame: it is part of the published rule."""

    CAMERA = "camera-retrieved"
    """The published rule: most overlap with the views to come, and the sink frame."""
    RECENT = "most recent"
    """The latents just before the clip's past."""
    RANDOM = "random"
    """Frames drawn evenly from all earlier ones."""
    NONE = "none"
    """No memory, as in the clips from which training dropped it."""


def recall(policy: Policy, state: WorldState, latents: Array, query: MemoryQuery) -> MemoryView:
    """What the policy finds for a clip of a world with `latents` (C, L, h, w) so far. NONE finds nothing: M = 0."""
    choice = _CHOOSE[policy](state, query)
    return MemoryView(
        latents=latents[:, choice.latent_idx],
        frame_idx=choice.frame_idx,
        frame_idx_raw=choice.frame_idx_raw,
        latent_idx=choice.latent_idx,
        overlap=choice.overlap,
        poses=state.poses[choice.pose_idx],
    )


def _most_overlapping(state: WorldState, query: MemoryQuery) -> Selection:
    return select_frames(query.query_poses, state.poses, query.candidate_stop)


def _most_recent(state: WorldState, query: MemoryQuery) -> Selection:
    return _listed(query.candidate_stop - 1 - FRAMES_PER_LATENT * np.arange(len(query.query_poses)))


def _random(state: WorldState, query: MemoryQuery) -> Selection:
    rng = np.random.default_rng((state.seed, state.chunk))
    return _listed(rng.choice(np.arange(1, query.candidate_stop), len(query.query_poses), replace=False))


def _nothing(state: WorldState, query: MemoryQuery) -> Selection:
    return _listed(np.zeros(0, np.int64))


def _listed(frames: Int64) -> Selection:
    return Selection(frame_idx=frames, frame_idx_raw=frames, overlap=np.zeros(len(frames), np.float32))


_CHOOSE: dict[Policy, Callable[[WorldState, MemoryQuery], Selection]] = {
    Policy.CAMERA: _most_overlapping,
    Policy.RECENT: _most_recent,
    Policy.RANDOM: _random,
    Policy.NONE: _nothing,
}
