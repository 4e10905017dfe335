"""Whatever breaks, a player that resumes sees every frame once and in order, and no input is lost or taken twice."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, replace

from hypothesis import example, given, settings
from hypothesis import strategies as st
from worldloom.cluster.attendance import Role
from worldloom.cluster.events import Pace
from worldloom.cluster.video import Rung
from worldloom.errors import WrongGateway
from worldloom.serve.channel import Channel
from worldloom.serve.inputs import START_GRACE_S
from worldloom.serve.protocol.generated import session_pb2 as pb

from .channel_scene import H264, JPEG, RATE, Scene, Seated, event, pieces

CHUNK = 10
STEPS = st.sampled_from(["frames", "late frames", "read", "lose", "resume", "gateway dies", "event", "viewer"])


@dataclass
class Decoder:
    """It goes on from where it began, whatever has become of its stream."""

    stream: str
    next_frame_id: int


class Story:
    """A world of chunks that the store has, a gateway, and a client that keeps what it has seen and not yet applied."""

    def __init__(self, rung: Rung) -> None:
        self.rung = rung
        self.scene = Scene()
        self.committed = 0
        self.taken: list[int] = []
        """Events in the order in which chunks took them."""
        self.seen: list[int] = []
        self.sent_events = 0
        self.unapplied: list[int] = []
        self.client: Seated | None = None
        self.seat = ""
        self.viewers: list[Seated] = []
        self.decoders: list[Decoder] = []
        """The last one is followed, unless it has been told that its stream has ended."""

    async def step(self, name: str, amount: int) -> None:
        match name:
            case "frames":
                await self.frames(amount)
            case "late frames" if self.decoders:
                decoder = self.decoders[amount % len(self.decoders)]
                self.send(decoder, decoder.next_frame_id, amount)
            case "read" if self.client is not None:
                await self.read(amount)
            case "lose" if self.client is not None:
                self.scene.channel.leave(self.client.member.connection, is_bye=False)
                self.client = None
            case "resume":
                self.resume()
            case "gateway dies":
                info = replace(self.scene.info, next_frame_id=self.committed, last_event_id=max(self.taken, default=0))
                self.scene.info, self.client, self.viewers = info, None, []
                self.scene.channel = Channel(info, frame_rate=RATE, clock=lambda: self.scene.now)
            case "event" if self.client is not None:
                self.sent_events += 1
                self.unapplied.append(self.sent_events)
                self.scene.channel.take(self.client.member.connection, event(self.sent_events))
            case "viewer" if len(self.viewers) < 2:
                self.viewers.append(self.scene.sit(Role.VIEWER, rung=self.rung))

    def resume(self) -> None:
        """A client that has lost its connection, or still has one that hangs, comes again."""
        received = self.seen[-1] + 1 if self.seen else 0
        self.client = self.scene.sit(rung=self.rung, next_frame_id=received, seat=self.seat or None)
        self.seat = self.client.member.seat
        for event_id in self.unapplied:
            self.scene.channel.take(self.client.member.connection, event(event_id))

    async def frames(self, amount: int) -> None:
        """The decoder sends a piece of the newest chunk; before it sends what is not made yet, a chunk is made."""
        decoder = self.decoder()
        first = decoder.next_frame_id
        if first >= self.committed:
            self.scene.channel.inputs.connect(first)
            self.scene.now += START_GRACE_S
            batch = await self.scene.channel.collect(
                1, after_event=max(self.taken, default=0), next_frame_id=self.committed, pace=Pace.PLAYING
            )
            self.taken += [one.event_id for one in batch.events]
            self.committed += CHUNK
        self.send(decoder, first, amount)

    def decoder(self) -> Decoder:
        """Who follows the stream; another one where it has ended."""
        channel = self.scene.channel
        with contextlib.suppress(WrongGateway):
            if self.decoders:
                channel.require_stream(self.decoders[-1].stream)
                return self.decoders[-1]
        place = channel.begin_stream(1)
        self.decoders.append(Decoder(place.stream, place.next_frame_id))
        return self.decoders[-1]

    def send(self, decoder: Decoder, first: int, amount: int) -> None:
        """A piece of what is committed comes from a decoder: from any, for no call stops one at once."""
        last = min(first + amount, (first // CHUNK + 1) * CHUNK, self.committed)
        if first >= last:
            return
        decoder.next_frame_id = last
        applied = tuple((event_id, first) for event_id in self.taken) if first % CHUNK == 0 else None
        with contextlib.suppress(WrongGateway):
            self.scene.channel.push(decoder.stream, pieces(*range(first, last), applied=applied))

    async def read(self, amount: int) -> None:
        """The client takes some messages, and drops frames that it has seen."""
        assert self.client is not None
        for _ in range(min(amount, len(self.client.member.mailbox))):
            (data,) = [one.data for one in await self.client.member.mailbox.take()]
            message = pb.ServerMessage.FromString(data)
            if message.HasField("frame") and message.frame.frame_id >= (self.seen[-1] + 1 if self.seen else 0):
                self.seen.append(message.frame.frame_id)
            for one in message.applied.events:
                if one.event_id in self.unapplied:
                    self.unapplied.remove(one.event_id)


LATE = [("frames", 5), ("gateway dies", 1), ("resume", 1), ("late frames", 5), ("read", 12)]
"""A decoder goes on while its stream goes back."""


@settings(max_examples=150, deadline=None)
@example(JPEG, LATE)
@given(st.sampled_from([JPEG, H264]), st.lists(st.tuples(STEPS, st.integers(1, 12)), max_size=60))
def test_every_frame_comes_once_and_every_input_counts_once(rung: Rung, steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        story = Story(rung)
        story.resume()
        for name, amount in steps:
            await story.step(name, amount)
        story.resume()
        for _ in range(6):
            await story.frames(CHUNK)
            await story.read(10**6)
        while story.scene.channel.fan_out.next_frame_id < story.committed:
            await story.frames(CHUNK)
        await story.read(10**6)
        assert story.seen == list(range(story.committed))
        assert story.taken == list(range(1, story.sent_events + 1)) and not story.unapplied
        for viewer in story.viewers:
            frames = (await viewer.read()).frames
            assert frames == list(range(frames[0], frames[0] + len(frames)))

    asyncio.run(run())
