"""Samples of procedural worlds: what `worldloom data render` writes and what evaluation compares with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch

from ...errors import ConfigError
from ...model.poses import extrinsics_of, intrinsics_of
from .paths import Episodes, sample_episodes
from .prompts import Detail, compose
from .render import render
from .sample import Sample
from .worlds import HELD_OUT_FROM, Worlds, sample_worlds

FRAMES_PER_SECOND = 40.0
"""The model's rate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RenderConfig:
    """Which episodes to render."""

    first_seed: int = 0
    worlds: int = 64
    """Worlds from `first_seed` on; the four kinds take turns."""
    episodes_per_world: int = 1
    frames: int = 161
    height: int = 128
    width: int = 224
    supersample: int = 2
    seed: int = 0
    """Of the paths."""

    def __post_init__(self) -> None:
        smallest = min(self.worlds, self.episodes_per_world, self.supersample, self.height // 8, self.width // 8)
        if smallest < 1 or self.frames < 2 or self.first_seed < 0:
            raise ConfigError(
                f"cannot render {self.worlds} worlds × {self.episodes_per_world} episodes of {self.frames} frames at "
                f"{self.height}×{self.width}",
                hint="at least one world and episode, two frames and 8×8 pixels are needed",
            )
        if self.first_seed < HELD_OUT_FROM < self.first_seed + self.worlds:
            raise ConfigError(
                f"seeds {self.first_seed} … {self.first_seed + self.worlds - 1} mix training and held-out worlds",
                hint=f"stay below {HELD_OUT_FROM} or start there",
            )

    @property
    def num_samples(self) -> int:
        return self.worlds * self.episodes_per_world

    def recipe(self) -> dict[str, object]:
        """What decides the content, for a data set's manifest."""
        return {"source": "rendered", **asdict(self)}


def render_samples(
    config: RenderConfig, start: int, stop: int, device: torch.device | str = "cpu", *, workers: int = 0
) -> Iterator[Sample]:
    """Samples start … stop − 1 of the episodes that a config describes; each depends on its own number only."""
    numbers = range(start, min(stop, config.num_samples))
    seeds = sorted({config.first_seed + number // config.episodes_per_world for number in numbers})
    worlds = sample_worlds(seeds, device, workers=workers)
    for number in numbers:
        seed = config.first_seed + number // config.episodes_per_world
        world = worlds.select([seeds.index(seed)])
        turn = number % config.episodes_per_world
        episode = sample_episodes(world, config.frames, path_seed(config.seed, seed, turn))
        yield to_sample(world, episode, config, f"world-{seed:07d}-{turn:03d}")


def path_seed(seed: int, world_seed: int, turn: int) -> int:
    """Seed of one episode's path."""
    return (seed * 1_000_003 + world_seed) * 1_009 + turn


def to_sample(world: Worlds, episode: Episodes, config: RenderConfig, key: str) -> Sample:
    """Renders the one episode of one world."""
    frames = render(world, episode.poses, config.height, config.width, config.supersample)[0]
    poses = episode.model_poses[0].cpu().numpy()
    seed, attributes = world.seeds[0], world.attributes[0]
    return Sample(
        key=key,
        frames=frames.cpu().numpy(),
        poses=poses,
        extrinsics=extrinsics_of(poses).astype("float32"),
        intrinsics=intrinsics_of(config.height, config.width).astype("float32"),
        keyboard=episode.keyboard[0].cpu().numpy(),
        mouse=episode.mouse[0].cpu().numpy(),
        prompts=tuple(compose(attributes, detail, seed) for detail in Detail),
        frames_per_second=FRAMES_PER_SECOND,
        source="rendered",
        meta={
            "world_seed": seed,
            "held_out": seed >= HELD_OUT_FROM,
            "kind": attributes.kind,
            "time": attributes.time,
            "start": [float(value) for value in episode.poses[0, 0]],
        },
    )
