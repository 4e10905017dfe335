"""Worlds whose chunks pass from rank to rank, through the whole service: processes of two gangs on the CPU."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from ray import serve
from worldloom.cluster.config import ClusterConfig
from worldloom.cluster.lay_out import Wish
from worldloom.model.mixture import MixtureConfig
from worldloom.model.preset import load_preset
from worldloom.parallel.planner import Placement
from worldloom.serve.protocol.generated import session_pb2 as pb
from worldloom.serve.service import ServiceConfig, ServiceHandle, start_service

from .player import Player, create, end, join, walk

MIXTURE = MixtureConfig(boundary=0.9, viewpoints=("first_person",))
PRESET = replace(load_preset("tiny"), dtype="float32", mixture=MIXTURE)
WISH = Wish(gpus=2, placement=Placement.PIPELINED, sessions=2, decoder_ranks=2)
FRAMES = 57 + 2 * 40
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def service(http_port: int) -> Iterator[ServiceHandle]:
    # Nobody looks after the ranks but who needs them.
    cluster = ClusterConfig(preset=PRESET, name="gangs", sessions_per_group=2, health_check_s=60.0)
    told: list[str] = []
    config = ServiceConfig(cluster=cluster, wish=WISH, port=http_port, route_prefix="/gangs")
    with start_service(config, on_plan=told.extend) as handle:
        assert "pipelined: 1 groups of 1 + 1 of 2 GPUs" in told[0]
        yield handle


def pids_of(part: str) -> tuple[int, ...]:
    """Process ids of the ranks, a leader of which comes first where it is told."""
    pids: tuple[int, ...] = serve.get_app_handle(f"gangs-{part}").pids.remote().result(timeout_s=PATIENCE_S)
    return pids[-2:]


def play(service: ServiceHandle, worlds: int, *, disturbed: bool) -> list[Player]:
    """Worlds of the same seed side by side; their first chunks come before and the others after a fault."""
    sessions = [create(service, prompt="a courtyard") for _ in range(worlds)]

    async def all_of_them() -> list[Player]:
        async with AsyncExitStack() as stack:
            players = [await stack.enter_async_context(join(session)) for session in sessions]
            for player in players:
                player.acknowledges = False
                await player.play(walk(FRAMES))
            await asyncio.gather(*(player.frames(56) for player in players))
            if disturbed:
                for part in ("groups", "decoders"):
                    os.kill((await asyncio.to_thread(pids_of, part))[1], signal.SIGKILL)
            for player in players:
                player.acknowledges = True
                await player.show(56)
            await asyncio.gather(*(player.frames(FRAMES - 1) for player in players))
            return players

    try:
        return asyncio.run(all_of_them())
    finally:
        for session in sessions:
            end(service, session)


def test_two_worlds_share_two_experts_and_outlive_a_rank_of_each_gang(service: ServiceHandle) -> None:
    config = service.config.cluster
    assert config.layout is not None and config.layout.placement is Placement.PIPELINED
    assert (config.group_ranks, config.chunks_in_flight, config.decoder_ranks) == (2, 2, 2)
    (alone,) = play(service, 1, disturbed=False)
    before = {*pids_of("groups"), *pids_of("decoders")}
    for player in play(service, 2, disturbed=True):
        assert [frame.frame_id for frame in player.seen[:FRAMES]] == list(range(FRAMES))
        assert [frame.data for frame in player.seen[:FRAMES]] == [frame.data for frame in alone.seen[:FRAMES]]
        states = [m.status.state for m in player.received if m.WhichOneof("body") == "status"]
        assert pb.SESSION_STATE_RECOVERING in states and states[-1] == pb.SESSION_STATE_PLAYING
        assert player.applied == {1: 0}
    assert before.isdisjoint({*pids_of("groups"), *pids_of("decoders")})
    # Both experts have worked for every chunk.
    assert len(alone.seen[0].stages.step_ms) == 3
