"""Times of chunks to the figures of a record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from ...model.clip import NEW_FRAMES

CHUNK, CHUNK_P95, STEPS = "chunk", "chunk_p95", "steps"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkTimes:
    """One chunk of one session. Moments are seconds of one clock, which all chunks of a run share."""

    session: int
    chunk: int
    planned_s: float
    """When its planning began."""
    first_frame_s: float
    """When its first frame lay in host memory."""
    last_frame_s: float
    """When its last frame did."""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds that each stage took: plan, retrieve, prepare, step0, step1, …, commit, decode, copy."""


OnChunk = Callable[[ChunkTimes], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """See EngineRecord, whose fields these are."""

    fps: float
    fps_total: float
    first_frame_s: float
    stages: dict[str, float]


def figures_of(chunks: Sequence[ChunkTimes]) -> Figures:
    """What the chunks of a run amount to: the same number of chunks, at least two, of each session.

    A session's rate is 40(N-1) frames over the time from its first chunk's last frame to its N-th chunk's last frame.
    """
    sessions: defaultdict[int, list[ChunkTimes]] = defaultdict(list)
    for times in sorted(chunks, key=lambda times: times.chunk):
        sessions[times.session].append(times)
    assert sessions and all(len(seen) > 1 for seen in sessions.values()), "a rate needs two chunks"
    rates = [
        NEW_FRAMES * (len(seen) - 1) / (seen[-1].last_frame_s - seen[0].last_frame_s) for seen in sessions.values()
    ]
    waits = [seen[0].first_frame_s - seen[0].planned_s for seen in sessions.values()]
    periods = [period for seen in sessions.values() for period in _periods(seen)]
    stages = stage_medians([times for seen in sessions.values() for times in seen[1:]])
    return Figures(
        fps=min(rates),
        fps_total=sum(rates),
        first_frame_s=float(np.median(waits)),
        stages={**stages, CHUNK: float(np.median(periods)), CHUNK_P95: float(np.percentile(periods, 95))},
    )


def _periods(chunks: Sequence[ChunkTimes]) -> list[float]:
    """From each chunk's last frame to the next one's."""
    return [after.last_frame_s - before.last_frame_s for before, after in pairwise(chunks)]


def stage_medians(chunks: Sequence[ChunkTimes]) -> dict[str, float]:
    """Median of each stage, denoising steps added up, in the order in which stages come."""
    merged = [_with_steps_added(times.stages) for times in chunks]
    names = list(dict.fromkeys(name for stages in merged for name in stages))
    return {name: float(np.median([stages.get(name, 0.0) for stages in merged])) for name in names}


def _with_steps_added(stages: dict[str, float]) -> dict[str, float]:
    added: dict[str, float] = {}
    for name, seconds in stages.items():
        key = STEPS if name.startswith("step") else name
        added[key] = added.get(key, 0.0) + seconds
    return added
