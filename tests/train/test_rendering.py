"""Frames for training: which worlds they show, and on which paths."""

from __future__ import annotations

from pathlib import Path

import torch
from worldloom.train.rendering import RenderConfig, walks

from .tiny_worlds import workplace


def test_a_world_has_several_episodes_on_paths_of_their_own(tmp_path: Path) -> None:
    config = RenderConfig(seconds=1, clips=6, frames=9, episodes_per_world=2, at_once=4, workers=1)
    batches = list(walks(config, workplace(tmp_path), first_seed=100))
    assert [worlds.seeds for worlds, _ in batches] == [(100, 100, 101, 101), (102, 102)]
    for worlds, walk in batches:
        assert len(walk.poses) == len(worlds)
        assert not any(torch.equal(walk.poses[at], walk.poses[at + 1]) for at in range(0, len(worlds), 2))


def test_worlds_that_another_stage_has_shown_are_left_out(tmp_path: Path) -> None:
    config = RenderConfig(seconds=1, clips=6, frames=9, episodes_per_world=2, at_once=2, workers=1)
    left = walks(config, workplace(tmp_path), first_seed=100, skip=4)
    assert [worlds.seeds for worlds, _ in left] == [(102, 102)]
