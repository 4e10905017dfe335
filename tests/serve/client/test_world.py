"""The client against a service that speaks the protocol and can fail on purpose."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from worldloom.errors import NotAuthorized, Overloaded, WorldloomError
from worldloom.serve import wire
from worldloom.serve.samples import load_sample
from worldloom.serve.scripts import parse_script
from worldloom_client import (
    PROTOCOL_VERSION,
    Held,
    ProtocolError,
    Unreachable,
    WorldError,
    WorldFrame,
    link,
    open_service,
    open_world,
    open_world_blocking,
)
from worldloom_client.address import parse_address
from worldloom_client.http_service import HttpService

from ..fake_service import FakeService


@pytest.fixture
def service() -> Iterator[FakeService]:
    with FakeService().running() as running:
        yield running


async def take(url: str, script: str, count: int, **start: object) -> list[WorldFrame]:
    """The first `count` frames of a new world that plays the script."""
    taken: list[WorldFrame] = []
    async with open_world(url, **start) as world:  # type: ignore[arg-type]
        await world.play(parse_script(script).rows())
        async for frame in world.frames():
            taken.append(frame)
            if len(taken) == count:
                break
    return taken


def test_a_script_comes_back_as_frames_with_its_actions(service: FakeService) -> None:
    frames = asyncio.run(take(service.url, "forward 30; right + camera_left 67", 97, sample="garden", seed=3))
    assert [frame.frame_id for frame in frames] == list(range(97))
    assert [frame.chunk for frame in frames] == [0] * 57 + [1] * 40
    assert frames[29].held == Held(forward=True)
    assert frames[30].held.right and frames[30].held.camera_yaw == pytest.approx(-0.1)
    assert frames[0].image.shape == (128, 224, 3)
    assert np.abs(frames[40].image.astype(int) - frames[0].image).mean() > 5
    assert service.sessions["s0"].start == {"sample": "garden", "seed": 3}


def test_stage_times_come_with_the_first_frame_of_a_chunk(service: FakeService) -> None:
    frames = asyncio.run(take(service.url, "still 97", 58))
    assert [frame.frame_id for frame in frames if frame.stages_ms] == [0, 57]
    assert list(frames[0].stages_ms)[3:6] == ["step 1", "step 2", "step 3"]
    assert frames[0].stages_ms["decode"] == 150


def test_a_session_ends_with_its_block(service: FakeService) -> None:
    asyncio.run(take(service.url, "still 57", 1))
    assert service.deleted == ["s0"]


def test_latency_is_told_once_an_event(service: FakeService) -> None:
    async def play() -> list[float]:
        latencies, turned = [], 0
        async with open_world(service.url) as world:
            await world.play(parse_script("still 57").rows())
            async for frame in world.frames():
                if frame.latency_s is not None:
                    latencies.append(frame.latency_s)
                if frame.frame_id == 20:
                    turned = await world.hold(Held(forward=True))
                if frame.held.forward:
                    assert world.applied == {1: 0, turned: frame.frame_id}
                    break
        return latencies

    latencies = asyncio.run(play())
    assert len(latencies) == 2 and all(0 < latency < 30 for latency in latencies)


def test_an_image_is_uploaded(service: FakeService) -> None:
    sample = load_sample("night-street")
    frames = asyncio.run(take(service.url, "still 57", 1, image=sample.read_bytes(), prompt="a street", seed=4))
    assert service.sessions["s0"].start == {"prompt": "a street", "seed": "4"}
    assert np.abs(frames[0].image.astype(int) - sample.read_image()[::2, ::2]).mean() < 20


def test_a_broken_connection_costs_no_frame_and_no_event(service: FakeService) -> None:
    service.faults.drop_connection_after = 80

    async def play() -> tuple[list[int], int]:
        ids = []
        async with open_world(service.url) as world:
            await world.play(parse_script("forward 177").rows())
            async for frame in world.frames():
                ids.append(frame.frame_id)
                if len(ids) == 177:
                    return ids, world.reconnects
        return ids, 0

    ids, reconnects = asyncio.run(play())
    assert sorted(set(ids)) == ids
    assert reconnects == 1 and service.hellos == 2
    assert [script.event_id for script in service.scripts] == [1]


def test_an_event_sent_into_a_broken_connection_arrives_after_the_reconnect(service: FakeService) -> None:
    async def play() -> None:
        async with open_world(service.url) as world:
            await world.play(parse_script("still 57").rows())
            async for frame in world.frames():
                if frame.frame_id == 5:
                    world.break_connection()
                    await world.hold(Held(left=True))
                if frame.held.left:
                    return

    asyncio.run(play())
    assert [event.controls.keyboard.left for event in service.controls] == [True]


def test_a_service_that_refuses_for_a_while_is_tried_again(service: FakeService) -> None:
    service.faults.refuse_connections = 2
    assert len(asyncio.run(take(service.url, "still 57", 3))) == 3
    assert service.hellos == 3


def test_a_service_that_goes_on_refusing_gives_its_own_reason(
    service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "RECONNECT_WAITS_S", (0.01, 0.01))
    service.faults.refuse_connections = 100
    with pytest.raises(WorldError, match="full") as caught:
        asyncio.run(take(service.url, "still 57", 3))
    assert caught.value.code == "overloaded" and caught.value.is_retryable
    assert service.hellos == 3


@pytest.mark.parametrize("kind", [NotAuthorized, Overloaded])
def test_an_error_of_the_session_is_raised_as_what_it_was(service: FakeService, kind: type[WorldloomError]) -> None:
    service.faults.fail_after = (10, kind("no more of this", hint="Open another session."))
    with pytest.raises(WorldError, match="no more of this") as caught:
        asyncio.run(take(service.url, "still 57", 57))
    assert caught.value.code == kind.code and caught.value.hint == "Open another session."
    assert caught.value.is_retryable is kind.retryable and service.hellos == 1


def test_bytes_that_are_no_message_are_refused(service: FakeService) -> None:
    service.faults.send_garbage = True
    with pytest.raises(ProtocolError, match="something else"):
        asyncio.run(take(service.url, "still 57", 57))


def test_a_refused_request_is_raised_as_what_it_was(service: FakeService) -> None:
    with pytest.raises(WorldError, match="huge") as caught:
        asyncio.run(take(service.url, "still", 1, preset="huge"))
    assert caught.value.hint == "Presets: fake."


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "nonsense", "http://[bad"])
def test_no_service_there_is_one_clear_error(url: str) -> None:
    with pytest.raises(Unreachable) as caught:
        asyncio.run(take(url, "still", 1))
    assert url in caught.value.message and "worldloom serve" in caught.value.hint


def test_another_kind_of_server_is_told_apart(service: FakeService) -> None:
    with pytest.raises(WorldError, match="HTTP 40"):
        asyncio.run(take(service.url + "/elsewhere", "still", 1))


def test_samples_are_listed(service: FakeService) -> None:
    async def names() -> list[str]:
        async with open_service(service.url) as client:
            assert isinstance(client, HttpService)
            return [sample["name"] for sample in await client.samples()]

    assert "street" in asyncio.run(names())


def test_the_blocking_client_plays_and_ends_the_session(service: FakeService) -> None:
    with open_world_blocking(service.url, sample="garden") as world:
        world.play(parse_script("forward 57").rows())
        frames = world.frames()
        ids = [next(frames).frame_id for _ in range(10)]
        assert ids == list(range(10)) and world.applied == {1: 0} and world.info.preset == "fake"
    assert service.deleted == ["s0"]


def test_client_and_service_speak_the_same_version() -> None:
    assert PROTOCOL_VERSION == wire.PROTOCOL_VERSION


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:1", True),
        ("ws://127.0.0.1/x", True),
        ("http://[::1]:8", True),
        ("https://example.org", False),
    ],
)
def test_loopback_is_told_from_other_hosts(url: str, expected: bool) -> None:
    assert parse_address(url, "http", "https", "ws").is_loopback is expected


def test_the_client_loads_neither_torch_nor_ray() -> None:
    program = "import sys, worldloom_client\nsys.exit(bool({'torch', 'ray', 'pydantic'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
