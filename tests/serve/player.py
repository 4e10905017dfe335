"""A player that speaks the raw protocol, and remembers all it was told."""

from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from PIL import Image
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from worldloom.cluster.mock_frames import MockFrame, read_frame
from worldloom.serve.protocol.generated import session_pb2 as pb
from worldloom.serve.service import ServiceHandle
from worldloom.serve.wire import PROTOCOL_VERSION

PATIENCE_S = 30.0


@dataclass
class Player:
    """One connection."""

    socket: ClientConnection
    acknowledges: bool = True
    """Whether each frame is acknowledged at once, as if it had been shown."""
    received: list[pb.ServerMessage] = field(default_factory=list)

    async def send(self, **body: Any) -> None:
        """One ClientMessage, given by its field."""
        await self.socket.send(pb.ClientMessage(**body).SerializeToString())

    async def receive(self) -> pb.ServerMessage:
        """The next message."""
        async with asyncio.timeout(PATIENCE_S):
            data = await self.socket.recv()
        assert isinstance(data, bytes)
        message = pb.ServerMessage.FromString(data)
        self.received.append(message)
        if message.WhichOneof("body") == "frame" and self.acknowledges:
            # The service may have closed the connection behind this frame.
            with contextlib.suppress(ConnectionClosed):
                await self.show(message.frame.frame_id)
        return message

    async def until(self, body: str, accept: Callable[[Any], bool] = lambda _: True) -> Any:
        """Receive until a message with this body comes that is accepted; returns the body."""
        while True:
            message = await self.receive()
            if message.WhichOneof("body") == body and accept(getattr(message, body)):
                return getattr(message, body)

    async def act(self, event_id: int, *, client_time_us: int = 0, **action: Any) -> None:
        """Send an event, given by its action."""
        await self.send(event=pb.Event(event_id=event_id, client_time_us=client_time_us, **action))

    async def hold(self, event_id: int, *, client_time_us: int = 0, **keys: bool) -> None:
        """Hold these keys and no others."""
        controls = pb.Controls(keyboard=pb.Keyboard(**keys))
        await self.act(event_id, client_time_us=client_time_us, controls=controls)

    async def show(self, frame_id: int) -> None:
        """Report that frames up to this one have been shown."""
        await self.send(report=pb.BufferReport(next_frame_id=frame_id + 1))

    async def play(self, frames: Iterable[pb.ActionFrame], *, event_id: int = 1) -> None:
        """Send a script."""
        await self.act(event_id, client_time_us=1000 + event_id, script=pb.Script(frames=frames))

    async def frames(self, last_frame_id: int) -> list[pb.Frame]:
        """All frames so far, once this one has come."""
        if not any(frame.frame_id >= last_frame_id for frame in self.seen):
            await self.until("frame", lambda frame: frame.frame_id >= last_frame_id)
        return self.seen

    @property
    def seen(self) -> list[pb.Frame]:
        """Frames received so far."""
        return [message.frame for message in self.received if message.WhichOneof("body") == "frame"]

    @property
    def applied(self) -> dict[int, int]:
        """Event id → first frame id that it shaped."""
        messages = [message.applied for message in self.received if message.WhichOneof("body") == "applied"]
        return {event.event_id: event.frame_id for applied in messages for event in applied.events}


def walk(frames: int) -> list[pb.ActionFrame]:
    """A script in which every frame can be told from its neighbours."""
    return [
        pb.ActionFrame(forward=bool(n & 1), back=bool(n & 2), left=bool(n & 4), camera_yaw=(n % 21 - 10) / 100)
        for n in range(1, frames + 1)
    ]


def told(frame: pb.Frame) -> tuple[bool, bool, bool, bool, float, float]:
    """What the service says that the world was told for a frame."""
    action = frame.action
    return (*keys_of(action), round(action.camera_pitch, 3), round(action.camera_yaw, 3))


def keys_of(action: pb.ActionFrame) -> tuple[bool, bool, bool, bool]:
    """Forward, back, left, right."""
    return (action.forward, action.back, action.left, action.right)


def story_of(frame: pb.Frame) -> MockFrame:
    """What the mock has drawn into a frame."""
    return read_frame(np.asarray(Image.open(io.BytesIO(frame.data))))


def create(service: ServiceHandle, **body: Any) -> dict[str, Any]:
    """POST /v1/sessions."""
    response = httpx.post(f"{service.url}/v1/sessions", json={"seed": 5, **body}, timeout=PATIENCE_S)
    assert response.status_code == 201, response.text
    created: dict[str, Any] = response.json()
    return created


def end(service: ServiceHandle, session: dict[str, Any]) -> None:
    """DELETE /v1/sessions/{id}."""
    httpx.delete(f"{service.url}/v1/sessions/{session['session_id']}", headers=owner(session), timeout=PATIENCE_S)


def owner(session: dict[str, Any]) -> dict[str, str]:
    """The headers of requests by the session's owner."""
    return {"Authorization": f"Bearer {session['token']}"}


@asynccontextmanager
async def join(session: dict[str, Any], **hello: Any) -> AsyncIterator[Player]:
    """Connect and say Hello, with the session's token unless told otherwise."""
    said = {"protocol_version": PROTOCOL_VERSION, "token": session.get("token"), **hello}
    if said.keys() & {"ticket", "resume_token"}:
        del said["token"]
    async with connect(session["stream_url"], max_size=None, max_queue=None, compression=None) as socket:
        player = Player(socket)
        await player.send(hello=pb.Hello(**said))
        yield player


@asynccontextmanager
async def world(service: ServiceHandle, **body: Any) -> AsyncIterator[Player]:
    """A new session with a player in it; both end with the block."""
    session = await asyncio.to_thread(create, service, **body)
    try:
        async with join(session) as player:
            yield player
    finally:
        await asyncio.to_thread(end, service, session)
