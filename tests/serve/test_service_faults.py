"""What dies comes back, and worlds go on from their last commit with the same bits."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable

import httpx
import pytest
import ray
from ray import serve
from websockets.exceptions import ConnectionClosed, WebSocketException
from worldloom.cluster.config import DIRECTORY, GATEWAY, STORE
from worldloom.serve.protocol.generated import session_pb2 as pb
from worldloom.serve.service import ServiceHandle

from .player import Player, create, end, join, owner, walk, world

FRAMES = 57 + 3 * 40
SCRIPT = walk(FRAMES)
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def undisturbed(mock_service: ServiceHandle) -> list[bytes]:
    """The frames of a world that nothing happens to."""

    async def play() -> list[bytes]:
        async with world(mock_service) as player:
            await player.play(SCRIPT)
            return [frame.data for frame in (await player.frames(FRAMES - 1))[:FRAMES]]

    return asyncio.run(play())


def kill(pid: int) -> None:
    """End a process of the test's own cluster."""
    os.kill(pid, signal.SIGKILL)


def group_pids() -> tuple[int, int]:
    """Process ids of a group's leader and its rank."""
    leader, rank = serve.get_app_handle("worldloom-groups").pids.remote().result(timeout_s=PATIENCE_S)
    return leader, rank


def kill_rank(_: str) -> None:
    kill(group_pids()[1])


def kill_leader(_: str) -> None:
    kill(group_pids()[0])


def kill_decoder(session: str) -> None:
    """The one that follows the session: Serve may have to be asked several times for it."""
    decoders = serve.get_app_handle("worldloom-decoders")
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        pid, sessions = decoders.following.remote().result(timeout_s=PATIENCE_S)
        if session in sessions:
            kill(pid)
            return
    raise AssertionError(f"no decoder follows {session}")


def kill_actor(name: str) -> Callable[[str], None]:
    """Ray restarts it, as after any other death."""
    return lambda _: ray.kill(ray.get_actor(name, namespace="worldloom"), no_restart=False)


@pytest.mark.parametrize("fault", [kill_rank, kill_decoder, kill_actor(DIRECTORY), kill_leader])
def test_a_world_goes_on_with_the_same_frames_after(
    fault: Callable[[str], None], mock_service: ServiceHandle, undisturbed: list[bytes]
) -> None:
    session = create(mock_service)

    async def play() -> Player:
        async with join(session) as player:
            # While nothing is shown nothing is planned: the fault meets a world with more to come.
            player.acknowledges = False
            await player.play(SCRIPT)
            await player.frames(56)
            await asyncio.to_thread(fault, session["session_id"])
            player.acknowledges = True
            await player.show(56)
            await player.frames(FRAMES - 1)
            return player

    try:
        player = asyncio.run(play())
    finally:
        end(mock_service, session)
    shown = player.seen[:FRAMES]
    assert [frame.frame_id for frame in shown] == list(range(FRAMES))
    assert [frame.data for frame in shown] == undisturbed
    assert player.applied == {1: 0}
    states = [message.status.state for message in player.received if message.WhichOneof("body") == "status"]
    assert states[-1] == pb.SESSION_STATE_PLAYING
    if fault in (kill_rank, kill_leader):
        assert pb.SESSION_STATE_WARMING_UP in states


def test_a_player_comes_back_to_a_gateway_that_has_died(mock_service: ServiceHandle, undisturbed: list[bytes]) -> None:
    session = create(mock_service)

    async def play_until_it_breaks() -> None:
        async with join(session) as player:
            player.acknowledges = False
            await player.play(SCRIPT)
            await player.frames(56)
            kill_actor(GATEWAY)("")
            with pytest.raises(ConnectionClosed):
                await player.until("bye")

    async def return_() -> list[pb.Frame]:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                async with join(session) as player:
                    welcome = await player.until("welcome")
                    assert welcome.last_event_id == 1
                    return await player.frames(FRAMES - 1)
            except (OSError, WebSocketException):
                assert time.monotonic() < deadline
                await asyncio.sleep(0.1)

    try:
        asyncio.run(play_until_it_breaks())
        frames = asyncio.run(return_())
    finally:
        end(mock_service, session)
    shown = [frame for frame in frames if frame.frame_id < FRAMES]
    assert shown[0].frame_id <= 97
    assert [frame.data for frame in shown] == undisturbed[shown[0].frame_id :]


def test_a_rank_that_dies_while_nobody_needs_it_is_replaced_before_somebody_does(mock_service: ServiceHandle) -> None:
    leader, rank = group_pids()
    kill(rank)
    deadline = time.monotonic() + PATIENCE_S
    # To be asked for its ranks tells the leader nothing of them.
    while group_pids() == (leader, rank):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert group_pids()[0] == leader


def test_a_session_deleted_while_its_group_is_down_stays_deleted(mock_service: ServiceHandle) -> None:
    session = create(mock_service)
    kill_rank("")
    end(mock_service, session)
    url = f"{mock_service.url}/v1/sessions/{session['session_id']}"
    assert httpx.get(url, headers=owner(session)).status_code == 404
    end(mock_service, create(mock_service))


def test_a_world_whose_only_copy_is_gone_is_reported_lost(mock_service: ServiceHandle) -> None:
    async def play() -> pb.Error:
        async with world(mock_service) as player:
            player.acknowledges = False
            await player.play(SCRIPT)
            await player.frames(56)
            kill_actor(STORE)("")
            player.acknowledges = True
            await player.show(56)
            error: pb.Error = await player.until("error")
            return error

    error = asyncio.run(play())
    assert (error.code, error.world_lost, error.retryable) == ("world_lost", True, False)
    end(mock_service, create(mock_service))
