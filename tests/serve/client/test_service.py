"""The client and a real service with the mock engine, over both transports."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from worldloom.serve.scripts import random_script
from worldloom.serve.service import ServiceHandle
from worldloom_client import (
    Action,
    Credential,
    Held,
    OpenedSession,
    World,
    WorldError,
    WorldFrame,
    join_world,
    open_service,
    open_session,
    open_world,
)

EXAMPLE = Path(__file__).parents[3] / "serve" / "client" / "examples" / "game_backend.py"
CODECS = ("h264", "jpeg", "raw")


def grpc_url(service: ServiceHandle) -> str:
    return f"grpc://{service.grpc_target}"


async def take(world: World, last_frame_id: int) -> list[WorldFrame]:
    """Frames up to this one."""
    taken = []
    async for frame in world.frames():
        taken.append(frame)
        if frame.frame_id >= last_frame_id:
            break
    return taken


@asynccontextmanager
async def opened(service: ServiceHandle, transport: str, codec: str = "jpeg") -> AsyncIterator[World]:
    """A new world, created and played over this transport."""
    url = service.url if transport == "websocket" else grpc_url(service)
    async with open_world(url, codecs=[codec], sample="garden", seed=3) as world:
        yield world


@pytest.mark.parametrize("transport", ["websocket", "grpc"])
@pytest.mark.parametrize("codec", CODECS)
def test_a_script_comes_back_frame_by_frame(mock_service: ServiceHandle, transport: str, codec: str) -> None:
    rows = random_script(5, 97).rows()

    async def play() -> list[WorldFrame]:
        async with opened(mock_service, transport, codec) as world:
            event_id = await world.play(rows)
            frames = await take(world, 96)
            assert await world.settled(event_id) == 0
        return frames

    frames = asyncio.run(play())
    assert [frame.frame_id for frame in frames] == list(range(97))
    assert {frame.image.shape for frame in frames} == {(128, 224, 3)}
    assert {frame.codec for frame in frames} == {codec}
    for frame, row in zip(frames, rows, strict=True):
        assert (frame.held.forward, frame.held.left) == (row.forward, row.left)
        assert frame.held.camera_yaw == pytest.approx(row.camera_yaw, abs=1e-6)


@pytest.mark.parametrize("transport", ["websocket", "grpc"])
def test_a_broken_connection_costs_no_frame_and_no_event(mock_service: ServiceHandle, transport: str) -> None:
    async def play() -> tuple[list[WorldFrame], World]:
        async with opened(mock_service, transport, "h264") as world:
            first = await world.play(random_script(5, 97).rows())
            frames = await take(world, 30)
            world.break_connection()
            second = await world.hold(Held(left=True))
            frames += await take(world, 140)
            await world.settled(first)
            await world.settled(second)
            return frames, world

    frames, world = asyncio.run(play())
    ids = [frame.frame_id for frame in frames]
    assert ids == list(range(len(ids)))
    assert world.reconnects == 1 and list(world.applied) == [1, 2]
    assert [frame.held.left for frame in frames[97:]] == [True] * (len(frames) - 97)


def test_a_refused_event_ends_nothing(mock_service: ServiceHandle) -> None:
    async def play() -> None:
        async with opened(mock_service, "grpc") as world:
            refused = await world.prompt("x" * 100_000)
            with pytest.raises(WorldError) as caught:
                await world.settled(refused)
            assert caught.value.code == "prompt_too_long" and caught.value.hint
            taken = await world.hold(Held(forward=True))
            assert await world.settled(taken) == 0

    asyncio.run(play())


def test_a_rewind_drops_what_waits_and_goes_on_in_a_new_branch(mock_service: ServiceHandle) -> None:
    async def play() -> list[WorldFrame]:
        async with opened(mock_service, "websocket") as world:
            await world.play(random_script(5, 97).rows())
            frames = await take(world, 10)
            rewound = await world.reset()
            first = await world.settled(rewound)
            return [*frames, *await take(world, first + 5)]

    frames = asyncio.run(play())
    ids = [frame.frame_id for frame in frames]
    assert ids == sorted(set(ids))
    assert frames[-1].branch == 1 and frames[-1].chunk == 0


def test_a_ticket_lets_a_viewer_in_once_and_no_event_of_it(mock_service: ServiceHandle) -> None:
    async def watch() -> None:
        async with open_service(grpc_url(mock_service)) as service:
            session = await service.create(sample="garden", seed=3)
            ticket = await service.mint_ticket(session.session_id, token=session.token, is_player=False)
            async with join_world(session.url, Credential(token=session.token)) as world:
                await world.play(random_script(5, 57).rows())
                async with join_world(ticket.url, Credential(ticket=ticket.ticket)) as viewer:
                    assert not viewer.info.is_player
                    seen, shown = await take(viewer, 50), await take(world, 56)
                    assert {frame.frame_id: frame.held for frame in seen}.items() <= {
                        frame.frame_id: frame.held for frame in shown
                    }.items()
                    with pytest.raises(WorldError) as caught:
                        await viewer.settled(await viewer.hold(Held(left=True)))
                    assert caught.value.code == "not_authorized"
                with pytest.raises(WorldError, match="ticket"):
                    async with join_world(ticket.url, Credential(ticket=ticket.ticket)):
                        pass
            await service.close(session.session_id, token=session.token)

    asyncio.run(watch())


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_a_world_goes_on_from_a_snapshot_a_fork_and_a_file(mock_service: ServiceHandle, transport: str) -> None:
    url = mock_service.url if transport == "http" else grpc_url(mock_service)
    rows = random_script(5, 97).rows()

    async def second_chunk(session: OpenedSession, rows: Sequence[Action]) -> list[bytes]:
        async with join_world(session.url, Credential(token=session.token), codecs=["raw"]) as world:
            await world.play(rows, pause_after=True)
            return [frame.image.tobytes() for frame in await take(world, 96)][-40:]

    async def play() -> None:
        async with open_session(url, sample="garden", seed=3) as (service, session):
            seen = await second_chunk(session, rows)
            session_id, token = session.session_id, session.token
            snapshot = await service.take_snapshot(session_id, token=token, branch=0, chunk=1)
            assert (snapshot.branch, snapshot.chunk) == (0, 1)
            forked = await service.fork(session_id, token=token, branch=0, chunk=1)
            started = await service.create(snapshot_id=snapshot.snapshot_id)
            file = await service.export_world(started.session_id, token=started.token)
            # The service has room for three worlds at a time.
            for other in (started, forked):
                assert await second_chunk(other, rows[57:]) == seen
                await service.close(other.session_id, token=other.token)
            imported = await service.import_world(file)
            assert await second_chunk(imported, rows[57:]) == seen
            await service.close(imported.session_id, token=imported.token)
            with pytest.raises(WorldError) as caught:
                await service.import_world(file[:-1])
            assert caught.value.code == "snapshot_invalid"

    asyncio.run(play())


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_what_the_service_refuses_is_raised_with_its_code(mock_service: ServiceHandle, transport: str) -> None:
    async def ask() -> None:
        url = mock_service.url if transport == "http" else grpc_url(mock_service)
        async with open_service(url) as service:
            with pytest.raises(WorldError) as caught:
                await service.create(preset="huge")
            assert caught.value.code == "preset_unknown" and "mock" in caught.value.hint
            with pytest.raises(WorldError) as caught:
                await service.mint_ticket("nobody", token="x", is_player=True)
            assert caught.value.code in ("session_unknown", "not_authorized")

    asyncio.run(ask())


def test_the_example_of_a_games_back_end_works(mock_service: ServiceHandle) -> None:
    command = [sys.executable, str(EXAMPLE), grpc_url(mock_service)]
    run = subprocess.run(command, input="\n", capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert "turned and darkened from frame" in run.stdout
    assert all(f"{role}: {mock_service.stream_url} with ticket" in run.stdout for role in ("player", "viewer"))
