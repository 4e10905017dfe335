"""The ranks of one worker group under Ray."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import ray
from ray.util.placement_group import placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from worldloom.cluster.config import ClusterConfig
from worldloom.cluster.engine import ChunkJob, ChunkResult
from worldloom.cluster.gang import LEADER_CPUS, Gang, gang_bundles
from worldloom.cluster.rollout_engine import RolloutEngine
from worldloom.errors import WorkerLost
from worldloom.model.preset import load_preset
from worldloom.model.rehearsal import random_clips

CONFIG = ClusterConfig(preset=replace(load_preset("tiny"), dtype="float32"), name="gang-test", ranks=2)
JOB = ChunkJob(session="s", epoch=0, clip=random_clips(CONFIG.preset, 0)[1])


class Leader:
    """As a worker group leads its gang."""

    def __init__(self, config: ClusterConfig) -> None:
        self._gang = Gang(config)

    async def warm(self) -> tuple[int, ...]:
        return await self._gang.warm()

    async def step(self, job: ChunkJob) -> ChunkResult:
        return await self._gang.step(job, gateway="nowhere")


@pytest.fixture
def leader(http_port: int) -> Iterator[Any]:
    group = placement_group(gang_bundles(CONFIG), "STRICT_PACK")
    ray.get(group.ready())
    strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
    remote: Any = ray.remote(Leader)
    yield remote.options(num_cpus=LEADER_CPUS, scheduling_strategy=strategy).remote(CONFIG)
    remove_placement_group(group)


def test_two_ranks_make_what_one_makes_and_others_take_over_when_one_is_killed(leader: Any) -> None:
    alone = RolloutEngine(CONFIG.preset, "cpu").step(JOB).latents
    pids = ray.get(leader.warm.remote())
    assert len(set(pids)) == 2
    made = ray.get(leader.step.remote(JOB))
    np.testing.assert_allclose(made.latents.astype(np.float32), alone.astype(np.float32), atol=0.02, rtol=0.01)
    assert set(made.timings) == {"prepare", "step0", "step1", "step2"}

    os.kill(pids[1], signal.SIGKILL)
    with pytest.raises(WorkerLost, match="a rank of the worker group has died"):
        ray.get(leader.step.remote(JOB))
    again = ray.get(leader.step.remote(JOB))
    assert np.array_equal(again.latents, made.latents)
    assert set(ray.get(leader.warm.remote())).isdisjoint(pids)


def test_a_placement_group_has_a_bundle_for_each_rank() -> None:
    eight = ClusterConfig(preset=replace(load_preset("mg3-28b"), num_gpus=8))
    leader, *ranks = gang_bundles(eight)
    assert "GPU" not in leader and len(ranks) == 8
    assert all(rank["GPU"] == eight.rank_gpus for rank in ranks)
