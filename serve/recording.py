"""Plays a script at a service through the real client, records the clip, and measures on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Unpack

import numpy as np
from worldloom_client import Credential, StartRequest, World, WorldFrame, WorldInfo, join_world, open_session

from ..errors import ServiceError
from .actions import Actions, Held
from .clips import ClipWriter, ContactSheet, write_file
from .remote_errors import known_errors

OnFrame = Callable[[World, WorldFrame], None]
_PER_PIECE = ("decode", "encode")
"""Stages that a chunk passes piece by piece; their times add up over the chunk."""


@dataclass(slots=True)
class Measurements:
    """What was seen of one session's stream. Times are seconds, those of stages milliseconds."""

    started_s: float
    """Before the session was asked for, on the monotonic clock."""
    info: WorldInfo | None = None
    frames: int = 0
    first_frame_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    """From each event's sending to the first frame that it shaped."""
    chunk_starts: list[tuple[int, float]] = field(default_factory=list)
    """Frame id and time of each chunk's first frame."""
    chunk_stages_ms: list[dict[str, float]] = field(default_factory=list)
    """Stage times of each chunk."""
    last_s: float = 0.0
    _chunk: tuple[int, int] | None = None

    def add(self, frame: WorldFrame) -> None:
        """Count one frame, in order."""
        if not self.frames:
            self.first_frame_s = frame.received_s - self.started_s
        self.frames += 1
        self.last_s = frame.received_s
        if frame.latency_s is not None:
            self.latencies_s.append(frame.latency_s)
        if (frame.branch, frame.chunk) != self._chunk:
            self._chunk = (frame.branch, frame.chunk)
            self.chunk_starts.append((frame.frame_id, frame.received_s))
            self.chunk_stages_ms.append(dict(frame.stages_ms))
        elif frame.stages_ms:
            stages = self.chunk_stages_ms[-1]
            stages.update({name: stages.get(name, 0.0) + frame.stages_ms[name] for name in _PER_PIECE})

    @property
    def frames_per_s(self) -> float:
        """How fast frames are made: from the second chunk's first frame to the last chunk's, where there are enough
        chunks, because the frames of one chunk come in bursts."""
        starts = self.chunk_starts[1:] if len(self.chunk_starts) > 2 else self.chunk_starts
        if len(starts) > 1:
            (first, begun), (last, ended) = starts[0], starts[-1]
        else:
            (first, begun), (last, ended) = (0, self.started_s), (self.frames, self.last_s)
        return (last - first) / max(ended - begun, 1e-9)

    @property
    def chunk_times_s(self) -> list[float]:
        """From each chunk's first frame to the next one's."""
        return [after[1] - before[1] for before, after in pairwise(self.chunk_starts)]


async def record(
    url: str,
    actions: Actions,
    *,
    clip: Path,
    sheet: Path | None = None,
    export: Path | None = None,
    title: Callable[[WorldInfo], str] = lambda info: "",
    on_frame: OnFrame = lambda world, frame: None,
    **start: Unpack[StartRequest],
) -> Measurements:
    """Open a world, play all actions, and write the clip and, if asked for, the contact sheet under `title` and the
    exported world.

    Raises what the service reports, and ConfigError where a file cannot be written; what came before is on disk then.
    """
    seen = Measurements(started_s=time.monotonic())
    with known_errors():
        async with (
            open_session(url, **start) as (service, opened),
            join_world(opened.url, Credential(token=opened.token)) as world,
        ):
            info = seen.info = world.info
            # An exported world then holds the script and nothing else.
            event_id = await world.play(actions.rows(), pause_after=True)
            pictures = ContactSheet(actions, frame_rate=info.frame_rate, title=title(info))
            with ClipWriter(clip, width=info.width, height=info.height, frame_rate=info.frame_rate) as writer:
                async for frame in world.frames():
                    seen.add(frame)
                    # Encoding would keep the event loop from reading and acknowledging.
                    held = Held(**asdict(frame.held))
                    await asyncio.to_thread(writer.write, frame.image, held)
                    pictures.add(seen.frames - 1, frame.image, frame.chunk, held)
                    on_frame(world, frame)
                    if frame.frame_id + 1 >= world.applied.get(event_id, 0) + len(actions):
                        break
                else:
                    raise ServiceError(f"the session ended after {seen.frames} of {len(actions)} frames")
            if export is not None:
                write_file(export, await service.export_world(opened.session_id, token=opened.token))
    if sheet is not None:
        pictures.save(sheet)
    return seen


def describe_weights(info: WorldInfo) -> str:
    """Whether what was seen can be a world at all."""
    if info.trained:
        return f"preset {info.preset}: trained weights"
    return f"preset {info.preset}: UNTRAINED weights (seeded noise: the pictures mean nothing)"


def format_measurements(seen: Measurements) -> str:
    """A short report: pace, latencies and a table of stages."""
    rate = seen.info.frame_rate if seen.info else 0.0
    lines = [
        f"{seen.frames} frames in {len(seen.chunk_starts)} chunks",
        f"frames a second     {seen.frames_per_s:8.1f}      (played at {rate:g})",
        f"time to first frame {seen.first_frame_s:8.2f} s",
    ]
    if seen.latencies_s:
        lines.append(f"action to frame     {_percentiles(seen.latencies_s)}")
    if seen.chunk_times_s:
        lines.append(f"chunk to chunk      {_percentiles(seen.chunk_times_s)}")
    return "\n".join([*lines, "", *_stage_table(seen.chunk_stages_ms)])


def _stage_table(chunks: list[dict[str, float]]) -> list[str]:
    names = list(dict.fromkeys(name for chunk in chunks for name in chunk))
    if not names:
        return ["no stage times came with the frames"]
    medians = {name: float(np.median([chunk.get(name, 0.0) for chunk in chunks])) for name in names}
    longest = max(*medians.values(), 1e-9)
    rows = [f"{'stage':<12}{'p50 ms':>10}{'p95 ms':>10}"]
    for name, median in medians.items():
        p95 = float(np.percentile([chunk.get(name, 0.0) for chunk in chunks], 95))
        rows.append(f"{name:<12}{median:>10.1f}{p95:>10.1f}  {'█' * round(24 * median / longest)}".rstrip())
    totals = [sum(chunk.values()) for chunk in chunks]
    return [*rows, f"{'a chunk':<12}{np.median(totals):>10.1f}{np.percentile(totals, 95):>10.1f}"]


def _percentiles(seconds: list[float]) -> str:
    p50, p95 = np.percentile(seconds, (50, 95))
    return f"{p50:8.2f} s" if len(seconds) == 1 else f"{p50:8.2f} s p50, {p95:.2f} s p95"
