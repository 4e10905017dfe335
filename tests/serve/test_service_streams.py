"""Players that resume, viewers, tickets and several gateways, through the whole service with the mock."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc
import httpx
import pytest
import ray
from websockets.exceptions import ConnectionClosed
from worldloom.cluster.config import GATEWAY
from worldloom.cluster.service import start_actor
from worldloom.serve.gateway import Gateway
from worldloom.serve.ports import free_port
from worldloom.serve.protocol.generated import session_pb2 as pb
from worldloom.serve.protocol.generated import worlds_pb2, worlds_pb2_grpc
from worldloom.serve.service import ServiceHandle
from worldloom.serve.wire import PROTOCOL_VERSION

from .player import PATIENCE_S, Player, create, end, join, owner, walk

FRAMES = 57 + 2 * 40


@pytest.fixture
def session(mock_service: ServiceHandle) -> Iterator[dict[str, Any]]:
    """A session without a player."""
    made = create(mock_service)
    yield made
    end(mock_service, made)


@pytest.fixture(scope="module")
def second_gateway(mock_service: ServiceHandle) -> Iterator[str]:
    """URL of the stream at another gateway on this node."""
    config = replace(
        mock_service.gateway, name=f"{GATEWAY}-x", port=free_port("127.0.0.1"), grpc_port=free_port("127.0.0.1")
    )
    actor = start_actor(Gateway, config.name, mock_service.config.cluster, config)
    ray.get(actor.ready.remote())
    yield config.addresses.stream_url
    ray.get(actor.stop.remote())
    ray.kill(actor)


def ticket(service: ServiceHandle, session: dict[str, Any], role: str, **more: Any) -> str:
    """POST /v1/sessions/{id}/tickets."""
    url = f"{service.url}/v1/sessions/{session['session_id']}/tickets"
    reply = httpx.post(url, json={"role": role, **more}, headers=owner(session), timeout=PATIENCE_S)
    assert reply.status_code == 201, reply.text
    minted: str = reply.json()["ticket"]
    return minted


async def come_back(session: dict[str, Any], welcome: pb.Welcome, frames: list[pb.Frame], *, last: int) -> Player:
    """Resume after the frames seen so far, as often as it takes, and see all up to the last one."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    seen = list(frames)
    while True:
        try:
            hello = {"resume_token": welcome.resume_token, "next_frame_id": seen[-1].frame_id + 1}
            async with join(session, **hello) as player:
                try:
                    welcome = await player.until("welcome")
                    await player.frames(last)
                    return player
                finally:
                    seen += player.seen
        except (OSError, ConnectionClosed):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.1)


def test_a_player_whose_connection_drops_resumes_with_every_frame_once_and_no_input_lost(
    mock_service: ServiceHandle, session: dict[str, Any], second_gateway: str
) -> None:
    elsewhere = {**session, "stream_url": second_gateway}

    async def scene() -> None:
        tickets = [ticket(mock_service, session, "ROLE_VIEWER") for _ in range(2)]
        async with join(session) as player:
            welcome = await player.until("welcome")
            # One viewer at the session's home, one at the other gateway.
            async with join(session, ticket=tickets[0]) as near, join(elsewhere, ticket=tickets[1]) as far:
                assert (await near.until("welcome")).role == (await far.until("welcome")).role == pb.ROLE_VIEWER
                await player.play(walk(FRAMES))
                await player.hold(2, right=True)
                await player.frames(30)
                player.socket.transport.abort()
                again = await come_back(elsewhere, welcome, player.seen, last=FRAMES + 10)
                ids = [frame.frame_id for frame in player.seen + again.seen]
                assert ids[: FRAMES + 10] == list(range(FRAMES + 10))
                assert player.applied | again.applied == {1: 0, 2: FRAMES}
                for viewer in (near, far):
                    viewer.acknowledges = False
                    seen = {frame.frame_id: frame.data for frame in await viewer.frames(FRAMES + 10)}
                    assert all(seen[frame.frame_id] == frame.data for frame in again.seen if frame.frame_id in seen)
                    assert len(seen) >= FRAMES
                info = await asyncio.to_thread(described, mock_service, session)
                assert info["viewers"] == 2

    asyncio.run(scene())


def test_a_world_moves_to_another_gateway_when_its_own_dies(
    mock_service: ServiceHandle, session: dict[str, Any], second_gateway: str
) -> None:
    async def scene() -> None:
        async with join(session) as player:
            welcome = await player.until("welcome")
            await player.play(walk(FRAMES))
            await player.frames(30)
            ray.kill(ray.get_actor(GATEWAY, namespace="worldloom"), no_restart=False)
            with pytest.raises(ConnectionClosed):
                await player.frames(10**6)
        again = await come_back({**session, "stream_url": second_gateway}, welcome, player.seen, last=FRAMES - 1)
        ids = [frame.frame_id for frame in player.seen + again.seen]
        assert ids[:FRAMES] == list(range(FRAMES))

    asyncio.run(scene())


def test_a_ticket_opens_one_connection_at_any_gateway(
    mock_service: ServiceHandle, session: dict[str, Any], second_gateway: str
) -> None:
    async def scene() -> None:
        spent = ticket(mock_service, session, "ROLE_PLAYER")
        async with join({**session, "stream_url": second_gateway}, ticket=spent) as player:
            welcome = await player.until("welcome")
            assert welcome.role == pb.ROLE_PLAYER
            async with join(session, ticket=spent) as thief:
                assert (await thief.until("error")).code == "not_authorized"
            async with join(session, ticket=ticket(mock_service, session, "ROLE_PLAYER")) as second:
                assert (await second.until("error")).code == "player_taken"
            # The first connection hangs: its player comes again, here, and takes the seat over.
            async with join(session, resume_token=welcome.resume_token) as again:
                await again.until("welcome")
                assert not (await player.until("bye")).reconnect
                await again.play(walk(5))
                await again.frames(4)

    asyncio.run(scene())


def test_a_back_end_creates_and_plays_a_world_over_grpc(mock_service: ServiceHandle) -> None:
    async def scene() -> None:
        async with grpc.aio.insecure_channel(mock_service.grpc_target) as channel:
            worlds: Any = worlds_pb2_grpc.WorldsStub(channel)  # type: ignore[no-untyped-call]
            created = await worlds.Create(worlds_pb2.CreateRequest(prompt="a hill", seed=3))
            session = worlds_pb2.SessionRef(session_id=created.session.session_id)
            metadata = (("authorization", f"Bearer {created.token}"),)
            call = worlds.Play()
            hello = pb.Hello(protocol_version=PROTOCOL_VERSION, token=created.token)
            await call.write(pb.ClientMessage(hello=hello))
            script = pb.Event(event_id=1, script=pb.Script(frames=walk(57)))
            await call.write(pb.ClientMessage(event=script))
            seen: list[int] = []
            while len(seen) < 57:
                message = await call.read()
                if message.HasField("frame"):
                    seen.append(message.frame.frame_id)
            assert seen == list(range(57))
            described = await worlds.Describe(session, metadata=metadata)
            assert described.has_player and described.next_frame_id >= 57 and described.last_event_id == 1
            await worlds.Close(session, metadata=metadata)
            while message is not grpc.aio.EOF and not message.HasField("bye"):
                message = await call.read()
            assert message.bye.reason and not message.bye.reconnect

    asyncio.run(scene())


def described(service: ServiceHandle, session: dict[str, Any]) -> dict[str, Any]:
    """GET /v1/sessions/{id}."""
    reply = httpx.get(f"{service.url}/v1/sessions/{session['session_id']}", headers=owner(session), timeout=PATIENCE_S)
    body: dict[str, Any] = reply.json()
    return body
