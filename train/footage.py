"""What a run makes of its worlds, kept for all its stages: rendered frames and latents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .clips import Episodes, join_episodes


@dataclass(frozen=True, kw_only=True, slots=True)
class Footage:
    """N rendered episodes on the training device."""

    frames: Tensor
    """(N, F, H, W, 3) uint8."""
    episodes: Episodes

    def __len__(self) -> int:
        return len(self.frames)

    def batches(self, size: int) -> list[Footage]:
        """The same episodes, `size` at a time."""
        rows = torch.split(torch.arange(len(self), device=self.frames.device), size)
        return [Footage(frames=self.frames[at[0] : at[-1] + 1], episodes=self.episodes.select(at)) for at in rows]


@dataclass(frozen=True, kw_only=True, slots=True)
class LatentSet:
    """N episodes with the latents of their whole streams, and of first clips that start within them."""

    episodes: Episodes
    streams: Tensor
    """(N, C, L, h, w)."""
    firsts: Tensor
    """(N, K, C, 15, h, w)."""
    first_frames: tuple[int, ...]
    """K frame numbers at which the first clips start."""
    memory: Tensor
    """(N, S, M) latents that the camera rule chooses for later clips that start at latent `earliest` + 0 … S - 1."""
    earliest: int

    def __len__(self) -> int:
        return len(self.episodes)


def join_latents(parts: Sequence[LatentSet]) -> LatentSet:
    """One set of all the parts' episodes; the parts agree in everything but what they hold."""
    return LatentSet(
        episodes=join_episodes([part.episodes for part in parts]),
        streams=torch.cat([part.streams for part in parts]),
        firsts=torch.cat([part.firsts for part in parts]),
        first_frames=parts[0].first_frames,
        memory=torch.cat([part.memory for part in parts]),
        earliest=parts[0].earliest,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Starts:
    """Where rollouts begin: episodes of which nothing but the first frame was rendered."""

    episodes: Episodes
    images: Tensor
    """(N, C, 1, h, w) latents of the first frames."""


@dataclass(kw_only=True, slots=True)
class Shelf:
    """What stages that run in one process leave for those after them."""

    footage: Footage | None = None
    latents: LatentSet | None = None
