"""Ways there and back: which frames see the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from worldloom.model.clip import latent_of_frame
from worldloom.train.evaluation.drift import LEGS, DriftConfig, excursions, sampled_frames
from worldloom.train.evaluation.moves import Moves, apart, chunks_for, frames_of, hold, is_reversible, there_and_back
from worldloom.train.evaluation.revisit import RevisitConfig, visits, way_out


def random_way(seed: int, frames: int) -> Moves:
    rng = np.random.default_rng(seed)
    keyboard = (rng.random((frames, 6)) < 0.4).astype(np.float32)
    mouse = rng.choice([0, 0.01, 0.1, -0.1, 0.3, -0.3], (frames, 2)).astype(np.float32)
    return Moves(keyboard=keyboard, mouse=mouse)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 100))
def test_a_reversed_way_passes_the_same_poses(seed: int, turn: int) -> None:
    way = random_way(seed, turn)
    assume(np.abs(way.poses()[:, 4]).max() < 178)
    poses = there_and_back(way).filled(2 * turn + 1).poses()
    np.testing.assert_allclose(poses[turn:], poses[turn::-1], rtol=0, atol=0.02)
    assert is_reversible(way)


@pytest.mark.parametrize("keys, reversible", [("", True), ("W", False)])
def test_walking_through_half_a_turn_cannot_be_reversed(keys: str, reversible: bool) -> None:
    turn = hold(keys, yaw=0.1, frames=140)
    assert 180 in turn.poses()[:, 4]
    assert is_reversible(turn) is reversible


def test_poses_one_full_turn_apart_are_equal() -> None:
    one = np.array([[1, 2, 0, 0, 180]], np.float32)
    assert apart(one, one * np.array([1, 1, 1, 1, -1], np.float32)) == 0
    assert apart(one, one + np.array([0, 30, 0, 0, 5], np.float32)) == 30


@pytest.mark.parametrize("index", [0, 1])
def test_visits_pair_frames_of_equal_pose_at_the_gap_asked_for(index: int) -> None:
    config = RevisitConfig()
    poses = there_and_back(way_out(config.turn, index)).filled(frames_of(config.chunks)).poses()
    for gap in (48, 96):
        pairs = visits(config.turn, gap, config.spread)
        assert len(pairs) == 4 * config.spread + 1
        for first, second in pairs:
            assert abs(poses[first] - poses[second]).max() < 0.01
            assert abs(latent_of_frame(second) - latent_of_frame(first) - gap) <= config.spread
        assert (config.turn - 2 * gap, config.turn + 2 * gap) in pairs
        assert min(pairs)[0] >= 0 and max(pairs)[1] < len(poses)


def test_the_place_of_far_visits_is_out_of_sight_between_them() -> None:
    config = RevisitConfig()
    poses = way_out(config.turn).filled(config.turn + 1).poses()
    for gap in config.gaps:
        turned = (poses[config.turn, 4] - poses[config.turn - 2 * gap, 4]) % 360
        assert 90 <= turned <= 180
    left = way_out(config.turn, 1).filled(config.turn + 1).poses()
    np.testing.assert_allclose(left[:, 1], -poses[:, 1], atol=0.5)


def test_excursions_come_home_after_every_leg() -> None:
    config = DriftConfig()
    path = random_way(3, max(config.legs))
    path.mouse[:, 1] *= 0.1
    moves = excursions(path, config.legs, config.frames)
    assert len(moves) == 2417
    home = np.cumsum([2 * leg for leg in config.legs])
    np.testing.assert_allclose(moves.poses()[home], np.zeros((len(LEGS), 5)), atol=0.05)
    assert home[-1] >= 2400


def test_moves_fall_into_chunks() -> None:
    moves = hold("D", yaw=0.1, frames=frames_of(4))
    assert [len(part) for part in moves.chunks()] == [57, 40, 40, 40]
    assert chunks_for(57) == 1 and chunks_for(58) == 2 and chunks_for(frames_of(4)) == 4
    assert sampled_frames(2) == [[28, 56], [77, 96]]
    with pytest.raises(AssertionError):
        list(moves.cut(0, 60).chunks())
