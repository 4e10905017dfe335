"""What a decoder sends to those who watch."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from worldloom.cluster.chunk_extra import ChunkExtra, pack_extra
from worldloom.cluster.events import ControlState
from worldloom.cluster.messages import Codec, CommittedChunk, StageTimes
from worldloom.cluster.pictures import Layout
from worldloom.cluster.video import Rung, RungWish, VideoPiece
from worldloom.cluster.video_sender import VideoSender
from worldloom.errors import WorkerLost
from worldloom.memory.records import ChunkRecord

FRAMES = 40
PICTURE = Rung(codec=Codec.JPEG, width=64, height=64, kbit_per_s=1000)
VIDEO = Rung(codec=Codec.H264, width=64, height=64, kbit_per_s=1000)


def committed() -> CommittedChunk:
    extra = ChunkExtra(
        client_times_us=np.zeros(FRAMES, np.int64),
        applied=((3, 57),),
        stages=StageTimes(plan_s=0.5),
        controls=ControlState(),
    )
    record = ChunkRecord(
        branch=0,
        chunk=1,
        latents=np.zeros((1, 10, 1, 1), np.float32),
        poses=np.zeros((FRAMES, 5)),
        keyboard=np.zeros((FRAMES, 6), np.float32),
        mouse=np.zeros((FRAMES, 2), np.float32),
        prompt="",
        first_frame_id=57,
        applied_event_ids=(3,),
        extra=pack_extra(extra),
    )
    return CommittedChunk(record=record, commit_s=0.25)


class Audience:
    """Watches what it is told to."""

    def __init__(self, *wishes: RungWish) -> None:
        self.wishes = wishes
        self.asked = asyncio.Event()
        self.pushed: list[tuple[VideoPiece, ...]] = []
        self.error: Exception | None = None

    async def wanted_video(self, session: str, stream: str) -> tuple[RungWish, ...]:
        self.asked.set()
        await asyncio.sleep(0.001)
        if self.error is not None:
            raise self.error
        return self.wishes

    async def push(self, session: str, stream: str, pieces: tuple[VideoPiece, ...]) -> None:
        self.pushed.append(pieces)


def sender(audience: Audience) -> VideoSender:
    return VideoSender("s", "stream", watchers=audience, frame_rate=16.0)


def frames(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.zeros((count, 64, 64, 3), np.uint8)


async def send_all(audience: Audience, *first_frames: int) -> VideoSender:
    async with sender(audience) as sending:
        for first in first_frames:
            await sending.send(committed(), first, frames(8), 0.125)
        while len(audience.pushed) < len(first_frames):
            await asyncio.sleep(0.001)
    return sending


def test_each_piece_goes_out_in_all_rungs_that_are_watched_and_in_order() -> None:
    audience = Audience(RungWish(rung=PICTURE), RungWish(rung=VIDEO))
    asyncio.run(send_all(audience, 0, 8))
    assert [[piece.rung for piece in pieces] for pieces in audience.pushed] == [[PICTURE, VIDEO]] * 2
    for number, pieces in enumerate(audience.pushed):
        for piece in pieces:
            first = 57 + 8 * number
            assert [packet.frame_id for packet in piece.packets] == list(range(first, first + 8))
            assert {packet.codec for packet in piece.packets} == {piece.rung.codec}
            stages = piece.packets[0].stages
            assert stages is not None and (stages.plan_s, stages.commit_s, stages.decode_s) == (0.5, 0.25, 0.125)
            note = piece.packets[0].note
            assert (note is not None) == (number == 0) and (note is None or note.applied == ((3, 57),))
    assert [[piece.begins_with_key_frame for piece in pieces] for pieces in audience.pushed] == [
        [True, True],
        [True, False],
    ]


def test_the_decoder_is_told_which_layout_is_best() -> None:
    assert asyncio.run(send_all(Audience(RungWish(rung=VIDEO)), 0)).layout is Layout.I420
    assert asyncio.run(send_all(Audience(RungWish(rung=VIDEO), RungWish(rung=PICTURE)), 0)).layout is Layout.RGB


def test_nothing_more_is_taken_while_nobody_watches() -> None:
    async def scene() -> None:
        audience = Audience()
        async with sender(audience) as sending:
            await sending.send(committed(), 0, frames(8), 0.0)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await asyncio.shield(sending.send(committed(), 8, frames(8), 0.0))
            assert audience.pushed == []
            audience.wishes = (RungWish(rung=PICTURE),)
            while len(audience.pushed) < 2:
                await asyncio.sleep(0.001)

    asyncio.run(scene())


def test_a_sender_whose_stream_has_ended_is_told_with_the_next_piece() -> None:
    async def scene() -> None:
        audience = Audience(RungWish(rung=PICTURE))
        audience.error = WorkerLost("the stream is somewhere else")
        async with sender(audience) as sending:
            await sending.send(committed(), 0, frames(8), 0.0)
            await audience.asked.wait()
            with pytest.raises(WorkerLost):
                await sending.send(committed(), 8, frames(8), 0.0)

    asyncio.run(scene())
