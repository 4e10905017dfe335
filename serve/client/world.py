"""One world being played or watched: events go up and are kept until applied, frames come down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Unpack

from .controls import Action, Pose, controls_of, goal_of, held_from, pose_from, script_of
from .errors import SessionEnded, WorldError, error_of
from .frames import WorldFrame, stages_from
from .link import Link
from .pending import PendingEvents
from .playout import PlayOut, Received
from .protocol import session_pb2 as pb
from .service import OpenedSession, Service, StartRequest, open_service
from .version import CLIENT_NAME, PROTOCOL_VERSION
from .video import CODEC_NAMES, CODECS, VideoDecoder, has_video

REPORT_INTERVAL_S = 0.025
HEARTBEAT_INTERVAL_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldInfo:
    """What the service says of a session."""

    session_id: str
    is_player: bool
    """False: a viewer, whose events are refused."""
    preset: str
    trained: bool
    """False: the weights are seeded noise."""
    width: int
    height: int
    """Of the video."""
    frame_rate: float
    first_chunk_frames: int
    frames_per_chunk: int
    """Of later chunks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """The right to join a session: exactly one of these."""

    token: str = ""
    """The session's own, from its creation."""
    ticket: str = ""
    """Signed, works once."""
    resume_token: str = ""
    """Of a connection that broke; see `World.resume_token`."""


class World:
    """A connection to a session that outlives broken connections. Made by `open_world` or `join_world`.

    Events that are not yet applied are sent again after a reconnect; the service applies each at most once. A frame id
    comes at most once. An event that the service refuses ends nothing: `settled` tells.
    """

    def __init__(self, url: str, credential: Credential, *, codecs: Sequence[str] | None = None) -> None:
        """`codecs` names those that are understood, best first: 'jpeg', 'h264', 'raw'."""
        chosen = codecs or (("jpeg", "h264", "raw") if has_video() else ("raw",))
        hello = pb.Hello(
            protocol_version=PROTOCOL_VERSION,
            client=CLIENT_NAME,
            video=pb.VideoRequest(codecs=[CODECS[name] for name in chosen]),
        )
        for kind in ("token", "ticket", "resume_token"):
            if given := getattr(credential, kind):
                setattr(hello, kind, given)
        self.status: pb.Status | None = None
        """The service's latest word on what it is doing."""
        self.round_trip_s = 0.0
        """Of the last heartbeat."""
        self._pending = PendingEvents()
        self._playout = PlayOut()
        self._link = Link(
            url,
            hello,
            pending=self._pending,
            next_frame_id=lambda: self._playout.next_frame_id,
            on_welcome=self._welcomed,
        )
        self._format = pb.VideoFormat()
        self._decoder = VideoDecoder()
        self._newest_echo_us = 0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def info(self) -> WorldInfo:
        """The session's id, size and frame rate."""
        welcome = self._link.welcome
        return WorldInfo(
            session_id=welcome.session_id,
            is_player=welcome.role != pb.ROLE_VIEWER,
            preset=welcome.preset,
            trained=welcome.trained,
            width=welcome.format.width,
            height=welcome.format.height,
            frame_rate=welcome.frame_rate,
            first_chunk_frames=welcome.first_chunk_frames,
            frames_per_chunk=welcome.frames_per_chunk,
        )

    @property
    def applied(self) -> dict[int, int]:
        """Event id → first frame id that the event shaped."""
        return self._pending.applied

    @property
    def reconnects(self) -> int:
        """How often the connection was mended."""
        return self._link.reconnects

    @property
    def stalled_s(self) -> float:
        """Time without a frame to show, for a paced caller."""
        return self._playout.stalled_s

    @property
    def resume_token(self) -> str:
        """Takes this connection's place from another process, for a while after this one is gone."""
        return self._link.welcome.resume_token

    async def play(self, rows: Iterable[Action], *, pause_after: bool = False) -> int:
        """Send exact actions for the next frames. With `pause_after` they are played though the world is paused, and it
        is paused again after the chunk with the last of them. Returns the event's id."""
        return await self._act(script_of(rows, pause_after=pause_after))

    async def hold(self, held: Action, *, pitch_motion: float = 0.0, yaw_motion: float = 0.0) -> int:
        """Hold keys and camera from now on; motion, in units of 15 degrees, is spent once. Returns the event's id."""
        return await self._act(controls_of(held, pitch_motion=pitch_motion, yaw_motion=yaw_motion))

    async def go_to(self, pose: Pose | None, *, look_only: bool = False) -> int:
        """Send the camera somewhere, as fast as the world allows; None lets it go. Returns the event's id."""
        return await self._act(goal_of(pose, look_only=look_only))

    async def prompt(self, text: str) -> int:
        """Change what the world is from the next chunk on. Returns the event's id."""
        return await self._act(pb.Event(controls=pb.Controls(prompt=pb.Prompt(text=text))))

    async def pause(self) -> int:
        """Make no more chunks until `resume`. Returns the event's id."""
        return await self._act(pb.Event(pause=pb.Pause()))

    async def resume(self) -> int:
        """End a pause. Returns the event's id."""
        return await self._act(pb.Event(play=pb.Play()))

    async def reset(self) -> int:
        """Go back to the start image, in a new branch. Returns the event's id."""
        return await self._act(pb.Event(reset=pb.Reset()))

    async def rewind(self, chunk: int, *, branch: int | None = None) -> int:
        """Go on after the first `chunk` chunks of a branch (None: the one that grows), in a new branch; chunk 0 is the
        start image. Returns the event's id."""
        return await self._act(pb.Event(rewind=pb.Rewind(chunk=chunk, branch=branch)))

    async def settled(self, event_id: int) -> int:
        """Wait until the event has happened. Returns the first frame that it shaped; raises what it was refused for."""
        return await self._pending.settled(event_id)

    async def frames(self, *, is_paced: bool = False) -> AsyncIterator[WorldFrame]:
        """Frames, each reported as shown when handed out: as they come, or paced, at their moment.

        A rewind drops what waits. Ends with the session; raises what else it ended by.
        """
        while True:
            try:
                taken = await self._playout.take(is_paced=is_paced)
            except SessionEnded:
                return
            if taken.is_shown:
                yield self._decode(taken)
            elif taken.frame.codec == pb.CODEC_H264:
                self._decoder.decode(taken.frame, self._format.width, self._format.height)

    async def connect(self) -> None:
        """Connect and say Hello. Raises Unreachable when nobody answers, or what the service refuses this for."""
        await self._link.open()
        self._tasks = [asyncio.create_task(job()) for job in (self._read, self._report, self._beat)]

    def break_connection(self) -> None:
        """Break the connection, to see what a bad network does; the client mends it."""
        self._link.break_off()

    async def close(self) -> None:
        """Say Bye and disconnect. The session itself goes on until it is ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._link.close("the client is done")
        await self._end(SessionEnded("the client left"))

    async def _act(self, event: pb.Event) -> int:
        event.client_time_us = _now_us()
        return await self._link.send_event(event)

    async def _read(self) -> None:
        """Until the session ends."""
        try:
            while True:
                await self._take(await self._link.receive())
        except WorldError as error:
            await self._end(error)

    async def _end(self, error: WorldError) -> None:
        self._pending.ended(error)
        await self._playout.end(error)

    def _welcomed(self, welcome: pb.Welcome) -> None:
        self._format = welcome.format
        self._playout.set_rate(welcome.frame_rate)

    async def _take(self, message: pb.ServerMessage) -> None:
        match message.WhichOneof("body"):
            case "frame":
                await self._playout.put(message.frame)
            case "applied":
                self._pending.applied_by(message.applied)
            case "branched":
                self._playout.flush(message.branched.next_frame_id)
            case "error":
                self._pending.refused_by(message.error.event_id, error_of(message.error))
            case "status":
                self.status = message.status
            case "format":
                self._format = message.format
            case "heartbeat":
                self.round_trip_s = max(0.0, (_now_us() - message.heartbeat.client_time_us) * 1e-6)
            case _:
                # Accepted says nothing that Applied does not; what this release does not know, it can do without.
                return

    async def _report(self) -> None:
        """Tell the service how far the caller is: it plans the next chunk by that."""
        sent = pb.BufferReport()
        while True:
            await asyncio.sleep(REPORT_INTERVAL_S)
            report = self._playout.report()
            report.round_trip_ms = round(1000 * self.round_trip_s)
            if report != sent:
                sent = report
                await self._link.send(pb.ClientMessage(report=report))

    async def _beat(self) -> None:
        while True:
            await self._link.send(pb.ClientMessage(heartbeat=pb.Heartbeat(client_time_us=_now_us())))
            await asyncio.sleep(HEARTBEAT_INTERVAL_S)

    def _decode(self, taken: Received) -> WorldFrame:
        frame = taken.frame
        is_news = frame.client_time_us > self._newest_echo_us
        self._newest_echo_us = max(self._newest_echo_us, frame.client_time_us)
        return WorldFrame(
            frame_id=frame.frame_id,
            branch=frame.position.branch,
            chunk=frame.position.chunk,
            image=self._decoder.decode(frame, self._format.width, self._format.height),
            codec=CODEC_NAMES[frame.codec],
            held=held_from(frame.action),
            pose=pose_from(frame.camera),
            received_s=taken.received_s,
            latency_s=taken.received_s - frame.client_time_us * 1e-6 if is_news else None,
            stages_ms=stages_from(frame.stages) if frame.HasField("stages") else {},
        )


@asynccontextmanager
async def open_world(
    url: str, *, codecs: Sequence[str] | None = None, key: str = "", **start: Unpack[StartRequest]
) -> AsyncIterator[World]:
    """Open a session at the service `url` and play it; it ends with the block.

    The URL's scheme, http or grpc (https, grpcs), says how; `key` is the operator's, where one is needed. Other keyword
    arguments are the fields of StartRequest. Raises what the service reports, or Unreachable.
    """
    async with (
        open_session(url, key=key, **start) as (_, opened),
        join_world(opened.url, Credential(token=opened.token), codecs=codecs) as world,
    ):
        yield world


@asynccontextmanager
async def open_session(
    url: str, *, key: str = "", **start: Unpack[StartRequest]
) -> AsyncIterator[tuple[Service, OpenedSession]]:
    """As `open_world`, without playing it: the service, and the session that ends with the block."""
    async with open_service(url, key=key) as service:
        opened = await service.create(**start)
        try:
            yield service, opened
        finally:
            await _close(service, opened.session_id, opened.token)


@asynccontextmanager
async def join_world(url: str, credential: Credential, *, codecs: Sequence[str] | None = None) -> AsyncIterator[World]:
    """Join a session at its stream's URL (ws, wss, grpc, grpcs), as player or viewer; it goes on after the block."""
    world = World(url, credential, codecs=codecs)
    await world.connect()
    try:
        yield world
    finally:
        await world.close()


async def _close(service: Service, session_id: str, token: str) -> None:
    """End a session. One that is gone already is fine."""
    try:
        await service.close(session_id, token=token)
    except WorldError as error:
        if error.code not in ("session_unknown", "session_ended", "not_authorized"):
            raise


def _now_us() -> int:
    return time.monotonic_ns() // 1000
