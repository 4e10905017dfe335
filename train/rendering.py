"""Frames for training: worlds drawn by processes, walked and rendered on the training device."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from ..model.layout import split_dim
from .data.paths import Episodes as Walks
from .data.paths import sample_episodes
from .data.render import GPU_PASS, render, render_pass
from .data.worlds import HELD_OUT_FROM, Worlds, sample_worlds
from .frames import FramePool
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
    """On GPUs in multiples of `worlds_at_once`, so that all batches have one shape."""
    frames: int
    """Of each clip."""
    worlds_at_once: int = 64
    supersample: int = 2
    workers: int = 12
    """Processes that draw worlds."""


def walks(config: RenderConfig, place: Workplace, *, first_seed: int) -> Iterator[tuple[Worlds, Walks]]:
    """Batches of fresh worlds and an episode in each, on the device, until `clips` are reached.

    The next worlds are drawn while the caller renders these.
    """
    base = first_seed + place.ranks.rank * SEEDS_PER_RANK
    workers = min(config.workers, os.cpu_count() or 1)
    blocks = [(at, min(at + DRAWN_AT_ONCE, config.clips)) for at in range(0, config.clips, DRAWN_AT_ONCE)]

    def draw(block: tuple[int, int]) -> Worlds:
        return sample_worlds(range(base + block[0], base + block[1]), workers=workers)

    with ThreadPoolExecutor(1) as ahead:
        pending = ahead.submit(draw, blocks[0])
        for index, (start, stop) in enumerate(blocks):
            drawn = pending.result()
            if index + 1 < len(blocks):
                pending = ahead.submit(draw, blocks[index + 1])
            for at in range(0, stop - start, config.worlds_at_once):
                worlds = drawn.select(range(at, min(at + config.worlds_at_once, stop - start))).to(place.device)
                yield worlds, sample_episodes(worlds, config.frames, base + start + at)


@torch.no_grad()
def render_frames(worlds: Worlds, poses: Tensor, place: Workplace, supersample: int) -> Tensor:
    """As `data.render.render` at the preset's size; on a GPU with a compiled pass of one shape."""
    video = place.preset.video
    if place.device.type != "cuda":
        return render(worlds, poses, video.height, video.width, supersample)
    batch, frames = poses.shape[:2]
    count = batch * frames
    # The last pass is filled up with frames from the start: another shape would be compiled anew.
    order = torch.arange(math.ceil(count / GPU_PASS) * GPU_PASS, device=place.device) % count
    flat = poses.to(place.device).flatten(0, 1)[order]
    images = [
        _compiled_pass()(worlds, world, seen, video.height, video.width, supersample)
        for world, seen in zip(torch.split(order // frames, GPU_PASS), torch.split(flat, GPU_PASS), strict=True)
    ]
    return split_dim(torch.cat(images)[:count], 0, (batch, frames))


@lru_cache(maxsize=1)
def _compiled_pass() -> Callable[..., Tensor]:
    return torch.compile(render_pass, dynamic=False)


def render_pool(config: RenderConfig, place: Workplace) -> FramePool:
    """Renders clips for `seconds`, or `clips` of them; at least one batch."""
    deadline = time.monotonic() + config.seconds
    batches: list[Tensor] = []
    for worlds, walk in walks(config, place, first_seed=place.seed):
        batches.append(render_frames(worlds, walk.poses, place, config.supersample))
        if place.device.type == "cuda":
            torch.cuda.synchronize(place.device)
        if time.monotonic() > deadline:
            break
    return FramePool(torch.cat(batches))


def held_out_clips(count: int, frames: int, place: Workplace) -> Tensor:
    """uint8 (count, frames, H, W, 3) of worlds that no training sees."""
    worlds, walk = held_out_walks(count, frames, place)
    return render(worlds, walk.poses, place.preset.video.height, place.preset.video.width)


def held_out_walks(count: int, frames: int, place: Workplace) -> tuple[Worlds, Walks]:
    """Worlds that no training sees, with an episode in each."""
    worlds = sample_worlds(range(HELD_OUT_FROM, HELD_OUT_FROM + count)).to(place.device)
    return worlds, sample_episodes(worlds, frames, HELD_OUT_FROM)
