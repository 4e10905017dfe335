"""A world that moves only when it is told to, whole chunks at a time: for agents, and for whatever thinks for long."""

from __future__ import annotations

from collections.abc import Sequence

from .controls import Action
from .errors import SessionEnded, WorldError
from .frames import WorldFrame
from .world import World


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
    first_frame_id = await world.settled(await world.play(rows, pause_after=True))
    taken: list[WorldFrame] = []
    async for frame in world.frames():
        taken.append(frame)
        if frame.frame_id >= first_frame_id + len(rows) - 1:
            return taken
    raise SessionEnded("the session ended before the chunk was there")
