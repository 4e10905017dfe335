"""A session's side of the gateway, with a clock of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from worldloom.cluster.events import Controls, Pause, Play, Rewind
from worldloom.cluster.messages import BranchNote, ChunkNote, FramePacket
from worldloom.errors import Overloaded, SessionEnded, StaleEpoch
from worldloom.serve.channel import MAX_PENDING_EVENTS, START_GRACE_S, Channel
from worldloom.serve.protocol.generated import session_pb2 as pb

RATE = 10.0


class Scene:
    """A channel whose player's mailbox is `sent`."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sent: list[pb.ServerMessage] = []
        self.channel = Channel("s", frame_rate=RATE, clock=lambda: self.now)

    async def send(self, message: pb.ServerMessage) -> None:
        self.sent.append(message)

    def connect(self) -> None:
        self.channel.connect(self.send)

    async def collect(self, *, epoch: int = 1, after: int = 0, frame: int = 0) -> tuple[int, ...] | None:
        """Ids of the events handed out; None when nothing is due."""
        batch = await self.channel.collect(epoch, after_event=after, next_frame_id=frame)
        return tuple(event.event_id for event in batch.events) if batch.is_due else None

    def show(self, frame_id: int) -> None:
        """The player reports that it has shown all up to this frame."""
        self.channel.report_buffer(pb.BufferReport(next_frame_id=frame_id + 1))

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    @property
    def frames(self) -> list[int]:
        return [message.frame.frame_id for message in self.sent if message.WhichOneof("body") == "frame"]


def play(scene: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        await scene(Scene())

    asyncio.run(run())


def event(event_id: int) -> Controls:
    return Controls(event_id=event_id)


def packets(*ids: int, applied: tuple[tuple[int, int], ...] | None = None) -> tuple[FramePacket, ...]:
    note = None
    if applied is not None:
        note = ChunkNote(branch=0, chunk=0, first_frame_id=ids[0], num_frames=len(ids), applied=applied)
    return tuple(
        FramePacket(
            frame_id=frame,
            branch=0,
            chunk=0,
            frame=frame,
            data=b"jpeg",
            client_time_us=0,
            keys=(False,) * 4,
            camera_pitch=0,
            camera_yaw=0,
            pose=(0,) * 5,
            note=note if frame == ids[0] else None,
        )
        for frame in ids
    )


def test_a_world_begins_with_its_players_first_input() -> None:
    async def scene(it: Scene) -> None:
        waiting = asyncio.ensure_future(it.collect())
        it.connect()
        await it.settle()
        assert not waiting.done()
        it.channel.offer(event(3))
        assert await waiting == (3,)

    play(scene)


def test_a_silent_player_gets_a_world_after_a_moment() -> None:
    async def scene(it: Scene) -> None:
        it.connect()
        it.now += START_GRACE_S
        assert await it.collect() == ()

    play(scene)


def test_events_stay_until_their_chunk_is_sent_and_never_come_twice() -> None:
    async def scene(it: Scene) -> None:
        it.connect()
        for number in (1, 2, 2):
            it.channel.offer(event(number))
        assert await it.collect() == (1, 2)
        # The owner died before it committed: the next one finds them again.
        assert await it.collect(epoch=2) == (1, 2)
        await it.channel.push(packets(0, 1, applied=((1, 0), (2, 0))))
        it.channel.offer(event(2))
        it.show(1)
        it.now += 1.0
        assert await it.collect(epoch=2, after=2, frame=2) == ()
        assert it.channel.last_event_id() == 2
        (applied,) = [message.applied for message in it.sent if message.WhichOneof("body") == "applied"]
        assert [(one.event_id, one.frame_id) for one in applied.events] == [(1, 0), (2, 0)]

    play(scene)


def test_frames_that_were_sent_are_not_sent_again() -> None:
    async def scene(it: Scene) -> None:
        it.connect()
        await it.channel.push(packets(0, 1, 2))
        await it.channel.push(packets(1, 2, 3))
        assert it.frames == [0, 1, 2, 3] and it.channel.next_frame_id == 4

    play(scene)


def test_the_next_chunk_is_due_only_when_little_is_left_to_play() -> None:
    async def scene(it: Scene) -> None:
        it.connect()
        it.channel.offer(event(1))
        await it.collect()
        it.now += 1.0
        await it.channel.push(packets(*range(57)))
        waiting = asyncio.ensure_future(it.collect(after=1, frame=57))
        it.show(20)
        await it.settle()
        assert not waiting.done()
        it.show(47)
        assert await waiting == ()

    play(scene)


def test_acknowledging_frames_to_come_makes_nothing_run_ahead() -> None:
    async def scene(it: Scene) -> None:
        it.connect()
        it.channel.offer(event(1))
        await it.collect()
        it.now += 1.0
        await it.channel.push(packets(*range(57)))
        it.show(10**9)
        waiting = asyncio.ensure_future(it.collect(after=1, frame=57))
        await it.settle()
        assert not waiting.done()
        waiting.cancel()

    play(scene)


def test_nothing_is_due_in_a_pause_and_a_rewind_is_due_at_once() -> None:
    async def scene(it: Scene) -> None:
        it.connect()
        it.channel.offer(event(1))
        await it.collect()
        it.now += 1.0
        await it.channel.push(packets(*range(57), applied=((1, 0),)))
        it.channel.offer(Pause(event_id=2))
        it.channel.offer(Rewind(event_id=3, chunk=0))
        waiting = asyncio.ensure_future(it.collect(after=1, frame=57))
        await it.settle()
        assert not waiting.done() and it.channel.is_paused()
        it.channel.offer(Play(event_id=4))
        assert await waiting == (2, 3, 4)
        await it.channel.branched(BranchNote(branch=1, parent=0, chunk=0, next_frame_id=97))
        # What the old branch still had on its way is not shown.
        await it.channel.push(packets(*range(57, 97)))
        await it.channel.push(packets(97, 98))
        assert it.frames == [*range(57), 97, 98]
        assert it.sent[-3].branched.branch == 1

    play(scene)


def test_a_replaced_owner_and_an_ended_session_are_told_so() -> None:
    async def scene(it: Scene) -> None:
        old = asyncio.ensure_future(it.collect(epoch=1))
        await it.settle()
        new = asyncio.ensure_future(it.collect(epoch=2))
        await it.settle()
        with pytest.raises(StaleEpoch):
            await it.collect(epoch=1)
        it.channel.close()
        for waiting in (old, new):
            with pytest.raises((SessionEnded, StaleEpoch)):
                await waiting

    play(scene)


def test_too_many_waiting_events_are_refused() -> None:
    async def scene(it: Scene) -> None:
        for number in range(1, MAX_PENDING_EVENTS + 1):
            it.channel.offer(event(number))
        with pytest.raises(Overloaded):
            it.channel.offer(event(MAX_PENDING_EVENTS + 1))

    play(scene)
