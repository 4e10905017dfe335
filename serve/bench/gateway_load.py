"""What surrounds a gateway while it is measured: a directory that admits everybody, decoders that push pictures made
before, and an audience that takes the time. Each is an actor with a process of its own."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from ...cluster.attendance import Admission, Claim, GatewayBeat
from ...cluster.config import ClusterConfig
from ...cluster.events import NO_KEYS, ORIGIN
from ...cluster.limits import SessionLimits
from ...cluster.messages import Codec, FramePacket, Phase, SessionInfo
from ...cluster.video import VideoPiece
from ..protocol.generated import session_pb2 as pb
from ..wire import PROTOCOL_VERSION

PIECE_FRAMES = 8
"""A decoder pushes so many at a time."""
EPOCH = 1
REPORT_S = 0.05
BUFFERED_MS = 500
"""What the audience says that it has left to show: a player that is content."""
LATE_S = 2.0
"""After the last piece, what has not come for so long is lost."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """How much goes through the gateway at once."""

    sessions: tuple[str, ...]
    frame_rate: float
    frame_bytes: int
    warm_up_s: float
    seconds: float
    """Measured, after the warm-up."""

    @property
    def piece_s(self) -> float:
        """From one piece of a session to the next."""
        return PIECE_FRAMES / self.frame_rate

    @property
    def first_measured(self) -> int:
        """Frame ids below this are of the warm-up."""
        return PIECE_FRAMES * round(self.warm_up_s / self.piece_s)

    @property
    def frames(self) -> int:
        """Of each session, with the warm-up."""
        return self.first_measured + PIECE_FRAMES * round(self.seconds / self.piece_s)


class Doorman:
    """In the directory's place: lets everybody into every session."""

    def __init__(self, cluster: ClusterConfig) -> None:
        self._preset = cluster.preset.name

    async def attach(self, claim: Claim, gateway: str, connection: str) -> Admission:
        info = SessionInfo(
            session=claim.session,
            preset=self._preset,
            prompt="",
            seed=0,
            viewpoint="first_person",
            phase=Phase.PLAYING,
            group="bench",
            epoch=EPOCH,
            has_player=False,
            created_at=time.time(),
            limits=SessionLimits(play_s=3600.0, idle_s=3600.0, grace_s=1.0, viewers=1),
        )
        return Admission(info=info, home=gateway)

    async def detach(self, gateway: str, connection: str) -> None: ...

    async def gateway_started(self, gateway: str) -> None: ...

    async def gateway_beat(self, beat: GatewayBeat) -> tuple[str, ...]:
        return ()


class Senders:
    """In the decoders' place: pieces of all sessions, in real time, with the time at which each was pushed."""

    def __init__(self, gateway: Any) -> None:
        self._gateway = gateway

    async def play(self, load: Load) -> None:
        """Push all pieces; one that nobody takes in time is dropped, as a live world's would be too late."""
        images = tuple(os.urandom(load.frame_bytes) for _ in range(PIECE_FRAMES))
        began = time.monotonic()
        offsets = [load.piece_s * number / len(load.sessions) for number in range(len(load.sessions))]
        await asyncio.gather(
            *(
                self._send(session, load, images, began + offset)
                for session, offset in zip(load.sessions, offsets, strict=True)
            )
        )

    async def _send(self, session: str, load: Load, images: tuple[bytes, ...], began: float) -> None:
        stream = (await self._gateway.begin_stream.remote(session, EPOCH)).stream
        for first in range(0, load.frames, PIECE_FRAMES):
            due = began + first / load.frame_rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            wishes = await self._gateway.wanted_video.remote(session, stream)
            if time.monotonic() > due + load.piece_s or not wishes:
                continue
            packets = _packets(first, images, load)
            await self._gateway.push.remote(
                session, stream, tuple(VideoPiece(rung=wish.rung, packets=packets) for wish in wishes)
            )


def _packets(first: int, images: tuple[bytes, ...], load: Load) -> tuple[FramePacket, ...]:
    now_us = time.monotonic_ns() // 1000
    return tuple(
        FramePacket(
            frame_id=first + number,
            branch=0,
            chunk=first // 40,
            frame=number,
            data=image,
            client_time_us=now_us,
            keys=NO_KEYS,
            camera_pitch=0.0,
            camera_yaw=0.0,
            pose=ORIGIN,
            codec=Codec.JPEG,
        )
        for number, image in enumerate(images)
    )


class Audience:
    """All players, in one process. Times are of the monotonic clock, which the processes of a machine share."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def join(self, tickets: tuple[str, ...]) -> None:
        """Connect a player to each session, and wait until all are welcome."""
        self._sockets = await asyncio.gather(*(self._connect(ticket) for ticket in tickets))

    async def watch(self, load: Load) -> list[float]:
        """Until all is over: how long each measured frame took from its push, in seconds."""
        give_up = time.monotonic() + load.piece_s + load.frames / load.frame_rate + LATE_S
        overheads = await asyncio.gather(*(self._watch(socket, load, give_up) for socket in self._sockets))
        await asyncio.gather(*(socket.close() for socket in self._sockets))
        return [overhead for one in overheads for overhead in one]

    async def _connect(self, ticket: str) -> ClientConnection:
        socket = await connect(self._url, max_size=None, compression=None, proxy=None)
        video = pb.VideoRequest(codecs=[pb.CODEC_JPEG])
        hello = pb.Hello(protocol_version=PROTOCOL_VERSION, ticket=ticket, video=video)
        await socket.send(pb.ClientMessage(hello=hello).SerializeToString())
        # Its welcome: from then on the gateway has the session, for the decoders too.
        await socket.recv(decode=False)
        return socket

    async def _watch(self, socket: ClientConnection, load: Load, give_up: float) -> list[float]:
        overheads: list[float] = []
        next_frame_id, reported_at = 0, 0.0
        try:
            async with asyncio.timeout(give_up - time.monotonic()):
                while next_frame_id < load.frames:
                    frame = pb.ServerMessage.FromString(await socket.recv(decode=False)).frame
                    now = time.monotonic()
                    if not frame.data:
                        continue
                    next_frame_id = frame.frame_id + 1
                    if frame.frame_id >= load.first_measured:
                        overheads.append(now - frame.client_time_us * 1e-6)
                    if now >= reported_at + REPORT_S:
                        reported_at = now
                        report = pb.BufferReport(next_frame_id=next_frame_id, buffered_ms=BUFFERED_MS)
                        await socket.send(pb.ClientMessage(report=report).SerializeToString())
        except (TimeoutError, ConnectionClosed):
            return overheads
        return overheads
