"""Batched retrieval against the memory store's exact rule."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worldloom.memory.retrieval import select_frames
from worldloom.model.poses import integrate_poses
from worldloom.train.clips import extrinsics_from
from worldloom.train.retrieval import first_frame, latent_of, memory_table, query_frames, retrieve, with_sink

FRAMES = 137
START = 21


def random_poses(seed: int) -> np.ndarray:
    """A walk that stands still for a while, turns in steps of round angles and comes back exactly."""
    rng = np.random.default_rng(seed)
    keyboard, mouse = np.zeros((FRAMES, 6), np.float32), np.zeros((FRAMES, 2), np.float32)
    stretches = FRAMES // 10 + 1
    keys = rng.integers(0, 5, stretches).repeat(10)[:FRAMES]
    keyboard[np.arange(FRAMES), keys] = keys < 4
    keyboard[:, 4] = 0
    mouse[:] = rng.choice([-0.1, 0.0, 0.1], (stretches, 2)).repeat(10, axis=0)[:FRAMES] * [0.2, 1]
    middle = FRAMES // 2
    if rng.random() < 0.5:
        back = slice(middle - 1, 2 * middle - FRAMES - 1 if 2 * middle > FRAMES else None, -1)
        count = len(keyboard[back])
        keyboard[middle : middle + count] = keyboard[back][:, [1, 0, 3, 2, 4, 5]]
        mouse[middle : middle + count] = -mouse[back]
    return integrate_poses(keyboard, mouse)


def exact(poses: np.ndarray, start: int) -> list[int]:
    """The store's memory latents of the clip that starts at latent `start`."""
    queries = query_frames(torch.tensor(start)).numpy()
    chosen = select_frames(
        poses[queries].astype(np.float64), poses.astype(np.float64), int(first_frame(torch.tensor(start)))
    )
    return [int(latent) for latent in chosen.latent_idx]


@given(st.integers(0, 10_000))
@settings(max_examples=6, deadline=None)
def test_training_remembers_exactly_what_the_store_would(seed: int) -> None:
    poses = np.stack([random_poses(seed), random_poses(seed + 1)])
    extrinsics = extrinsics_from(torch.from_numpy(poses))
    table = memory_table(extrinsics, START - 3, START)
    for row in range(2):
        for column, start in enumerate(range(START - 3, START + 1)):
            assert table[row, column].tolist() == exact(poses[row], start)
    starts = torch.tensor([START, START - 2])
    found = retrieve(extrinsics, starts, latest=START)
    assert found.tolist() == [exact(poses[row], int(start)) for row, start in enumerate(starts)]


def test_the_earliest_of_equal_views_wins_and_nothing_later_than_allowed_is_chosen() -> None:
    still = extrinsics_from(torch.zeros(2, 61, 5, dtype=torch.float64))
    chosen = retrieve(still, torch.tensor([1, 2]), latest=2)
    assert chosen.tolist() == [[1] * 5, [1] * 5]


def test_the_last_slot_is_the_sink_and_frames_fall_into_their_latents() -> None:
    slots = with_sink(torch.tensor([[1, 9, 17, 25, 33]]))
    assert slots.tolist() == [[1, 9, 17, 25, 4]]
    assert latent_of(torch.tensor([0, 1, 4, 5, 8, 9])).tolist() == [0, 1, 1, 2, 2, 3]
