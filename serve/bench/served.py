"""One run of the whole service: players on this machine receive encoded frames for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from ...errors import ServiceError
from ...model.preset import Preset
from ...parallel.planner import Placement
from ..remote_errors import known_errors
from ..samples import list_samples
from .machine import where_it_ran
from .players import CODEC, SEED, Beginning, OnFrame, Played, begin, play_fast, time_actions
from .records import ServedRecord
from .setting import what_ran

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedConfig:
    """What is measured, and how long."""

    preset: Preset
    """What the service runs."""
    seconds: float
    """Of play as fast as frames come, and again at the world's own pace."""
    sessions: int = 1
    starts: int = 8
    """So many sessions are begun by prompt, and as many by image."""
    gpus: int | None = None
    """Of the service; None: as many as the preset asks for."""
    placement: Placement | None = None
    """How they share worlds; None leaves it to the planner, and to the preset where a service runs already."""
    commit: str | None = None
    """What is measured, where it is no git checkout."""


@contextmanager
def service_at(url: str | None, config: ServedConfig) -> Iterator[tuple[str, ServedConfig]]:
    """The URL of a service, the one given or one on Ray that ends with the block; and the config with its GPUs."""
    if url is not None:
        yield url, config
        return
    # Ray takes seconds to import: not where a service runs already.
    from ...cluster.config import ClusterConfig
    from ...cluster.lay_out import Wish
    from ..service import ServiceConfig, start_service

    cluster = ClusterConfig(preset=config.preset, sessions_per_group=config.sessions)
    wish = Wish(gpus=config.gpus, placement=config.placement, sessions=config.sessions)
    with start_service(ServiceConfig(cluster=cluster, wish=wish, port=0)) as service:
        found = service.config.cluster
        if found.layout is not None:
            config = replace(config, gpus=found.groups * found.group_ranks, placement=found.layout.placement)
        yield service.url, config


def measure_service(url: str, config: ServedConfig, on_frame: OnFrame) -> ServedRecord:
    """Open sessions at the service `url` and play them. `on_frame` hears of each frame.

    Raises ServiceError when it cannot be reached or made too little, PresetUnknown when it runs another preset.
    """
    with known_errors():
        return asyncio.run(_measure(url, config, on_frame))


def late_frames(arrivals_s: Sequence[float], frame_rate: float) -> int:
    """Frames that came after their moment, for a player that shows one every 1 / `frame_rate` seconds from the first on
    and, when a frame is late, shows it when it comes and goes on from there."""
    late, due = 0, arrivals_s[0] if arrivals_s else 0.0
    for arrival in arrivals_s:
        late += arrival > due
        due = max(due, arrival) + 1 / frame_rate
    return late


async def _measure(url: str, config: ServedConfig, on_frame: OnFrame) -> ServedRecord:
    sample = list_samples()[0]
    image = sample.read_bytes()
    # The very first session also pays for what a service's processes do once.
    await begin(url, preset=config.preset.name, seed=SEED)
    by_prompt = [await begin(url, prompt=sample.prompt, seed=SEED) for _ in range(config.starts)]
    by_image = [await begin(url, image=image, prompt="", seed=SEED) for _ in range(config.starts)]
    played = await _of_all(config, lambda session: play_fast(url, config.seconds, session, on_frame))
    times = await _of_all(config, lambda session: time_actions(url, config.seconds, session, on_frame))
    return _record(config, played, [taken for one in times for taken in one], by_prompt, by_image)


async def _of_all(config: ServedConfig, play: Callable[[int], Coroutine[None, None, T]]) -> list[T]:
    return await asyncio.gather(*(play(session) for session in range(config.sessions)))


def _record(
    config: ServedConfig,
    played: list[Played],
    actions_s: list[float],
    by_prompt: list[Beginning],
    by_image: list[Beginning],
) -> ServedRecord:
    preset = config.preset
    rates = [one.seen.frames_per_s for one in played]
    gpus = 0 if preset.num_gpus == 0 else config.gpus or preset.num_gpus
    ran = what_ran(preset, gpus=gpus, sessions=config.sessions)
    return ServedRecord(
        **(ran if config.placement is None else ran | {"placement": config.placement}),
        **where_it_ran("cuda:0" if preset.num_gpus else "cpu", commit=config.commit),
        source="measured",
        frame_rate=preset.video.frame_rate,
        fps=round(min(rates), 3),
        fps_total=round(sum(rates), 3),
        codec=CODEC,
        seconds=config.seconds,
        frames=sum(one.seen.frames for one in played),
        late_frames=sum(late_frames(one.arrivals_s, preset.video.frame_rate) for one in played),
        steps_s=round(float(np.median([steps for one in played for steps in _steps_s(one)])), 4),
        **_percentiles("action_to_frame", actions_s),
        **_percentiles("create_to_frame_text", [one.first_frame_s for one in by_prompt]),
        **_percentiles("create_to_frame_image", [one.first_frame_s for one in by_image]),
        **_percentiles("create_to_clip", [one.first_clip_s for one in by_image]),
    )


def _steps_s(played: Played) -> list[float]:
    """Seconds that each chunk's denoising steps took, after the first chunk's."""
    chunks = played.seen.chunk_stages_ms[1:]
    return [sum(ms for stage, ms in chunk.items() if stage.startswith("step")) * 1e-3 for chunk in chunks]


def _percentiles(name: str, seconds: list[float]) -> dict[str, Any]:
    """The fields of a record that say how long something took. Raises ServiceError where it never happened."""
    if not seconds:
        raise ServiceError(f"no {name.replace('_', ' ')} was seen", hint="Play for longer.")
    p50, p95 = np.percentile(seconds, (50, 95))
    return {f"{name}_p50_s": round(float(p50), 4), f"{name}_p95_s": round(float(p95), 4)}
