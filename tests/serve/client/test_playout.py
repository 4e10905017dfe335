"""Frames that wait to be shown by a client."""

from __future__ import annotations

import asyncio
import time

from worldloom_client.errors import SessionEnded
from worldloom_client.playout import PlayOut, Received
from worldloom_client.protocol import session_pb2 as pb


async def filled(*ids: int) -> PlayOut:
    playout = PlayOut()
    playout.set_rate(100.0)
    for frame_id in ids:
        await playout.put(pb.Frame(frame_id=frame_id))
    return playout


async def rest(playout: PlayOut, *, is_paced: bool = False) -> list[Received]:
    """All frames that are still handed out."""
    await playout.end(SessionEnded("over"))
    taken = []
    while True:
        try:
            taken.append(await playout.take(is_paced=is_paced))
        except SessionEnded:
            return taken


def test_a_frame_that_comes_twice_is_shown_once_but_the_decoder_gets_it_again() -> None:
    async def play() -> list[tuple[int, bool]]:
        playout = await filled(0, 1, 2, 1, 2, 3)
        assert playout.report().buffered_ms == 40
        return [(taken.frame.frame_id, taken.is_shown) for taken in await rest(playout)]

    assert asyncio.run(play()) == [(0, True), (1, True), (2, True), (1, False), (2, False), (3, True)]


def test_a_branch_drops_what_waits() -> None:
    async def play() -> list[tuple[int, bool]]:
        playout = await filled(0, 1, 2)
        await playout.take(is_paced=False)
        playout.flush(3)
        assert playout.report() == pb.BufferReport(next_frame_id=3)
        await playout.put(pb.Frame(frame_id=3))
        assert playout.report() == pb.BufferReport(next_frame_id=3, buffered_ms=10)
        return [(taken.frame.frame_id, taken.is_shown) for taken in await rest(playout)]

    assert asyncio.run(play()) == [(1, False), (2, False), (3, True)]


def test_reports_tell_what_is_shown_and_what_waits() -> None:
    async def play() -> pb.BufferReport:
        playout = await filled(*range(8))
        for _ in range(3):
            await playout.take(is_paced=False)
        return playout.report()

    assert asyncio.run(play()) == pb.BufferReport(next_frame_id=3, buffered_ms=50)


def test_a_paced_caller_gets_frames_in_time_and_stalls_are_counted() -> None:
    async def play() -> tuple[float, int]:
        playout = await filled(*range(6))
        started = time.monotonic()
        for _ in range(6):
            await playout.take(is_paced=True)
        taken_s = time.monotonic() - started
        assert playout.report().stalled_ms == 0
        await asyncio.sleep(0.1)
        await playout.put(pb.Frame(frame_id=6))
        await playout.take(is_paced=True)
        return taken_s, playout.report().stalled_ms

    taken_s, stalled_ms = asyncio.run(play())
    assert taken_s >= 0.049
    assert stalled_ms >= 85


def test_the_frame_that_is_shown_next_counts_as_buffered_while_it_waits_for_its_moment() -> None:
    async def play() -> tuple[pb.BufferReport, pb.BufferReport]:
        playout = await filled(0)
        playout.set_rate(2.0)
        await playout.take(is_paced=True)
        await playout.put(pb.Frame(frame_id=1))
        taking = asyncio.create_task(playout.take(is_paced=True))
        await asyncio.sleep(0.05)
        before = playout.report()
        playout.flush(2)
        after = playout.report()
        taking.cancel()
        return before, after

    before, after = asyncio.run(play())
    assert before == pb.BufferReport(next_frame_id=1, buffered_ms=500)
    assert after == pb.BufferReport(next_frame_id=2)


def test_a_slow_caller_holds_the_service_back() -> None:
    async def play() -> int:
        playout = PlayOut()

        async def feed() -> None:
            for frame_id in range(2000):
                await playout.put(pb.Frame(frame_id=frame_id))

        feeding = asyncio.create_task(feed())
        await asyncio.sleep(0.05)
        held_at = playout.next_frame_id
        while (await playout.take(is_paced=False)).frame.frame_id < 1999:
            continue
        await feeding
        return held_at

    assert 0 < asyncio.run(play()) < 1000
