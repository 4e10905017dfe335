"""Batched retrieval against the memory store's exact rule."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worldloom.memory.frustum import POINTS, axes_of, positions_of
from worldloom.memory.retrieval import count_visible, select_frames
from worldloom.model.clip import QUERY_OFFSETS
from worldloom.model.poses import integrate_poses
from worldloom.train.clips import extrinsics_from
from worldloom.train.retrieval import choose_frames, latent_of, with_sink

FRAMES = 137
START = 81


def random_poses(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    keyboard, mouse = np.zeros((FRAMES, 6), np.float32), np.zeros((FRAMES, 2), np.float32)
    keyboard[np.arange(FRAMES), rng.integers(0, 4, FRAMES // 10 + 1).repeat(10)[:FRAMES]] = 1
    mouse[:] = rng.choice([-0.1, 0.0, 0.1], (FRAMES // 10 + 1, 2)).repeat(10, axis=0)[:FRAMES] * [0.2, 1]
    return integrate_poses(keyboard, mouse).astype(np.float64)


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_chosen_frames_see_as_much_as_the_stores_choice(seed: int) -> None:
    poses = random_poses(seed)
    queries = np.array([FRAMES - offset for offset in QUERY_OFFSETS])
    exact = select_frames(poses[queries], poses, START)
    extrinsics = extrinsics_from(torch.from_numpy(poses)[None])
    found = choose_frames(extrinsics, torch.from_numpy(queries)[None], torch.tensor([START]), last=START)
    chosen = found[0].numpy()
    assert chosen.max() < START and chosen.min() >= 1
    for query, ours, theirs in zip(queries, chosen, exact.frame_idx_raw, strict=True):
        points = POINTS @ axes_of(poses[query : query + 1])[0] + positions_of(poses[query : query + 1])[0]
        pair = poses[[ours, theirs]]
        counts = count_visible(points, axes_of(pair), positions_of(pair))
        # Points on the very edge fall to either side by rounding.
        assert counts[0] >= counts[1] - 0.02 * len(POINTS)


def test_the_earliest_of_equal_views_wins_and_nothing_later_than_allowed_is_chosen() -> None:
    still = extrinsics_from(torch.zeros(2, 60, 5, dtype=torch.float64))
    queries = torch.full((2, 5), 59)
    chosen = choose_frames(still, queries, torch.tensor([20, 3]), last=20)
    assert chosen.tolist() == [[1] * 5, [1] * 5]


def test_the_last_slot_is_the_sink_and_frames_fall_into_their_latents() -> None:
    slots = with_sink(torch.tensor([[1, 9, 17, 25, 33]]))
    assert slots.tolist() == [[1, 9, 17, 25, 4]]
    assert latent_of(torch.tensor([0, 1, 4, 5, 8, 9])).tolist() == [0, 1, 1, 2, 2, 3]
