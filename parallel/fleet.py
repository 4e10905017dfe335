"""From measured groups to fleets: how many sessions so many GPUs play at full rate. Importable without torch.

What it takes for granted:
- groups share nothing but the network, so that a fleet is as fast as its groups (each session has one group, one
  decoder stream and one shard of the memory store);
- a group of a size that was not measured is as fast as the nearest smaller one that was, with the loss of
  `DOUBLING_EFFICIENCY` for each doubling of its ranks;
- sessions are spread evenly, play all the time, and none is moved;
- each rank decodes its share of streams beside its steps, which are slowed by as much as decoding takes;
- latents of a session are 3.4 MB for each second of 720p video, and its H.264 some 8 Mbit: a node of 8 GPUs with fifty
  sessions sends 0.2 GB a second, which its network has room for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..model.clip import NEW_FRAMES
from ..model.preset import Preset
from .planner import Placement, Plan, Resources, plan
from .times import MeasuredTimes, estimate

FULL_RATE = 0.99
"""Share of a preset's frame rate that counts as all of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    """So many GPUs with as many sessions as they can play."""

    gpus: int
    sessions: int
    """At full rate; 1, at whatever rate, where not even one has that."""
    plan: Plan

    @property
    def fps(self) -> float:
        """Frames a second of each session."""
        return self.plan.fps(self.sessions)

    @property
    def fps_total(self) -> float:
        """… of all."""
        return self.fps * self.sessions


def fleet(preset: Preset, resources: Resources, times: MeasuredTimes) -> Fleet:
    """The most sessions that the GPUs play at the preset's frame rate. Raises DoesNotFit where none can be played."""

    def with_sessions(count: int) -> Fleet:
        planned = plan(preset, replace(resources, sessions=count), times)
        return Fleet(gpus=resources.gpus, sessions=count, plan=planned)

    best, refused = with_sessions(1), 2
    while (more := with_sessions(refused)).fps >= FULL_RATE * preset.video.frame_rate:
        best, refused = more, 2 * refused
    while refused - best.sessions > 1:
        middle = with_sessions((best.sessions + refused) // 2)
        if middle.fps >= FULL_RATE * preset.video.frame_rate:
            best = middle
        else:
            refused = middle.sessions
    return best


def expected_fps_total(
    preset: Preset, times: MeasuredTimes, *, gpus: int, placement: Placement, sessions: int, stages: tuple[int, ...]
) -> float:
    """Frames a second in all that the arithmetic expects of a run: to compare with what was measured.

    `stages` are the ranks of each stage of a group; GPUs with sessions of their own are groups of one.
    """
    groups = gpus if placement is Placement.SINGLE else 1
    chunk = estimate(preset, (1,) if placement is Placement.SINGLE else stages, times)
    return NEW_FRAMES * sessions * chunk.rate(-(-sessions // groups))
