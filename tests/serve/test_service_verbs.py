"""The session verbs through the whole service with the mock: HTTP, store, directory and players."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import httpx
import numpy as np
from worldloom.cluster.mock import MockDecoder, MockEngine
from worldloom.cluster.replay import replay
from worldloom.memory.archive import unpack_world
from worldloom.model.preset import load_preset
from worldloom.serve.protocol.generated import session_pb2 as pb
from worldloom.serve.service import ServiceHandle

from .player import PATIENCE_S, Player, create, end, join, owner, story_of, walk

PRESET = load_preset("mock")
CAMERA = {"x": 100.0, "y": 50.0, "z": 5.0, "pitch_degrees": 2.0, "yaw_degrees": 90.0}


def ask(service: ServiceHandle, method: str, path: str, session: dict[str, Any] | None = None, **content: Any) -> Any:
    headers = owner(session) if session else {}
    reply = httpx.request(method, f"{service.url}/v1/{path}", headers=headers, timeout=PATIENCE_S, **content)
    assert reply.is_success, reply.text
    return reply.json() if reply.content.startswith(b"{") else reply.content


async def play(session: dict[str, Any], *, rows: int, held: bool = True) -> Player:
    """Hold forward, play a script before it, and wait for the frames of both."""
    async with join(session) as player:
        welcome = await player.until("welcome")
        first = welcome.last_event_id + 1
        if held:
            await player.hold(first, forward=True)
        await player.play(walk(rows), event_id=first + 1)
        await player.until("applied", lambda applied: any(event.event_id == first + 1 for event in applied.events))
        await player.frames(player.applied[first + 1] + rows - 1)
        return player


def check_file(blob: bytes) -> list[str]:
    """Make the world again: digests of its chunks' latents."""
    world = unpack_world(blob)
    assert world.header.extra.startswith(b'{"origin"') and b"token" not in world.header.extra
    assert all(chunk.is_equal for chunk in replay(world, MockEngine(PRESET), MockDecoder(PRESET)))
    return [hashlib.sha256(record.latents.tobytes()).hexdigest() for record in world.records()]


def test_worlds_are_kept_forked_and_carried_over_and_give_the_same_bits(mock_service: ServiceHandle) -> None:
    source = create(mock_service, camera=CAMERA, prompt="a hall")
    path = f"sessions/{source['session_id']}"
    player = asyncio.run(play(source, rows=97))
    first, moved = player.seen[0].camera, player.seen[56].camera
    assert (first.x, first.y, first.z, first.pitch_degrees, first.yaw_degrees) == (100, 50, 5, 2, 90)
    story = story_of(player.seen[56])
    np.testing.assert_allclose([moved.x, moved.y], [100 - story.pose[1], 50 + story.pose[0]], atol=0.02)

    described = ask(mock_service, "GET", path, source)
    assert described["chunk"] >= 2 and described["next_frame_id"] >= 97 and described["prompt"] == "a hall"
    snapshot = ask(mock_service, "POST", f"{path}/snapshots", source, json={"chunk": 1})
    assert (snapshot["branch"], snapshot["chunk"]) == (0, 1)
    fork = ask(mock_service, "POST", f"{path}/fork", source, json={"chunk": 2, "limits": {"viewers": 1}})
    exported = ask(mock_service, "GET", f"{path}/export", source)
    sources, exported_frames = check_file(exported), unpack_world(exported).next_frame_id
    end(mock_service, source)

    other = ask(mock_service, "POST", "sessions", json={"snapshot_id": snapshot["snapshot_id"], "prompt": "night"})
    assert other["seed"] == 5
    back = ask(mock_service, "POST", "sessions/import", content=exported)
    try:
        for session, shared, first_frame in ((fork, 2, 97), (other, 1, 57), (back, len(sources), None)):
            player = asyncio.run(play(session, rows=40, held=False))
            ids = [frame.frame_id for frame in player.seen]
            # It begins with the frame that the world stands at.
            assert ids[0] + 1 == ids[1] == (first_frame or exported_frames) and ids == sorted(set(ids))
            assert [frame.position.chunk for frame in player.seen[:2]] == [shared - 1, shared]
            digests = check_file(ask(mock_service, "GET", f"sessions/{session['session_id']}/export", session))
            assert digests[:shared] == sources[:shared]
        assert ask(mock_service, "GET", f"sessions/{other['session_id']}", other)["prompt"] == "night"
    finally:
        for session in (fork, other, back):
            end(mock_service, session)
    ask(mock_service, "DELETE", f"snapshots/{snapshot['snapshot_id']}")
    reply = httpx.post(f"{mock_service.url}/v1/sessions", json={"snapshot_id": snapshot["snapshot_id"]})
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, "session_unknown")
    reply = httpx.post(f"{mock_service.url}/v1/sessions/import", content=exported[:-9], timeout=PATIENCE_S)
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "snapshot_invalid")


def test_a_session_ends_when_it_has_made_its_video(mock_service: ServiceHandle) -> None:
    session = create(mock_service, limits={"play_s": 3})

    async def scene() -> pb.Error:
        async with join(session) as player:
            await player.play(walk(57))
            error: pb.Error = await player.until("error")
            assert len(player.seen) == 57
            return error

    error = asyncio.run(scene())
    assert (error.code, "3 s" in error.message) == ("session_ended", True)
