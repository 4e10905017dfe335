"""A service in one thread that speaks the protocol and draws its frames: the peer of the client's and the page's tests.

The world is a sample picture that scrolls with the camera and zooms with the steps, 57 frames in the first chunk and 40
later. The first chunk waits for the first event. A ticket's holder watches a world of its own, which does not wait.
Faults are injected by the fields of `Faults`.
"""

from __future__ import annotations

import asyncio
import copy
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect
from worldloom.cluster.encoders import Encoder, make_encoder
from worldloom.cluster.pictures import Pictures
from worldloom.cluster.video import Rung
from worldloom.errors import InputError, NotAuthorized, Overloaded, PresetUnknown, WorldloomError
from worldloom.model.preset import VideoConfig
from worldloom.serve.protocol.generated import session_pb2 as pb
from worldloom.serve.samples import SAMPLES_DIR, list_samples, load_sample
from worldloom.serve.wire import PROTOCOL_VERSION
from worldloom.serve.wire_frames import CODECS, format_of, rungs_of

WEB_DIR = SAMPLES_DIR.parent / "web"
WIDTH, HEIGHT = 224, 128
LEAD_FRAMES = 60
REPEATED_FRAMES = 3
"""A stream of H.264 that comes again begins with frames that were there before, as the real one may."""
STAGES = pb.StageTimes(
    queue_ms=2, plan_ms=1, retrieve_ms=3, step_ms=[70, 71, 69], commit_ms=4, decode_ms=150, encode_ms=9
)


@dataclass
class Faults:
    """What goes wrong, and when."""

    drop_connection_after: int | None = None
    """Break the connection, once, after so many frames."""
    refuse_connections: int = 0
    """So many Hellos are answered by a retryable error."""
    fail_after: tuple[int, WorldloomError] | None = None
    """After so many frames, end the connection with this error; a session that is overloaded ends, and says Bye."""
    send_garbage: bool = False
    fall_after: int | None = None
    """After so many frames, the video gets worse, once."""
    damage_h264: bool = False
    """What says that it is H.264 is noise."""


@dataclass
class Session:
    """One world."""

    start: dict[str, object]
    picture: Image.Image
    frame_id: int = 0
    chunk: int = 0
    rows: list[tuple[pb.ActionFrame, int, int]] = field(default_factory=list)
    """Scripted actions to come: action, event id, client time."""
    held: pb.Event = field(default_factory=pb.Event)
    last_event_id: int = 0
    fresh_events: list[int] = field(default_factory=list)
    acknowledged: int = -1
    pose: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Walked, yaw and pitch."""
    has_begun: bool = False
    is_paused: bool = False
    branch: int = 0
    turned: tuple[int, int] | None = None
    """A rewind to come: the event, and the chunks to keep."""
    last_frames: list[tuple[pb.Frame, npt.NDArray[np.uint8]]] = field(default_factory=list)


@dataclass
class Video:
    """How one connection's frames are encoded."""

    rungs: tuple[Rung, ...]
    frame_rate: float
    number: int = 0
    encoder: Encoder | None = None

    def format(self) -> pb.VideoFormat:
        """As its client is told."""
        return format_of(self.rungs[self.number], self.frame_rate)

    def encode(self, packet: pb.Frame, pixels: npt.NDArray[np.uint8]) -> None:
        """Fill in the frame's data."""
        if self.encoder is None:
            self.encoder = make_encoder(self.rungs[self.number], self.frame_rate)
        (encoded,) = self.encoder.encode(Pictures(pixels[None]), key_frame=False)
        packet.codec = CODECS[self.rungs[self.number].codec]
        packet.data, packet.key_frame = encoded.data, encoded.key_frame

    def fall(self) -> None:
        """To the last rung, from the next frame on."""
        self.number, self.encoder = len(self.rungs) - 1, None


@dataclass
class FakeService:
    """Starts with `running()`; tests read what arrived and set `faults`."""

    frame_rate: float = 100.0
    chunk_s: float = 0.01
    trained: bool = False
    faults: Faults = field(default_factory=Faults)
    sessions: dict[str, Session] = field(default_factory=dict)
    deleted: list[str] = field(default_factory=list)
    hellos: int = 0
    scripts: list[pb.Event] = field(default_factory=list)
    controls: list[pb.Event] = field(default_factory=list)
    byes: list[str] = field(default_factory=list)
    asked: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    """Tickets, snapshots and forks: the verb and its fields."""
    operator_key: str = ""
    """Who opens a world has to know it; empty: anybody may."""
    is_warming: bool = False
    queue_position: int = 0
    """Not 0: whoever comes is told to wait."""
    url: str = ""

    @contextmanager
    def running(self) -> Iterator[FakeService]:
        """Serve on a free port of loopback."""
        config = uvicorn.Config(self._app(), port=0, log_level="error", ws="websockets-sansio", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        self.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.should_exit = server.force_exit = True
            thread.join()

    def _app(self) -> Starlette:
        routes = [
            Route("/v1/sessions", self._open, methods=["POST"]),
            Route("/v1/sessions/{id}", self._session, methods=["GET", "DELETE"]),
            Route("/v1/sessions/{id}/{verb}", self._verb, methods=["POST"]),
            Route("/healthz", self._health),
            Route("/v1/samples", self._samples),
            Route("/v1/samples/{name}/image", self._sample_image),
            Route("/v1/presets", self._presets),
            WebSocketRoute("/stream", self._stream),
            Mount("/", StaticFiles(directory=WEB_DIR, html=True)),
        ]
        return Starlette(routes=routes, exception_handlers={WorldloomError: _problem})

    async def _open(self, request: Request) -> Response:
        if self.operator_key and request.headers.get("authorization") != f"Bearer {self.operator_key}":
            raise NotAuthorized("only the operator creates worlds here")
        if request.headers["content-type"].startswith("multipart/"):
            async with request.form() as form:
                start: dict[str, object] = {name: value for name, value in form.items() if isinstance(value, str)}
                upload = form["image"]
                assert not isinstance(upload, str)
                data = await upload.read()
        else:
            start = await request.json()
            data = load_sample(str(start.get("sample", "street"))).read_bytes()
        if start.get("preset") not in (None, "fake"):
            raise PresetUnknown(f"no preset is named {start['preset']!r}", hint="Presets: fake.")
        try:
            picture = Image.open(io.BytesIO(data)).convert("RGB").resize((WIDTH, HEIGHT))
        except OSError as error:
            raise InputError("the upload is no image") from error
        name = f"s{len(self.sessions)}"
        self.sessions[name] = Session(start=start, picture=picture)
        return JSONResponse(
            {
                "session_id": name,
                "token": f"token-{name}",
                "stream_url": f"{self.url.replace('http', 'ws')}/stream",
                "preset": "fake",
                "width": WIDTH,
                "height": HEIGHT,
                "frame_rate": self.frame_rate,
                "trained": self.trained,
            },
            status_code=201,
        )

    async def _session(self, request: Request) -> Response:
        name = request.path_params["id"]
        if request.headers.get("authorization") != f"Bearer token-{name}":
            raise NotAuthorized("the token does not fit")
        if request.method == "DELETE":
            self.deleted.append(name)
        return JSONResponse({"session_id": name, "state": "playing"})

    async def _verb(self, request: Request) -> Response:
        name, verb = request.path_params["id"], request.path_params["verb"]
        if request.headers.get("authorization") != f"Bearer token-{name}":
            raise NotAuthorized("the token does not fit")
        self.asked.append((verb, await request.json()))
        stream_url = f"{self.url.replace('http', 'ws')}/stream"
        if verb == "tickets":
            return JSONResponse({"ticket": f"ticket-{name}", "stream_url": stream_url, "expires_at_s": 0}, 201)
        if verb == "snapshots":
            return JSONResponse({"snapshot_id": f"snapshot-of-{name}", "branch": 0, "chunk": 1}, 201)
        fork = f"s{len(self.sessions)}"
        self.sessions[fork] = copy.deepcopy(self.sessions[name])
        return JSONResponse({"session_id": fork, "token": f"token-{fork}", "stream_url": stream_url}, 201)

    async def _health(self, request: Request) -> Response:
        status = "warming" if self.is_warming else "ready"
        return JSONResponse({"status": status}, 503 if self.is_warming else 200)

    async def _samples(self, request: Request) -> Response:
        listed = [
            {"name": sample.name, "prompt": sample.prompt, "image_url": f"/v1/samples/{sample.name}/image"}
            for sample in list_samples()
        ]
        return JSONResponse({"samples": listed})

    async def _presets(self, request: Request) -> Response:
        preset = {
            "preset": "fake",
            "width": WIDTH,
            "height": HEIGHT,
            "frame_rate": self.frame_rate,
            "trained": self.trained,
            "prompt_chars": 400,
        }
        return JSONResponse({"presets": [preset]})

    async def _sample_image(self, request: Request) -> Response:
        return Response(load_sample(request.path_params["name"]).read_bytes(), media_type="image/png")

    async def _stream(self, socket: WebSocket) -> None:
        await socket.accept()
        try:
            hello = pb.ClientMessage.FromString(await socket.receive_bytes()).hello
            self.hellos += 1
            if self.faults.refuse_connections:
                self.faults.refuse_connections -= 1
                await _send(socket, pb.ServerMessage(error=pb.Error(code="overloaded", message="full", retryable=True)))
                await socket.close()
                return
            session = self._session_of(hello)
            # Frames that were lost with a broken connection do not come again: nobody will report them.
            session.acknowledged = session.frame_id - 1
            size = VideoConfig(height=HEIGHT, width=WIDTH, frame_rate=self.frame_rate)
            video = Video(rungs_of(hello.video, size), self.frame_rate)
            await _send(socket, self._welcome(hello, session, video))
            if self.queue_position:
                queued = pb.Status(state=pb.SESSION_STATE_QUEUED, queue_position=self.queue_position)
                await _send(socket, pb.ServerMessage(status=queued))
            async with asyncio.TaskGroup() as tasks:
                playing = tasks.create_task(self._play(socket, session, video))
                await self._read(socket, session)
                playing.cancel()
        except WebSocketDisconnect:
            return
        except BaseExceptionGroup as group:
            if group.split(WebSocketDisconnect)[1] is not None:
                raise

    def _session_of(self, hello: pb.Hello) -> Session:
        credential = hello.token or hello.ticket or hello.resume_token
        kind, _, name = credential.partition("-")
        if kind != "ticket":
            return self.sessions[name]
        return Session(start={}, picture=self.sessions[name].picture, has_begun=True)

    def _welcome(self, hello: pb.Hello, session: Session, video: Video) -> pb.ServerMessage:
        credential = hello.token or hello.ticket or hello.resume_token
        return pb.ServerMessage(
            welcome=pb.Welcome(
                protocol_version=PROTOCOL_VERSION,
                preset="fake",
                role=pb.ROLE_VIEWER if hello.ticket else pb.ROLE_PLAYER,
                format=video.format(),
                intrinsics=pb.CameraIntrinsics(fx=100, fy=100, cx=112, cy=64, width=WIDTH, height=HEIGHT),
                grace_s=30.0,
                resume_token="" if hello.ticket else f"resume-{credential.partition('-')[2]}",
                frame_rate=self.frame_rate,
                first_chunk_frames=57,
                frames_per_chunk=40,
                trained=self.trained,
                next_frame_id=session.frame_id,
                last_event_id=session.last_event_id,
            )
        )

    async def _read(self, socket: WebSocket, session: Session) -> None:
        while True:
            message = pb.ClientMessage.FromString(await socket.receive_bytes())
            body = message.WhichOneof("body")
            if body == "bye":
                self.byes.append(message.bye.reason)
                return
            if body == "report":
                session.acknowledged = max(session.acknowledged, message.report.next_frame_id - 1)
            elif body == "heartbeat":
                await _send(socket, pb.ServerMessage(heartbeat=message.heartbeat))
            elif body == "event":
                event = message.event
                self._take(session, event)
                accepted = pb.Accepted(event_id=event.event_id, client_time_us=event.client_time_us)
                await _send(socket, pb.ServerMessage(accepted=accepted))

    def _take(self, session: Session, event: pb.Event) -> None:
        if event.event_id <= session.last_event_id:
            return
        session.last_event_id = event.event_id
        session.has_begun = True
        session.fresh_events.append(event.event_id)
        match event.WhichOneof("action"):
            case "pause" | "play" as turn:
                session.is_paused = turn == "pause"
                return
            case "reset" | "rewind":
                session.turned = (event.event_id, event.rewind.chunk)
                return
        if event.HasField("script"):
            self.scripts.append(event)
            session.rows += [(frame, event.event_id, event.client_time_us) for frame in event.script.frames]
        else:
            self.controls.append(event)
            session.held = event

    async def _play(self, socket: WebSocket, session: Session, video: Video) -> None:
        while not session.has_begun:
            await asyncio.sleep(0.005)
        await _send(socket, pb.ServerMessage(format=video.format()))
        if video.format().codec == pb.CODEC_H264:
            for packet, pixels in session.last_frames:
                await self._send_frame(socket, packet, pixels, video)
        while True:
            while session.frame_id - session.acknowledged > LEAD_FRAMES and session.turned is None:
                await asyncio.sleep(0.002)
            if session.is_paused:
                await _send(socket, pb.ServerMessage(status=pb.Status(state=pb.SESSION_STATE_PAUSED)))
            while session.is_paused:
                await asyncio.sleep(0.002)
            await self._turn(socket, session)
            await self._play_chunk(socket, session, video)

    async def _turn(self, socket: WebSocket, session: Session) -> None:
        if session.turned is None:
            return
        (_, chunk), session.turned = session.turned, None
        branch, session.branch, session.chunk = session.branch, session.branch + 1, chunk
        note = pb.Branched(branch=session.branch, parent=branch, chunk=chunk, next_frame_id=session.frame_id)
        session.acknowledged = session.frame_id - 1
        await _send(socket, pb.ServerMessage(branched=note))

    async def _play_chunk(self, socket: WebSocket, session: Session, video: Video) -> None:
        frames = 40 if session.chunk else 57
        first = session.frame_id
        events, session.fresh_events = session.fresh_events, []
        taken = [self._next_row(session) for _ in range(frames)]
        for step in range(4):
            status = pb.Status(state=pb.SESSION_STATE_PLAYING, chunk=session.chunk, step=step, num_steps=3)
            await _send(socket, pb.ServerMessage(status=status))
            await asyncio.sleep(self.chunk_s / 4)
        applied = [pb.AppliedEvent(event_id=event, frame_id=first) for event in events]
        walked = session.pose[0]
        remembered = [
            pb.RememberedView(
                frame=n, camera=pb.CameraPose(x=walked * (1 - n / 5), y=30.0 * n, yaw_degrees=40 * n), overlap=1 - n / 6
            )
            for n in range(1, 5 if session.chunk else 1)
        ]
        message = pb.Applied(
            branch=session.branch,
            chunk=session.chunk,
            first_frame_id=first,
            num_frames=frames,
            events=applied,
            remembered=remembered,
        )
        chunk, session.chunk = session.chunk, session.chunk + 1
        await _send(socket, pb.ServerMessage(applied=message))
        for frame, (action, client_time_us) in enumerate(taken):
            packet, pixels = self._draw(session, chunk, frame, action, client_time_us)
            session.last_frames = [*session.last_frames, (packet, pixels)][-REPEATED_FRAMES:]
            await self._send_frame(socket, packet, pixels, video)
            await self._break(socket, session)
            if session.turned is not None:
                return
            if self.faults.fall_after is not None and session.frame_id > self.faults.fall_after:
                self.faults.fall_after = None
                video.fall()
                await _send(socket, pb.ServerMessage(format=video.format()))

    async def _send_frame(
        self, socket: WebSocket, packet: pb.Frame, pixels: npt.NDArray[np.uint8], video: Video
    ) -> None:
        video.encode(packet, pixels)
        if self.faults.damage_h264 and packet.codec == pb.CODEC_H264:
            packet.data = bytes(reversed(packet.data))
        await _send(socket, pb.ServerMessage(frame=packet))

    async def _break(self, socket: WebSocket, session: Session) -> None:
        if self.faults.send_garbage:
            await socket.send_bytes(b"\xff\xff\xff")
        if self.faults.fail_after and session.frame_id > self.faults.fail_after[0]:
            error = self.faults.fail_after[1]
            wire = pb.Error(code=error.code, message=error.message, hint=error.hint, retryable=error.retryable)
            await _send(socket, pb.ServerMessage(error=wire))
            if isinstance(error, Overloaded):
                await _send(socket, pb.ServerMessage(bye=pb.Bye(reason="the session has ended")))
            await socket.close()
            raise WebSocketDisconnect
        if self.faults.drop_connection_after is not None and session.frame_id > self.faults.drop_connection_after:
            self.faults.drop_connection_after = None
            await socket.close(1011)
            raise WebSocketDisconnect

    @staticmethod
    def _next_row(session: Session) -> tuple[pb.ActionFrame, int]:
        if session.rows:
            action, _, client_time_us = session.rows.pop(0)
            return action, client_time_us
        keys, mouse = session.held.controls.keyboard, session.held.controls.mouse
        action = pb.ActionFrame(
            forward=keys.forward,
            back=keys.back,
            left=keys.left,
            right=keys.right,
            camera_pitch=mouse.pitch,
            camera_yaw=mouse.yaw,
        )
        return action, session.held.client_time_us

    @staticmethod
    def _draw(
        session: Session, chunk: int, frame: int, action: pb.ActionFrame, client_time_us: int
    ) -> tuple[pb.Frame, npt.NDArray[np.uint8]]:
        walked, yaw, pitch = session.pose
        walked += action.forward - action.back
        yaw += 12 * action.camera_yaw + (action.right - action.left)
        session.pose = (walked, yaw, pitch + 8 * action.camera_pitch)
        zoom = 1 + 0.4 * abs(np.sin(walked / 60))
        box = (WIDTH / 2 * (1 - 1 / zoom), HEIGHT / 2 * (1 - 1 / zoom))
        view = session.picture.crop((*map(round, box), round(WIDTH - box[0]), round(HEIGHT - box[1])))
        pixels = np.roll(np.asarray(view.resize((WIDTH, HEIGHT))), (-round(session.pose[2]), -round(yaw)), (0, 1))
        packet = pb.Frame(
            frame_id=session.frame_id,
            position=pb.WorldPosition(branch=session.branch, chunk=chunk, frame=frame),
            client_time_us=client_time_us,
            action=action,
            camera=pb.CameraPose(x=5 * walked, y=2 * yaw, pitch_degrees=pitch, yaw_degrees=yaw),
        )
        if frame == 0:
            packet.stages.CopyFrom(STAGES)
        session.frame_id += 1
        return packet, pixels


async def _send(socket: WebSocket, message: pb.ServerMessage) -> None:
    try:
        await socket.send_bytes(message.SerializeToString())
    except RuntimeError as error:
        raise WebSocketDisconnect from error


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, WorldloomError)
    body = {"code": error.code, "message": error.message, "hint": error.hint, "retryable": error.retryable}
    return JSONResponse({"error": body}, status_code=400)


if __name__ == "__main__":
    fake = FakeService(frame_rate=16.0, chunk_s=1.2)
    with fake.running():
        print(fake.url, flush=True)
        threading.Event().wait()
