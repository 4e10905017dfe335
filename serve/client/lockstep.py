"""A world that moves only when it is told to, whole chunks at a time: for agents, and for whatever thinks for long."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from .controls import Action
from .errors import SessionEnded, WorldError
from .frames import WorldFrame
from .protocol import session_pb2 as pb
from .world import World

POLL_S = 0.005


async def step(world: World, rows: Sequence[Action]) -> list[WorldFrame]:
    """Play exactly these frames, then stand still. Returns them, and the world's own before them if there were any.

    A world that has never been stepped first gets `info.first_chunk_frames` rows, later `info.frames_per_chunk` at a
    time. Nobody else may play the world or take its frames. Raises WorldError for another number of rows, SessionEnded,
    and what the service reports.
    """
    info = world.info
    expected = info.frames_per_chunk if world.applied else info.first_chunk_frames
    if len(rows) != expected:
        raise WorldError(f"{len(rows)} rows, where the next chunk has {expected} frames", code="action_invalid")
    made_before = _being_made(world)
    script = await world.play(rows)
    await world.resume()
    applied = asyncio.ensure_future(world.settled(script))
    try:
        # The next chunk must find the pause when it is planned, which may be as soon as this one is made.
        while not applied.done() and _being_made(world) in (None, made_before):
            await asyncio.sleep(POLL_S)
        await world.pause()
        first_frame_id = await applied
    finally:
        applied.cancel()
    taken: list[WorldFrame] = []
    async for frame in world.frames():
        taken.append(frame)
        if frame.frame_id >= first_frame_id + len(rows) - 1:
            return taken
    raise SessionEnded("the session ended before the chunk was there")


def _being_made(world: World) -> tuple[int, int] | None:
    """Branch and chunk that were last reported to be under way."""
    status = world.status
    if status is None or status.state != pb.SESSION_STATE_PLAYING or not status.num_steps:
        return None
    return status.branch, status.chunk
