"""The environment for agents, over a real service with the mock engine."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from worldloom.serve.service import ServiceHandle
from worldloom_client.gym import WorldEnv

FORWARD = {"keys": np.array([1, 0, 0, 0], np.int8), "mouse": np.zeros(2, np.float32)}
TURN = {"keys": np.zeros(4, np.int8), "mouse": np.array([0.0, 0.5], np.float32)}


@pytest.fixture
def env(mock_service: ServiceHandle) -> Iterator[WorldEnv]:
    env = WorldEnv(mock_service.url, render_mode="rgb_array", sample="garden", seed=3)
    yield env
    env.close()


def test_a_step_is_a_chunk_of_its_action_and_the_world_waits_for_the_next(env: WorldEnv) -> None:
    time.sleep(1.1)
    seen, info = env.reset()
    assert seen.shape == (40, 128, 224, 3) and seen.dtype == np.uint8
    assert info["frame_id"] == 56 and info["pose"].x == 0
    walked, reward, terminated, truncated, info = env.step(FORWARD)  # type: ignore[arg-type]
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info["frame_id"] == 96 and info["chunk"] == 1 and info["pose"].x > 100
    assert not np.array_equal(walked, seen)
    frame = env.render()
    assert frame is not None and np.array_equal(frame, walked[-1])
    time.sleep(0.2)
    *_, info = env.step(TURN)  # type: ignore[arg-type]
    assert info["frame_id"] == 136 and abs(info["pose"].yaw_degrees) > 30


def test_the_same_seed_is_the_same_world(env: WorldEnv) -> None:
    first, _ = env.reset(seed=5)
    other, _ = env.reset(seed=6)
    again, _ = env.reset(seed=5)
    assert np.array_equal(first, again)
    assert env.observation_space.contains(other)


def test_it_keeps_the_rules_of_gymnasium(env: WorldEnv) -> None:
    check_env(env, skip_render_check=True)
