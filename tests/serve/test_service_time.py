"""Turns of a world's time, prompts and JSON, through the whole service with the mock."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from websockets.asyncio.client import connect
from worldloom.serve.protocol.generated import session_pb2 as pb
from worldloom.serve.service import ServiceHandle
from worldloom.serve.wire import PROTOCOL_VERSION

from .player import Player, create, end, join, story_of, told, walk, world


async def first_chunk(player: Player) -> None:
    await player.play(walk(57))
    await player.frames(56)


def test_a_rewind_goes_on_in_a_new_branch_and_frame_ids_never_go_back(mock_service: ServiceHandle) -> None:
    async def play() -> Player:
        async with world(mock_service) as player:
            await player.play(walk(97))
            await player.frames(96)
            await player.act(2, rewind=pb.Rewind(chunk=1))
            branched = await player.until("branched")
            assert (branched.branch, branched.parent, branched.chunk) == (1, 0, 1)
            await player.play(walk(40), event_id=3)
            await player.until("applied", lambda applied: any(event.event_id == 3 for event in applied.events))
            await player.frames(player.applied[3] + 39)
            await player.act(4, reset=pb.Reset())
            await player.until("applied", lambda applied: any(event.event_id == 4 for event in applied.events))
            await player.frames(player.applied[4] + 56)
            return player

    player = asyncio.run(play())
    ids = [frame.frame_id for frame in player.seen]
    assert ids == sorted(set(ids))
    by_id = {frame.frame_id: frame for frame in player.seen}
    first = by_id[player.applied[2]]
    assert (first.position.branch, first.position.chunk, first.position.frame) == (1, 1, 0)
    replayed = [by_id[player.applied[3] + index] for index in range(40)]
    assert [told(frame) for frame in replayed] == [told(frame) for frame in player.seen[:40]]
    fresh = by_id[player.applied[4]]
    assert (fresh.position.branch, fresh.position.chunk) == (2, 0)
    for frame in (first, fresh):
        story = story_of(frame)
        assert (story.branch, story.chunk) == (frame.position.branch, frame.position.chunk)
    assert (fresh.camera.x, fresh.camera.yaw_degrees) == (0, 0)


def test_a_rewind_to_nowhere_is_refused_and_the_world_goes_on(mock_service: ServiceHandle) -> None:
    async def play() -> None:
        async with world(mock_service) as player:
            await first_chunk(player)
            await player.act(2, rewind=pb.Rewind(chunk=50))
            error = await player.until("error")
            assert (error.code, error.event_id) == ("input_invalid", 2)
            await player.until("applied", lambda applied: any(event.event_id == 2 for event in applied.events))
            assert not any(message.HasField("branched") for message in player.received)

    asyncio.run(play())


def test_a_paused_world_makes_nothing_until_it_plays_again(mock_service: ServiceHandle) -> None:
    async def play() -> None:
        async with world(mock_service) as player:
            player.acknowledges = False
            await player.play(walk(200))
            await player.frames(56)
            await player.act(2, pause=pb.Pause())
            status = await player.until("status", lambda status: status.state == pb.SESSION_STATE_PAUSED)
            assert status.state == pb.SESSION_STATE_PAUSED
            await player.show(56)
            try:
                async with asyncio.timeout(0.4):
                    await player.until("frame")
                raise AssertionError("a frame came in the pause")
            except TimeoutError:
                pass
            await player.act(3, play=pb.Play())
            await player.frames(96)
            assert player.applied == {1: 0, 2: 57, 3: 57}

    asyncio.run(play())


def test_a_prompt_counts_from_the_next_chunk_and_lasts(mock_service: ServiceHandle) -> None:
    session = create(mock_service, prompt="a hall")

    async def play() -> None:
        async with join(session) as player:
            player.acknowledges = False
            await first_chunk(player)
            await player.act(2, controls=pb.Controls(prompt=pb.Prompt(text="snow")))
            await player.show(56)
            await player.until("applied", lambda applied: any(event.event_id == 2 for event in applied.events))
            assert player.applied[2] == 57

    try:
        asyncio.run(play())
    finally:
        end(mock_service, session)


def test_a_client_that_speaks_json_plays(mock_service: ServiceHandle) -> None:
    session = create(mock_service)

    async def play() -> dict[str, Any]:
        async with connect(session["stream_url"], max_size=None) as socket:
            hello = {"protocol_version": PROTOCOL_VERSION, "token": session["token"]}
            await socket.send(json.dumps({"hello": hello}))
            await socket.send('{"event": {"event_id": "1", "controls": {"keyboard": {"forward": true}}}}')
            async with asyncio.timeout(20):
                while True:
                    message: dict[str, Any] = json.loads(await socket.recv())
                    if "frame" in message:
                        shown: dict[str, Any] = message["frame"]
                        return shown

    try:
        frame = asyncio.run(play())
    finally:
        end(mock_service, session)
    assert frame["codec"] == "CODEC_JPEG" and frame["action"] == {"forward": True}
