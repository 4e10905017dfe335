"""The whole service over HTTP and WebSocket: with the mock for what is exact, and once with a real model."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed
from worldloom.cluster.config import ClusterConfig
from worldloom.errors import CheckpointError
from worldloom.model.preset import load_preset
from worldloom.serve.protocol.generated import session_pb2 as pb
from worldloom.serve.service import ServiceConfig, ServiceHandle, start_service
from worldloom.serve.wire import PROTOCOL_VERSION

from .player import create, end, join, keys_of, owner, story_of, told, walk, world

STILL = (False, False, False, False)


def test_a_script_arrives_frame_by_frame_in_the_pictures(mock_service: ServiceHandle) -> None:
    script = walk(100)

    async def play() -> list[pb.Frame]:
        async with world(mock_service) as player:
            welcome = await player.until("welcome")
            assert (welcome.format.width, welcome.format.height, welcome.trained) == (224, 128, False)
            assert welcome.next_frame_id == 0 and welcome.last_event_id == 0
            await player.play(script)
            frames = await player.frames(96)
            assert player.applied == {1: 0}
            return frames

    frames = asyncio.run(play())
    assert [frame.frame_id for frame in frames[:97]] == list(range(97))
    for frame, action in zip(frames[:97], script, strict=False):
        story = story_of(frame)
        assert (story.chunk, story.frame) == (frame.position.chunk, frame.position.frame)
        assert story.keys == keys_of(action) and story.mouse == pytest.approx((0, action.camera_yaw), abs=0.01)
        assert told(frame)[:4] == keys_of(action) and frame.client_time_us == 1001
    assert [frame.position.chunk for frame in frames[:97]] == [0] * 57 + [1] * 40
    assert frames[0].stages.decode_ms > 0 and len(frames[0].stages.step_ms) == 3


def test_held_keys_fill_chunks_until_released_and_a_tap_is_played_once(mock_service: ServiceHandle) -> None:
    async def play() -> tuple[list[pb.Frame], dict[int, int]]:
        async with world(mock_service) as player:
            # Nothing is planned while nothing is shown: so both ends of the tap fall between the same two plans.
            player.acknowledges = False
            await player.hold(1, client_time_us=1000, forward=True)
            await player.frames(56)
            await player.hold(2, client_time_us=1_000_000, right=True)
            await player.hold(3, client_time_us=1_250_000)
            await player.until("accepted", lambda accepted: accepted.event_id == 3)
            player.acknowledges = True
            await player.show(56)
            await player.until("applied", lambda applied: any(event.event_id == 3 for event in applied.events))
            return await player.frames(player.applied[3] + 39), player.applied

    frames, applied = asyncio.run(play())
    assert applied[1] == 0 and applied[2] == applied[3]
    keys = [keys_of(frame.action) for frame in frames]
    start = applied[3]
    assert set(keys[:start]) == {(True, False, False, False)}
    # 250 ms at 16 frames a second.
    assert keys[start : start + 5] == [(False, False, False, True)] * 4 + [STILL]
    assert set(keys[start + 4 : start + 40]) == {STILL}


def test_every_event_is_accepted_and_a_repeated_one_is_applied_once(mock_service: ServiceHandle) -> None:
    turn = pb.Controls(mouse=pb.Mouse(yaw_motion=0.5))

    async def play() -> None:
        async with world(mock_service) as player:
            for _ in range(2):
                await player.act(4, client_time_us=7, controls=turn)
                accepted = await player.until("accepted")
                assert (accepted.event_id, accepted.client_time_us) == (4, 7)
            frames = await player.frames(96)
            turned = [frame.frame_id for frame in frames if frame.action.camera_yaw]
            assert turned == [0, 1, 2, 3, 4]
            await player.act(4, client_time_us=7, controls=turn)
            await player.until("accepted")
            later = (await player.frames(240))[97:]
            assert not any(frame.action.camera_yaw for frame in later)

    asyncio.run(play())


def test_the_same_seed_and_script_give_the_same_bytes_and_sessions_share_nothing(mock_service: ServiceHandle) -> None:
    async def play() -> list[bytes]:
        async with world(mock_service) as player:
            await player.play(walk(97))
            return [frame.data for frame in (await player.frames(96))[:97]]

    async def both() -> tuple[list[bytes], list[bytes]]:
        return await asyncio.gather(play(), play())

    one, other = asyncio.run(both())
    assert one == other


def test_a_world_waits_for_its_player_and_goes_on_where_it_was(mock_service: ServiceHandle) -> None:
    session = create(mock_service)

    async def leave_and_return() -> None:
        async with join(session) as player:
            await player.play(walk(57))
            await player.frames(56)
            await player.send(bye=pb.Bye())
        await asyncio.sleep(0.2)
        async with join(session, next_frame_id=57) as player:
            welcome = await player.until("welcome")
            assert welcome.last_event_id == 1
            await player.play(walk(40), event_id=2)
            await player.until("applied", lambda applied: any(event.event_id == 2 for event in applied.events))
            frames = await player.frames(player.applied[2])
            assert min(frame.frame_id for frame in frames) >= welcome.next_frame_id >= 57

    try:
        asyncio.run(leave_and_return())
    finally:
        end(mock_service, session)


def test_wrong_players_get_typed_errors_and_disturb_nobody(mock_service: ServiceHandle) -> None:
    session = create(mock_service)

    async def refused(**hello: Any) -> str:
        async with join(session, **hello) as player:
            error: pb.Error = await player.until("error")
            code: str = error.code
            if code == "version_mismatch":
                assert error.version_mismatch.client_version == 99
                assert error.version_mismatch.newest_supported == PROTOCOL_VERSION
            with pytest.raises(ConnectionClosed):
                await player.receive()
            return code

    async def play() -> None:
        async with join(session) as player:
            await player.until("welcome")
            assert await refused() == "player_taken"
            assert await refused(token="guess") == "not_authorized"
            assert await refused(protocol_version=99) == "version_mismatch"
            await player.play(walk(57))
            await player.frames(56)

    try:
        asyncio.run(play())
    finally:
        end(mock_service, session)


def mouse(**angles: float) -> pb.Event:
    return pb.Event(event_id=1, controls=pb.Controls(mouse=pb.Mouse(**angles)))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"event": mouse(yaw=1.5)}, "action_invalid"),
        ({"event": mouse(pitch_motion=float("nan"))}, "action_invalid"),
        ({"event": pb.Event(controls=pb.Controls())}, "action_invalid"),
        ({"event": pb.Event(event_id=1, script=pb.Script())}, "action_invalid"),
        ({"event": pb.Event(event_id=1)}, "message_invalid"),
        ({"event": pb.Event(event_id=1, controls=pb.Controls(prompt=pb.Prompt(text="x" * 2001)))}, "prompt_too_long"),
        ({"hello": pb.Hello(protocol_version=PROTOCOL_VERSION)}, "message_invalid"),
    ],
)
def test_a_wrong_message_is_answered_by_an_error_and_the_world_goes_on(
    mock_service: ServiceHandle, body: dict[str, Any], code: str
) -> None:
    async def play() -> None:
        async with world(mock_service) as player:
            await player.send(**body)
            error = await player.until("error")
            assert (error.code, error.event_id) == (code, body["event"].event_id if "event" in body else 0)
            await player.play(walk(5), event_id=2)
            await player.frames(10)
            assert player.applied == {2: 0}

    asyncio.run(play())


def test_bytes_that_are_no_message_end_the_connection(mock_service: ServiceHandle) -> None:
    async def play(data: bytes | str) -> None:
        async with world(mock_service) as player:
            await player.until("welcome")
            await player.socket.send(data)
            assert (await player.until("error")).code == "message_invalid"
            with pytest.raises(ConnectionClosed):
                await player.receive()

    for data in (b"\xff\xff\xff", "text", b""):
        asyncio.run(play(data))


def test_a_full_service_says_when_to_come_again(mock_service: ServiceHandle) -> None:
    sessions: list[dict[str, Any]] = []
    try:
        sessions += (create(mock_service) for _ in range(3))
        refused = httpx.post(f"{mock_service.url}/v1/sessions", json={})
        assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0
        assert refused.json()["error"]["code"] == "overloaded" and refused.json()["error"]["retryable"]
    finally:
        for session in sessions:
            end(mock_service, session)
    end(mock_service, create(mock_service))


def test_deleting_a_session_says_goodbye_to_its_player(mock_service: ServiceHandle) -> None:
    session = create(mock_service)
    url = f"{mock_service.url}/v1/sessions/{session['session_id']}"

    async def play() -> None:
        async with join(session) as player:
            await player.play(walk(57))
            await player.frames(30)
            described = (await asyncio.to_thread(httpx.get, url, headers=owner(session))).json()
            assert described["state"] == "playing" and described["has_player"] and "token" not in described
            assert (await asyncio.to_thread(httpx.delete, url)).status_code == 401
            assert (await asyncio.to_thread(httpx.delete, url, headers=owner(session))).status_code == 204
            await player.until("bye")

    asyncio.run(play())
    assert httpx.get(url, headers=owner(session)).json()["error"]["code"] == "session_unknown"


def test_an_uploaded_picture_starts_a_world(mock_service: ServiceHandle) -> None:
    file = io.BytesIO()
    Image.new("RGB", (640, 480), "orange").save(file, "PNG")
    reply = httpx.post(
        f"{mock_service.url}/v1/sessions",
        files={"image": ("start.png", file.getvalue(), "image/png")},
        data={"prompt": "an orange place", "seed": "3", "viewpoint": "third_person"},
    )
    session = reply.json()
    assert reply.status_code == 201, reply.text
    assert (session["prompt"], session["seed"], session["viewpoint"]) == ("an orange place", 3, "third_person")
    end(mock_service, session)


def test_a_service_whose_weights_are_missing_says_so(http_port: int, tmp_path: Path) -> None:
    preset = load_preset("tiny").with_directory(tmp_path)
    cluster = ClusterConfig(preset=preset, name="broken", decoders=1, start_tries=1)
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        start_service(ServiceConfig(cluster=cluster, port=http_port, route_prefix="/broken"))


def test_a_real_model_plays_beside_the_mock_on_the_same_cluster(http_port: int) -> None:
    cluster = ClusterConfig(preset=load_preset("tiny"), name="tiny", decoders=1)
    config = ServiceConfig(cluster=cluster, port=http_port, route_prefix="/tiny")

    async def play(service: ServiceHandle) -> list[pb.Frame]:
        async with world(service) as player:
            await player.play(walk(97))
            return (await player.frames(96))[:97]

    with start_service(config) as service:
        one, other = (asyncio.run(play(service)) for _ in range(2))
    assert [frame.frame_id for frame in one] == list(range(97))
    assert [frame.data for frame in one] == [frame.data for frame in other]
    pixels = np.asarray(Image.open(io.BytesIO(one[-1].data)))
    assert pixels.shape == (64, 96, 3) and pixels.std() > 0
