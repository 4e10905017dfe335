"""One world being played: events go up and are kept until applied, frames come down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Unpack

from google.protobuf.message import DecodeError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from ...errors import MessageInvalid, SessionEnded, WorldloomError
from ..actions import Actions, Held
from ..protocol.generated import session_pb2 as pb
from .frames import WorldFrame, decode_image, held_from, stages_from
from .http import ServiceClient, StartRequest, Ticket, is_loopback, unreachable
from .remote_errors import error_from

PROTOCOL_VERSION = 2
CONNECT_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 2.0
MAX_MESSAGE_BYTES = 16 * 2**20
FRAME_QUEUE = 512
"""Frames that may wait for a slow caller; beyond, reading stops and the service is held back."""
RECONNECT_WAITS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
ACK_INTERVAL_S = 0.025
"""Frames are acknowledged together, so that a fast stream stays below the service's limit of messages."""


class World:
    """A connection to a session that outlives broken connections. Made by `open_world`.

    Events that are not yet applied are sent again after a reconnect; the service applies each at most once. A frame id
    comes at most once.
    """

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self.applied: dict[int, int] = {}
        """Event id → first frame id that the event shaped."""
        self.status: pb.Status | None = None
        """The service's latest word on what it is doing."""
        self.reconnects = 0
        self._pending: dict[int, pb.Event] = {}
        self._last_event_id = 0
        self._next_frame_id = 0
        self._handed_out = -1
        self._newest_echo_us = 0
        self._failures = 0
        self._reason: WorldloomError | None = None
        self._socket: ClientConnection | None = None
        # Events must reach the service in the order of their ids, also while pending ones are sent again.
        self._ordering = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._frames: asyncio.Queue[tuple[pb.Frame, float] | WorldloomError] = asyncio.Queue(FRAME_QUEUE)

    async def play(self, actions: Actions) -> int:
        """Send exact actions for the next frames. Returns the event's id."""
        rows = [_action_frame(actions.row(frame)) for frame in range(len(actions))]
        return await self._send_event(pb.Event(script=pb.Script(frames=rows)))

    async def hold(self, held: Held, *, pitch_motion: float = 0.0, yaw_motion: float = 0.0) -> int:
        """Hold keys and camera from now on; motion, in units of 15 degrees, is spent once. Returns the event's id."""
        controls = pb.Controls(
            keyboard=pb.Keyboard(forward=held.forward, back=held.back, left=held.left, right=held.right),
            mouse=pb.Mouse(
                pitch=held.camera_pitch, yaw=held.camera_yaw, pitch_motion=pitch_motion, yaw_motion=yaw_motion
            ),
        )
        return await self._send_event(pb.Event(controls=controls))

    async def prompt(self, text: str) -> int:
        """Change what the world is from the next chunk on. Returns the event's id."""
        return await self._send_event(pb.Event(controls=pb.Controls(prompt=pb.Prompt(text=text))))

    async def pause(self) -> int:
        """Make no more chunks until `resume`. Returns the event's id."""
        return await self._send_event(pb.Event(pause=pb.Pause()))

    async def resume(self) -> int:
        """End a pause. Returns the event's id."""
        return await self._send_event(pb.Event(play=pb.Play()))

    async def rewind(self, chunk: int, *, branch: int | None = None) -> int:
        """Go on after the first `chunk` chunks of a branch (None: the one that grows), in a new branch; chunk 0 is the
        start image. Returns the event's id."""
        return await self._send_event(pb.Event(rewind=pb.Rewind(chunk=chunk, branch=branch)))

    async def frames(self) -> AsyncIterator[WorldFrame]:
        """Frames as they come, each acknowledged when handed out. Ends with the session; raises what it ended by."""
        while True:
            item = await self._frames.get()
            if isinstance(item, SessionEnded):
                return
            if isinstance(item, WorldloomError):
                raise item
            frame, received_s = item
            decoded = self._decode(frame, received_s)
            self._handed_out = frame.frame_id
            yield decoded

    async def connect(self) -> None:
        """Connect and say Hello. Raises ServiceError when nobody answers."""
        try:
            await self._connect()
        except (OSError, TimeoutError, InvalidHandshake, InvalidURI) as error:
            raise unreachable(self.ticket.stream_url, error) from error
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._acknowledge())]

    async def close(self) -> None:
        """Say Bye and disconnect. The session itself goes on until it is ended over HTTP."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._socket is not None:
            await self._send(pb.ClientMessage(bye=pb.Bye(reason="the client is done")))
            # Frames that nobody takes any more would keep the answer to the closing handshake waiting.
            await asyncio.gather(self._socket.close(), _drain(self._socket))

    async def _connect(self) -> None:
        """Connect, say Hello and send again what is pending."""
        url = self.ticket.stream_url
        socket = await connect(
            url,
            open_timeout=CONNECT_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            max_size=MAX_MESSAGE_BYTES,
            compression=None,
            proxy=None if is_loopback(url) else True,
        )
        client = f"python/{version('worldloom')}"
        hello = pb.Hello(protocol_version=PROTOCOL_VERSION, token=self.ticket.token, client=client)
        async with self._ordering:
            await socket.send(pb.ClientMessage(hello=hello).SerializeToString())
            self._socket = socket
            for event in self._pending.values():
                await self._send(pb.ClientMessage(event=event))

    async def _acknowledge(self) -> None:
        """Tell the service how far the caller is: it plans the next chunk by that."""
        acknowledged = -1
        while True:
            await asyncio.sleep(ACK_INTERVAL_S)
            if self._handed_out > acknowledged:
                acknowledged = self._handed_out
                waiting_ms = round(self._frames.qsize() * 1000 / self.ticket.frame_rate)
                report = pb.BufferReport(next_frame_id=acknowledged + 1, buffered_ms=waiting_ms)
                await self._send(pb.ClientMessage(report=report))

    async def _read(self) -> None:
        """Until the session ends: read messages, and connect again when the connection breaks."""
        try:
            while True:
                await self._read_connection()
                await self._reconnect()
        except WorldloomError as error:
            await self._frames.put(error)

    async def _read_connection(self) -> None:
        assert self._socket is not None
        try:
            async for data in self._socket:
                await self._take(_parse(data))
        except ConnectionClosed as error:
            self._reason = self._reason or unreachable(self.ticket.stream_url, error)
        if self.status is not None and self.status.state == pb.SESSION_STATE_ENDED:
            raise SessionEnded("the service ended the session")

    async def _take(self, message: pb.ServerMessage) -> None:
        body = message.WhichOneof("body")
        if body == "welcome":
            self._failures, self._reason = 0, None
            self._last_event_id = max(self._last_event_id, message.welcome.last_event_id)
            for event_id in [known for known in self._pending if known <= message.welcome.applied_event_id]:
                del self._pending[event_id]
        elif body == "frame":
            await self._take_frame(message.frame)
        elif body == "applied":
            for event in message.applied.events:
                self._pending.pop(event.event_id, None)
                self.applied[event.event_id] = event.frame_id
        elif body == "status":
            self.status = message.status
        elif body == "error":
            self._reason = error_from(message.error.code, message.error.message, message.error.hint)
            if not message.error.retryable:
                raise self._reason
        elif body == "bye":
            raise SessionEnded(message.bye.reason or "the service ended the session")

    async def _take_frame(self, frame: pb.Frame) -> None:
        if frame.frame_id < self._next_frame_id:
            return
        self._next_frame_id = frame.frame_id + 1
        await self._frames.put((frame, time.monotonic()))

    async def _reconnect(self) -> None:
        """Connect again, with longer and longer waits. Raises the last reason when that does not help."""
        while self._failures < len(RECONNECT_WAITS_S):
            await asyncio.sleep(RECONNECT_WAITS_S[self._failures])
            self._failures += 1
            try:
                await self._connect()
            except (OSError, TimeoutError, InvalidHandshake, ConnectionClosed) as error:
                self._reason = unreachable(self.ticket.stream_url, error)
            else:
                self.reconnects += 1
                return
        raise self._reason or unreachable(self.ticket.stream_url, ConnectionError("the connection broke"))

    def _decode(self, frame: pb.Frame, received_s: float) -> WorldFrame:
        is_news = frame.client_time_us > self._newest_echo_us
        self._newest_echo_us = max(self._newest_echo_us, frame.client_time_us)
        return WorldFrame(
            frame_id=frame.frame_id,
            branch=frame.position.branch,
            chunk=frame.position.chunk,
            image=decode_image(frame, self.ticket.width, self.ticket.height),
            held=held_from(frame.action),
            received_s=received_s,
            latency_s=received_s - frame.client_time_us * 1e-6 if is_news else None,
            stages_ms=stages_from(frame.stages) if frame.HasField("stages") else {},
        )

    async def _send_event(self, event: pb.Event) -> int:
        self._last_event_id += 1
        event.event_id, event.client_time_us = self._last_event_id, _now_us()
        async with self._ordering:
            self._pending[event.event_id] = event
            await self._send(pb.ClientMessage(event=event))
        return event.event_id

    async def _send(self, message: pb.ClientMessage) -> None:
        """To the service; while the connection is broken, nothing: events wait among the pending ones."""
        assert self._socket is not None
        try:
            await self._socket.send(message.SerializeToString())
        except ConnectionClosed:
            return


@asynccontextmanager
async def open_world(url: str, **start: Unpack[StartRequest]) -> AsyncIterator[World]:
    """Open a session at the service `url` and play it; it ends with the block.

    Keyword arguments are the fields of StartRequest. Raises what the service reports, or ServiceError when it cannot
    be reached.
    """
    async with ServiceClient(url) as service:
        ticket = await service.open_session(**start)
        try:
            world = World(ticket)
            await world.connect()
            try:
                yield world
            finally:
                await world.close()
        finally:
            await service.end_session(ticket)


async def _drain(socket: ClientConnection) -> None:
    try:
        async for _ in socket:
            continue
    except ConnectionClosed:
        return


def _parse(data: str | bytes) -> pb.ServerMessage:
    try:
        return pb.ServerMessage.FromString(data.encode() if isinstance(data, str) else data)
    except DecodeError as error:
        hint = "Is it a worldloom service of this release?"
        raise MessageInvalid("the service sent something else than a ServerMessage", hint=hint) from error


def _action_frame(held: Held) -> pb.ActionFrame:
    return pb.ActionFrame(
        forward=held.forward,
        back=held.back,
        left=held.left,
        right=held.right,
        camera_pitch=held.camera_pitch,
        camera_yaw=held.camera_yaw,
    )


def _now_us() -> int:
    return time.monotonic_ns() // 1000
