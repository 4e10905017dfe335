"""Held-out worlds with a place to start from, and what the model's camera truly sees from there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...errors import InputError
from ...model.preset import VideoConfig
from ..data.motion import place
from ..data.paths import sample_episodes, scripted
from ..data.prompts import Detail, compose
from ..data.render import frames_in_pass, render_pass
from ..data.worlds import HELD_OUT_FROM, Worlds, sample_worlds
from .moves import Moves, is_reversible
from .visibility import seen_from

TRIES = 200
"""Worlds tried for a script before giving up."""
_SUPERSAMPLE = 2
_EPISODES = 16
"""Paths drawn in a world, of which the liveliest is walked."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scene:
    """One world and where its player starts."""

    world: Worlds
    """A batch of one."""
    start: Tensor
    """(5,) world pose of frame 0."""
    video: VideoConfig

    @property
    def seed(self) -> int:
        """Of the world, and of the noise that a rollout of it starts from."""
        return self.world.seeds[0]

    @property
    def number(self) -> int:
        """Of the world among the held-out ones."""
        return self.seed - HELD_OUT_FROM

    @property
    def prompt(self) -> str:
        return compose(self.world.attributes[0], Detail.LONG, self.seed)

    @property
    def image(self) -> npt.NDArray[np.uint8]:
        """(H, W, 3) what the player sees first."""
        image: npt.NDArray[np.uint8] = self.truth(np.zeros((1, 5), np.float32))[0].numpy()
        return image

    def in_world(self, poses: npt.NDArray[np.float32]) -> Tensor:
        """World poses (F, 5) of model poses (F, 5), which count from the start."""
        return place(self.start.cpu(), torch.from_numpy(np.ascontiguousarray(poses, np.float32)))

    def truth(self, poses: npt.NDArray[np.float32], shrink: int = 1) -> Tensor:
        """(F, H, W, 3) uint8 frames on the CPU at model poses (F, 5), at 1/shrink of the video's height and width."""
        height, width = self.video.height // shrink, self.video.width // shrink
        different, which = np.unique(poses, axis=0, return_inverse=True)
        at_once = frames_in_pass(self.world.device, height * width * _SUPERSAMPLE**2)
        parts = torch.split(self.in_world(different).to(self.world.device), at_once)
        worlds = [torch.zeros(len(part), dtype=torch.long, device=part.device) for part in parts]
        frames = [
            render_pass(self.world, world, part, height, width, _SUPERSAMPLE)
            for world, part in zip(worlds, parts, strict=True)
        ]
        return torch.cat(frames).cpu()[torch.from_numpy(which)]

    def seen(self, poses: npt.NDArray[np.float32], shrink: int = 1) -> Tensor:
        """(F, H, W) bool on the CPU: what of each frame the start image shows."""
        size = self.video.height // shrink, self.video.width // shrink
        return seen_from(self.world, self.start, self.in_world(poses), *size).cpu()


def scenes_for_script(
    moves: Moves, number: int, seed: int, video: VideoConfig, device: torch.device, *, tries: int = TRIES
) -> list[Scene]:
    """The first `number` held-out worlds from `seed` on in which the script touches no wall, where it fits best.

    Raises InputError if there are too few among `tries` worlds.
    """
    keyboard, mouse = torch.from_numpy(moves.keyboard.copy()), torch.from_numpy(moves.mouse.copy())

    def fit(world: Worlds) -> Tensor | None:
        try:
            return scripted(world, keyboard, mouse, seed=world.seeds[0]).poses[0, 0]
        except InputError:
            return None

    scenes = list(islice(_scenes(fit, seed, video, device, tries), number))
    if len(scenes) < number:
        raise InputError(
            f"a script of {len(moves)} frames fits into {len(scenes)} of {tries} worlds, {number} are asked for",
            hint="Ask for fewer worlds.",
        )
    return scenes


def scenes_to_explore(
    number: int, frames: int, seed: int, video: VideoConfig, device: torch.device
) -> list[tuple[Scene, Moves]]:
    """Held-out worlds from `seed` on, each with the liveliest of some collision-free paths of so many frames that can
    be walked back."""
    paths: list[Moves] = []

    def explore(world: Worlds) -> Tensor | None:
        drawn = sample_episodes(world.select([0] * _EPISODES), frames, world.seeds[0])
        steps = drawn.poses.diff(dim=1)
        liveliness = steps[..., :2].norm(dim=-1).sum(1) + steps[..., 4].abs().clamp(max=30).sum(1)
        for best in liveliness.argsort(descending=True).tolist():
            path = Moves(keyboard=drawn.keyboard[best].cpu().numpy(), mouse=drawn.mouse[best].cpu().numpy())
            if is_reversible(path):
                paths.append(path)
                return drawn.poses[best, 0]
        return None

    return list(zip(islice(_scenes(explore, seed, video, device), number), paths, strict=True))


def others_like(scene: Scene, number: int) -> list[Scene]:
    """Other held-out worlds of the same kind, each from a clear place of its own."""
    kind = scene.world.attributes[0].kind

    def fit(world: Worlds) -> Tensor | None:
        if world.attributes[0].kind != kind:
            return None
        return sample_episodes(world, 33, world.seeds[0]).poses[0, 0]

    first = scene.number + TRIES
    return list(islice(_scenes(fit, first, scene.video, scene.world.device), number))


def _scenes(
    fit: Callable[[Worlds], Tensor | None], seed: int, video: VideoConfig, device: torch.device, tries: int = TRIES
) -> Iterator[Scene]:
    for number in islice(count(HELD_OUT_FROM + seed), tries):
        world = sample_worlds([number], device)
        start = fit(world)
        if start is not None:
            yield Scene(world=world, start=start, video=video)
