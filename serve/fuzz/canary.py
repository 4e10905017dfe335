"""A player who keeps every rule, beside those who break them: nothing may happen to it."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field

import numpy as np
from worldloom_client import Held, World, WorldError

CHANGE_EVERY_S = 0.5
SETTLE_TIMEOUT_S = 30.0
"""An event that has no effect for longer has been forgotten: even a starved machine is faster."""
HELD = (Held(forward=True), Held(camera_yaw=0.1), Held(back=True), Held(camera_yaw=-0.1))


@dataclass(slots=True)
class Watch:
    """What the canary has seen."""

    frames: int = 0
    events: int = 0
    gaps: int = 0
    """Frame ids that never came."""
    problems: list[str] = field(default_factory=list)
    stalled_s: float = 0.0
    """Time without a frame to show."""
    played_s: float = 0.0
    round_trips_s: list[float] = field(default_factory=list)

    @property
    def round_trip_p95_s(self) -> float:
        """Of heartbeats; 0 where there were none."""
        return float(np.percentile(self.round_trips_s, 95)) if self.round_trips_s else 0.0

    @property
    def violations(self) -> list[str]:
        """What must not happen to anybody."""
        gaps = [f"the canary missed {self.gaps} frames"] if self.gaps else []
        return [*gaps, *self.problems]


async def sing(world: World, watch: Watch) -> None:
    """Play until cancelled, and note what goes wrong."""
    started = asyncio.get_running_loop().time()
    changing = asyncio.create_task(_change(world, watch))
    try:
        expected = None
        async for frame in world.frames(is_paced=True):
            watch.frames += 1
            watch.gaps += frame.frame_id - expected if expected is not None else 0
            expected = frame.frame_id + 1
        watch.problems.append("the canary's session has ended")
    except WorldError as error:
        watch.problems.append(f"the canary was told: {error.message} ({error.code})")
    finally:
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)
        watch.played_s = asyncio.get_running_loop().time() - started
        watch.stalled_s = world.stalled_s
        if world.reconnects:
            watch.problems.append(f"the canary's connection broke {world.reconnects} times")


async def _change(world: World, watch: Watch) -> None:
    for held in itertools.cycle(HELD):
        event_id = await world.hold(held)
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT_S):
                await world.settled(event_id)
        except TimeoutError:
            watch.problems.append(f"the canary's event {event_id} had no effect within {SETTLE_TIMEOUT_S:g} s")
        except WorldError as error:
            watch.problems.append(f"the canary's event {event_id} was refused: {error.message}")
        watch.events += 1
        watch.round_trips_s.append(world.round_trip_s)
        await asyncio.sleep(CHANGE_EVERY_S)
