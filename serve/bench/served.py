"""One run of the whole service: players on this machine receive encoded frames for a while."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Unpack

import numpy as np
from worldloom_client import StartRequest, World, open_world

from ...errors import ServiceError
from ...model.preset import Preset
from ..actions import Held
from ..recording import Measurements
from ..remote_errors import known_errors
from ..samples import list_samples
from .machine import where_it_ran
from .records import ServedRecord
from .setting import what_ran

SEED = 11
CODEC = "jpeg"
"""What the client receives."""
CHANGE_AFTER_S = (0.5, 1.5)
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

OnFrame = Callable[[], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedConfig:
    """What is measured, and how long."""

    preset: Preset
    """What the service runs."""
    seconds: float
    sessions: int = 1
    commit: str | None = None
    """What is measured, where it is no git checkout."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Played:
    """What one player saw."""

    seen: Measurements
    arrivals_s: list[float]


@contextmanager
def service_at(url: str | None, config: ServedConfig) -> Iterator[str]:
    """The URL of a service: the one given, or one on Ray that ends with the block."""
    if url is not None:
        yield url
        return
    # Ray takes seconds to import: not where a service runs already.
    from ...cluster.config import ClusterConfig
    from ..service import ServiceConfig, start_service

    cluster = ClusterConfig(preset=config.preset, sessions_per_group=config.sessions)
    with start_service(ServiceConfig(cluster=cluster, port=0)) as service:
        yield service.url


def measure_service(url: str, config: ServedConfig, on_frame: OnFrame) -> ServedRecord:
    """Open sessions at the service `url` and play them. `on_frame` hears of each frame.

    Raises ServiceError when it cannot be reached or made too little, PresetUnknown when it runs another preset.
    """
    sample = list_samples()[0]
    with known_errors():
        # The very first session also pays for what a service's processes do once.
        asyncio.run(_first_frame_s(url, preset=config.preset.name, seed=SEED))
        by_prompt = asyncio.run(_first_frame_s(url, prompt=sample.prompt, seed=SEED))
        by_image = asyncio.run(_first_frame_s(url, image=sample.read_bytes(), prompt="", seed=SEED))
        played = asyncio.run(_play_all(url, config, on_frame))
    return _record(config, played, by_prompt, by_image)


def late_frames(arrivals_s: Sequence[float], frame_rate: float) -> int:
    """Frames that came after their moment, for a player that shows one every 1 / `frame_rate` seconds from the first on
    and, when a frame is late, shows it when it comes and goes on from there."""
    late, due = 0, arrivals_s[0] if arrivals_s else 0.0
    for arrival in arrivals_s:
        late += arrival > due
        due = max(due, arrival) + 1 / frame_rate
    return late


async def _first_frame_s(url: str, **start: Unpack[StartRequest]) -> float:
    """Seconds from asking for a session to its first frame."""
    started = time.monotonic()
    async with open_world(url, codecs=[CODEC], **start) as world:
        await world.hold(HELD[0])
        async for frame in world.frames():
            return frame.received_s - started
    raise ServiceError("the session ended before its first frame", hint="Look at the service's log.")


async def _play_all(url: str, config: ServedConfig, on_frame: OnFrame) -> list[_Played]:
    return await asyncio.gather(*(_play(url, config, session, on_frame) for session in range(config.sessions)))


async def _play(url: str, config: ServedConfig, session: int, on_frame: OnFrame) -> _Played:
    seen = Measurements(started_s=time.monotonic())
    arrivals_s: list[float] = []
    stop_s = float("inf")
    async with open_world(url, codecs=[CODEC], seed=SEED + session) as world:
        seen.info = world.info
        changing = asyncio.create_task(_change_controls(world, session))
        try:
            async for frame in world.frames():
                seen.add(frame)
                on_frame()
                arrivals_s.append(frame.received_s)
                if stop_s == float("inf") and frame.chunk > 0:
                    stop_s = frame.received_s + config.seconds
                if frame.received_s >= stop_s:
                    break
        finally:
            changing.cancel()
    if len(seen.chunk_starts) < 3:
        raise ServiceError(
            f"the service made {len(seen.chunk_starts)} chunks in {config.seconds:g} s", hint="Play for longer."
        )
    return _Played(seen=seen, arrivals_s=arrivals_s)


async def _change_controls(world: World, session: int) -> None:
    random = np.random.default_rng(SEED + session)
    for held in itertools.cycle(HELD):
        await world.hold(held)
        await asyncio.sleep(random.uniform(*CHANGE_AFTER_S))


def _record(config: ServedConfig, played: list[_Played], by_prompt: float, by_image: float) -> ServedRecord:
    preset = config.preset
    rates = [one.seen.frames_per_s for one in played]
    # The first answer waits for the first chunk, which is create-to-frame.
    latencies = [latency for one in played for latency in one.seen.latencies_s[1:]]
    if not latencies:
        raise ServiceError("no action came back with a frame", hint="Play for longer.")
    p50, p95 = np.percentile(latencies, (50, 95))
    return ServedRecord(
        **what_ran(preset, gpus=preset.num_gpus, sessions=config.sessions),
        **where_it_ran("cuda:0" if preset.num_gpus else "cpu", commit=config.commit),
        source="measured",
        fps=round(min(rates), 3),
        fps_total=round(sum(rates), 3),
        codec=CODEC,
        seconds=config.seconds,
        frames=sum(one.seen.frames for one in played),
        late_frames=sum(late_frames(one.arrivals_s, preset.video.frame_rate) for one in played),
        action_to_frame_p50_s=round(float(p50), 4),
        action_to_frame_p95_s=round(float(p95), 4),
        create_to_frame_text_s=round(by_prompt, 4),
        create_to_frame_image_s=round(by_image, 4),
    )
