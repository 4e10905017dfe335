"""Frames for training: worlds drawn by processes, walked and rendered on the training device."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .clips import Episodes, extrinsics_from, join_episodes
from .data.paths import Episodes as Walks
from .data.paths import sample_episodes
from .data.render import render
from .data.worlds import HELD_OUT_FROM, Worlds, sample_worlds
from .footage import Footage
from .prefetch import ahead
from .progress import StageClock
from .prompts import PromptTokens
from .stage import Workplace

SEEDS_PER_RANK = 100_000
"""Seeds of one rank; a run uses worlds that no other rank sees."""
DRAWN_AT_ONCE = 512
"""Worlds drawn in one go: starting the processes costs as much as drawing a hundred."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderConfig:
    """How many clips are rendered before training, at most."""

    seconds: float
    clips: int
    """A multiple of a world's episodes; on GPUs of `at_once`, so that all batches have one shape."""
    frames: int
    """Of each clip."""
    episodes_per_world: int = 1
    """Clips of each world, on paths of their own: drawing a world takes longer than rendering a clip in it."""
    at_once: int = 64
    """Clips rendered together; a multiple of those of a world."""
    supersample: int = 2
    workers: int = 12
    """Processes that draw worlds."""

    @property
    def worlds_at_once(self) -> int:
        return max(1, self.at_once // self.episodes_per_world)


def walks(config: RenderConfig, place: Workplace, *, first_seed: int, skip: int = 0) -> Iterator[tuple[Worlds, Walks]]:
    """Batches of worlds, each as often as it has episodes, with an episode each, until `clips` are reached; the first
    `skip` clips are left out.

    Worlds are drawn by processes and episodes planned by a thread, on the CPU, while the caller renders what came
    before. Worlds are handed over on the training device, episodes on the CPU.
    """
    base = first_seed + place.ranks.rank * SEEDS_PER_RANK
    workers = min(config.workers, os.cpu_count() or 1)

    def draw() -> Iterator[tuple[int, Worlds]]:
        stop = config.clips // config.episodes_per_world
        for at in range(skip // config.episodes_per_world, stop, DRAWN_AT_ONCE):
            seeds = range(base + at, base + min(at + DRAWN_AT_ONCE, stop))
            yield at, sample_worlds(seeds, workers=workers)

    def plan() -> Iterator[tuple[Worlds, Walks]]:
        for at, drawn in ahead(draw(), 1):
            for start in range(0, len(drawn), config.worlds_at_once):
                chosen = range(start, min(start + config.worlds_at_once, len(drawn)))
                worlds = drawn.select([world for world in chosen for _ in range(config.episodes_per_world)])
                yield worlds, sample_episodes(worlds, config.frames, base + at + start)

    for worlds, walk in ahead(plan()):
        yield worlds.to(place.device), walk


def film(
    config: RenderConfig, place: Workplace, prompts: PromptTokens, *, first_seed: int, skip: int = 0
) -> Iterator[Footage]:
    """Rendered episodes, a batch at a time, until `clips` are reached."""
    for worlds, walk in walks(config, place, first_seed=first_seed, skip=skip):
        frames = render_frames(worlds, walk.poses, place, config.supersample)
        yield Footage(frames=frames, episodes=episodes_of(worlds, walk, prompts))


def episodes_of(worlds: Worlds, walk: Walks, prompts: PromptTokens) -> Episodes:
    """Poses, actions and prompts of walks as the conditioning of clips needs them, on the worlds' device."""
    return Episodes(
        extrinsics=extrinsics_from(walk.model_poses),
        keyboard=walk.keyboard,
        mouse=walk.mouse,
        tokens=prompts.of(worlds.attributes),
    ).to(worlds.device)


def footage(config: RenderConfig, place: Workplace, clock: StageClock) -> Footage:
    """Episodes of `config.frames` frames: those that an earlier stage of this process rendered, or new ones, for
    `seconds`, or `clips` of them; at least one batch."""
    kept = place.shelf.footage
    if kept is not None and kept.frames.shape[1] >= config.frames:
        return kept
    deadline = clock.time_for(config.seconds)
    prompts = PromptTokens(place.preset.text.text_len)
    video = place.preset.video
    frames = torch.empty(
        config.clips, config.frames, video.height, video.width, 3, dtype=torch.uint8, device=place.device
    )
    episodes: list[Episodes] = []
    done = 0
    for batch in film(config, place, prompts, first_seed=place.seed):
        frames[done : done + len(batch)] = batch.frames
        done += len(batch)
        episodes.append(batch.episodes)
        if is_over(deadline, place.device):
            break
    place.shelf.footage = Footage(frames=frames[:done], episodes=join_episodes(episodes))
    return place.shelf.footage


def is_over(deadline: float, device: torch.device) -> bool:
    """Whether the device has come past the moment `deadline` of the monotonic clock with all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.monotonic() > deadline


@torch.no_grad()
def render_frames(worlds: Worlds, poses: Tensor, place: Workplace, supersample: int) -> Tensor:
    """As `data.render.render` at the preset's size."""
    video = place.preset.video
    return render(worlds, poses, video.height, video.width, supersample)


def held_out_clips(count: int, frames: int, place: Workplace) -> Tensor:
    """uint8 (count, frames, H, W, 3) of worlds that no training sees."""
    worlds, walk = held_out_walks(count, frames, place)
    return render(worlds, walk.poses, place.preset.video.height, place.preset.video.width)


def held_out_walks(count: int, frames: int, place: Workplace) -> tuple[Worlds, Walks]:
    """Worlds that no training sees, with an episode in each."""
    worlds = sample_worlds(range(HELD_OUT_FROM, HELD_OUT_FROM + count)).to(place.device)
    return worlds, sample_episodes(worlds, frames, HELD_OUT_FROM)
