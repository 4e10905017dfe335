"""One pipeline on several ranks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from worldloom.cluster.denoisers import joined
from worldloom.cluster.engine import ChunkJob
from worldloom.cluster.local_pipeline import LocalPipeline
from worldloom.cluster.rank import RankShare
from worldloom.cluster.rollout_engine import RolloutEngine
from worldloom.errors import ConfigError
from worldloom.model.mixture import LOW_NOISE, MixtureConfig
from worldloom.model.preset import load_preset
from worldloom.model.rehearsal import random_clips
from worldloom.parallel.planner import Layout, Placement, Stage
from worldloom.parallel.ranks import Ranks
from worldloom.parallel.relay import Relay
from worldloom.serve.ports import free_port

from ..parallel.processes import Processes
from .shared_jobs import Shown, play, play_shared, step_shared

PRESET = replace(
    load_preset("tiny"), dtype="float32", mixture=MixtureConfig(boundary=0.9, viewpoints=("first_person",))
)
HIGH_NOISE = "high_noise_first_person"
SESSIONS = ("a", "other", "third one")


def pipelined(front: int, back: int) -> Layout:
    stages = Stage(experts=(HIGH_NOISE,), ranks=front), Stage(experts=(LOW_NOISE,), ranks=back)
    return Layout(placement=Placement.PIPELINED, stages=stages)


def replicated(ranks: int) -> Layout:
    return Layout(placement=Placement.REPLICATED, stages=(Stage(experts=(HIGH_NOISE, LOW_NOISE), ranks=ranks),))


@pytest.fixture(scope="module")
def pair() -> Iterator[Processes]:
    started = Processes(free_port("127.0.0.1"), most=2)
    yield started
    started.stop()


@pytest.fixture(scope="module")
def alone() -> Iterator[list[Shown]]:
    # As many threads as each rank has: sums depend on how they are split.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield play(LocalPipeline(PRESET, device="cpu"), SESSIONS)
    torch.set_num_threads(threads)


def test_a_mixture_on_two_ranks_makes_the_bits_of_one(pair: Processes, alone: list[Shown]) -> None:
    front, back = pair.run(2, play_shared, PRESET, pipelined(1, 1), SESSIONS)
    assert back == alone
    assert front == [(session, chunk, None) for session, chunk, _ in alone]


def test_streams_are_dealt_to_the_ranks_that_share_all_experts(pair: Processes, alone: list[Shown]) -> None:
    first, second = pair.run(2, play_shared, PRESET, replicated(2), SESSIONS)
    for one, other, (session, chunk, _) in zip(first, second, alone, strict=True):
        assert one[:2] == other[:2] == (session, chunk)
        assert (one[2] is None) is (session == "other") is (other[2] is not None)


def test_a_band_of_each_stream_is_decoded_by_each_rank(pair: Processes) -> None:
    first, second = pair.run(2, play_shared, PRESET, replicated(2), SESSIONS[:1], True)
    assert [chunk for _, chunk, digest in first if digest] == [0, 1]
    assert [digest for _, _, digest in second] == [None, None]


def test_a_gang_that_shares_every_step_makes_what_one_rank_makes(pair: Processes) -> None:
    job = ChunkJob(session="s", epoch=0, clip=random_clips(PRESET, 0)[1])
    alone = RolloutEngine(PRESET, "cpu").step(job)
    results = pair.run(2, step_shared, PRESET, replicated(2), job)
    assert [answers for answers, _ in results] == [True, False]
    for _, made in results:
        np.testing.assert_allclose(made.latents.astype(np.float32), alone.latents.astype(np.float32), atol=0.02)
        assert made.timings.keys() == alone.timings.keys()


def test_a_chunk_is_what_its_ranks_have_made_of_it() -> None:
    latents = np.ones((4, 10, 2, 3), np.float32)
    front = RankShare(latents=None, timings={"prepare": 0.3, "step0": 0.2})
    back = RankShare(latents=latents, timings={"prepare": 0.1, "step1": 0.4})
    made = joined([front, back])
    assert made.latents is latents and made.timings == {"prepare": 0.3, "step0": 0.2, "step1": 0.4}


def test_a_relay_needs_ranks_on_both_sides() -> None:
    with pytest.raises(ConfigError, match="1 of 1 ranks"):
        Relay.of(Ranks.alone("cpu"), front=1)
