"""Players of a benchmark: one who takes frames as fast as they come, and one who shows them at the world's own pace."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Unpack

import numpy as np
from worldloom_client import StartRequest, World, open_world

from ...errors import ServiceError
from ..actions import Held
from ..recording import Measurements

SEED = 11
CODEC = "jpeg"
"""What players receive."""
CHANGE_AFTER_S = (0.05, 0.15)
"""A player changes what it holds after a time by chance in this range."""
HELD = (
    Held(forward=True),
    Held(forward=True, camera_yaw=0.1),
    Held(forward=True, left=True, camera_yaw=-0.1),
    Held(camera_yaw=-0.1),
    Held(back=True),
    Held(camera_yaw=0.1),
)
"""What players do, again and again: ends about where it begins."""
SETTLED_CHUNKS = 2
"""So many chunks pass before actions are timed: the service has to learn how long one takes."""

OnFrame = Callable[[], None]
OnChange = Callable[[int, float], None]
"""Takes an event's id, and when it was sent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Beginning:
    """How long a session's creation took to show something, in seconds."""

    first_frame_s: float
    first_clip_s: float
    """To the last frame of the first clip."""


@dataclass(slots=True)
class Played:
    """What one player saw."""

    seen: Measurements
    arrivals_s: list[float] = field(default_factory=list)


async def begin(url: str, **start: Unpack[StartRequest]) -> Beginning:
    """Ask for a session and look at its first clip. Raises what the service reports."""
    started = time.monotonic()
    first_frame_s = 0.0
    async with open_world(url, codecs=[CODEC], **start) as world:
        # Then it stands still: a chunk that is under way when a session ends makes the next session wait.
        await world.play([HELD[0]] * world.info.first_chunk_frames, pause_after=True)
        async for frame in world.frames():
            taken = frame.received_s - started
            first_frame_s = first_frame_s or taken
            if frame.frame_id + 1 == world.info.first_chunk_frames:
                return Beginning(first_frame_s=first_frame_s, first_clip_s=taken)
    raise ServiceError("the session ended before its first clip", hint="Look at the service's log.")


async def play_fast(url: str, seconds: float, session: int, on_frame: OnFrame) -> Played:
    """Show frames as they come, for so many seconds from the second chunk on. Raises what the service reports."""
    played = Played(Measurements(started_s=time.monotonic()))
    stop_s = float("inf")
    async with _playing(url, session) as world:
        played.seen.info = world.info
        async for frame in world.frames():
            played.seen.add(frame)
            on_frame()
            played.arrivals_s.append(frame.received_s)
            if stop_s == float("inf") and frame.chunk > 0:
                stop_s = frame.received_s + seconds
            if frame.received_s >= stop_s:
                break
    if len(played.seen.chunk_starts) < 3:
        raise ServiceError(
            f"the service made {len(played.seen.chunk_starts)} chunks in {seconds:g} s", hint="Play for longer."
        )
    return played


async def time_actions(url: str, seconds: float, session: int, on_frame: OnFrame) -> list[float]:
    """Show frames at the world's own pace, while controls change for so many seconds. Returns how long each change
    took, as `ActionTimes` says. Raises what the service reports."""
    times = ActionTimes(seconds)
    async with _playing(url, session, times.sent) as world:
        async for frame in world.frames(is_paced=True):
            on_frame()
            times.shown(frame.frame_id, frame.chunk, world.applied, time.monotonic())
            if times.is_over:
                return times.taken_s
    raise ServiceError("the session ended while actions were timed", hint="Look at the service's log.")


class ActionTimes:
    """From the sending of each change of controls until the first frame that it shaped is shown.

    Changes count from the world's `SETTLED_CHUNKS`-th chunk on, when the service knows how long one takes.
    """

    def __init__(self, seconds: float) -> None:
        """Of changes that are sent within so many seconds."""
        self.taken_s: list[float] = []
        self._seconds = seconds
        self._begin_s = self._end_s = self._now = float("inf")
        self._waiting: dict[int, float] = {}

    @property
    def is_over(self) -> bool:
        """Whether all changes that count have been seen."""
        return self._end_s <= self._now < float("inf") and not self._waiting

    def sent(self, event_id: int, sent_s: float) -> None:
        """A change of controls was sent."""
        if self._begin_s <= sent_s < self._end_s:
            self._waiting[event_id] = sent_s

    def shown(self, frame_id: int, chunk: int, applied: Mapping[int, int], now: float) -> None:
        """A frame is shown. `applied` has the first frame of each event."""
        self._now = now
        if self._begin_s == float("inf") and chunk >= SETTLED_CHUNKS:
            self._begin_s, self._end_s = now, now + self._seconds
        for event_id in [event for event in self._waiting if event in applied and applied[event] <= frame_id]:
            self.taken_s.append(now - self._waiting.pop(event_id))


@asynccontextmanager
async def _playing(url: str, session: int, on_change: OnChange = lambda event_id, sent_s: None) -> AsyncIterator[World]:
    """A world of its own, whose controls change all the time."""
    async with open_world(url, codecs=[CODEC], seed=SEED + session) as world:
        changing = asyncio.create_task(_change_controls(world, session, on_change))
        try:
            yield world
        finally:
            changing.cancel()


async def _change_controls(world: World, session: int, on_change: OnChange) -> None:
    random = np.random.default_rng(SEED + session)
    for held in itertools.cycle(HELD):
        sent_s = time.monotonic()
        on_change(await world.hold(held), sent_s)
        await asyncio.sleep(random.uniform(*CHANGE_AFTER_S))
