"""The benchmark's actions lead back, so that retrieval has something to find."""

from __future__ import annotations

import numpy as np
import pytest
from worldloom.model.poses import integrate_poses
from worldloom.serve.actions import concatenate, equal
from worldloom.serve.bench.walk import LEG_FRAMES, chunk_actions, frames_of, there_and_back


def test_a_walk_returns_to_its_start_after_each_leg() -> None:
    walk = there_and_back(3, 4 * LEG_FRAMES + 1)
    poses = integrate_poses(walk.keyboard, walk.mouse).astype(np.float64)
    assert len(np.unique(poses.round(3), axis=0)) > 50
    for turn in (2 * LEG_FRAMES, 4 * LEG_FRAMES):
        position, angles = poses[turn, :3], (poses[turn, 3:] + 180) % 360 - 180
        assert np.abs(position).max() < 1e-2 and np.abs(angles).max() < 1e-2


@pytest.mark.parametrize("chunks", [1, 2, 7])
def test_chunks_cut_a_walk_without_gap_or_overlap(chunks: int) -> None:
    walk = there_and_back(1, frames_of(chunks))
    parts = [chunk_actions(walk, chunk) for chunk in range(chunks)]
    assert [len(part) for part in parts] == [57, *[40] * (chunks - 1)]
    assert equal(concatenate(parts), walk)


def test_the_seed_decides_the_walk() -> None:
    assert equal(there_and_back(1, 500), there_and_back(1, 500))
    assert not equal(there_and_back(1, 500), there_and_back(2, 500))
