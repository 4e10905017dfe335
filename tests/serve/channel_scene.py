"""A channel without Ray, with a clock of the test's own; guests keep what they are sent."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from worldloom.cluster.attendance import Role
from worldloom.cluster.events import Controls, Pace
from worldloom.cluster.limits import SessionLimits
from worldloom.cluster.messages import ChunkNote, Codec, FramePacket, Phase, SessionInfo
from worldloom.cluster.video import Rung, VideoPiece
from worldloom.serve.channel import Channel, Guest
from worldloom.serve.fan_out import Member
from worldloom.serve.protocol.generated import session_pb2 as pb

RATE = 10.0
GRACE_S = 30.0
EPOCH = 1
JPEG = Rung(codec=Codec.JPEG, width=64, height=64, kbit_per_s=1000)
H264 = Rung(codec=Codec.H264, width=64, height=64, kbit_per_s=500)

Pieces = tuple[VideoPiece, ...]


def session_info(**more: Any) -> SessionInfo:
    known: dict[str, Any] = {
        "session": "s",
        "preset": "mock",
        "prompt": "",
        "seed": 1,
        "viewpoint": "first_person",
        "phase": Phase.PLAYING,
        "group": "g",
        "epoch": 1,
        "has_player": False,
        "created_at": 0.0,
        "limits": SessionLimits(play_s=100, idle_s=100, grace_s=GRACE_S, viewers=2),
    }
    return SessionInfo(**{**known, **more})


def pieces(*ids: int, applied: tuple[tuple[int, int], ...] | None = None, size: int = 4, key: bool = True) -> Pieces:
    """One piece in JPEG and H.264, of which the first begins every frame anew; `applied` begins a chunk."""
    note = None
    if applied is not None:
        note = ChunkNote(branch=0, chunk=0, first_frame_id=ids[0], num_frames=len(ids), applied=applied)

    def packet(rung: Rung, frame: int) -> FramePacket:
        return FramePacket(
            frame_id=frame,
            branch=0,
            chunk=0,
            frame=frame,
            data=bytes(size),
            client_time_us=0,
            keys=(False,) * 4,
            camera_pitch=0,
            camera_yaw=0,
            pose=(0,) * 5,
            codec=rung.codec,
            key_frame=rung.codec is Codec.JPEG or (key and frame == ids[0]),
            note=note if frame == ids[0] else None,
        )

    return tuple(VideoPiece(rung=rung, packets=tuple(packet(rung, frame) for frame in ids)) for rung in (JPEG, H264))


def event(event_id: int) -> Controls:
    return Controls(event_id=event_id)


@dataclass
class Seated:
    """A guest, and all it was sent."""

    member: Member
    received: list[pb.ServerMessage] = field(default_factory=list)

    async def read(self) -> Seated:
        """Take out what waits."""
        while len(self.member.mailbox):
            self.received += [pb.ServerMessage.FromString(one.data) for one in await self.member.mailbox.take()]
        return self

    def of(self, body: str) -> list[Any]:
        return [getattr(message, body) for message in self.received if message.WhichOneof("body") == body]

    @property
    def frames(self) -> list[int]:
        return [frame.frame_id for frame in self.of("frame")]


class Scene:
    """A channel, and who sits in it."""

    def __init__(self, **info: Any) -> None:
        self.now = 100.0
        self.info = session_info(**info)
        self.channel = Channel(self.info, frame_rate=RATE, clock=lambda: self.now)
        self.epoch = EPOCH
        self._numbers = itertools.count(1)

    def sit(self, role: Role = Role.PLAYER, *, rung: Rung = JPEG, seat: str | None = None, **more: Any) -> Seated:
        """A guest comes; with a seat, one that resumes."""
        number = next(self._numbers)
        guest = Guest(
            connection=f"c{number}",
            seat=seat or f"seat{number}",
            role=role,
            resumes=seat is not None,
            rungs=(rung,),
            **more,
        )
        committed = max(self.info.next_frame_id, self.channel.fan_out.next_frame_id, more.get("next_frame_id", 0))
        member = self.channel.sit(guest, committed)
        self.channel.begin(member)
        return Seated(member)

    def push(self, *ids: int, **more: Any) -> None:
        """A decoder that begins now sends a piece."""
        self.channel.push(self.channel.begin_stream(self.epoch).stream, pieces(*ids, **more))

    def show(self, who: Seated, frame_id: int) -> None:
        """A guest reports that it has shown all up to this frame."""
        self.channel.report_buffer(who.member.connection, pb.BufferReport(next_frame_id=frame_id + 1))

    async def collect(
        self, *, epoch: int = EPOCH, after: int = 0, frame: int = 0, pace: Pace = Pace.PLAYING
    ) -> tuple[int, ...] | None:
        """Ids of the events handed out; None when nothing is due."""
        self.epoch = max(self.epoch, epoch)
        batch = await self.channel.collect(epoch, after_event=after, next_frame_id=frame, pace=pace)
        return tuple(event.event_id for event in batch.events) if batch.is_due else None

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


def play(scene: Callable[[Scene], Coroutine[Any, Any, None]], **info: Any) -> None:
    async def run() -> None:
        await scene(Scene(**info))

    asyncio.run(run())
