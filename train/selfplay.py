"""Rollouts of many worlds at once: the model goes on from its own latents, as it does when it serves.

Segment 0 is the first clip, segment k ≥ 1 adds latents 10k+5 … 10k+14 and sees as past and memory what the rollout has
made so far.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.clip import FIRST_CLIP_FRAMES, FIRST_CLIP_LATENTS, NEW_FRAMES, NEW_LATENTS
from .clips import Clips, Episodes, first_clips, later_clips
from .retrieval import retrieve
from .world_model import WorldModel, sample


@dataclass(frozen=True, kw_only=True, slots=True)
class Solver:
    """How a rollout denoises."""

    steps: int
    shift: float
    guidance: float = 1.0
    null_tokens: Tensor | None = None


Remember = Callable[[Clips], Clips]
"""Changes what a later clip sees of the past, for comparisons."""


def frames_needed(segments: int) -> int:
    """Frames that an episode must have for so many segments."""
    return FIRST_CLIP_FRAMES + NEW_FRAMES * (segments - 1)


def segment_clips(episodes: Episodes, stream: Tensor, index: int, variant: Tensor) -> Clips:
    """The clips of segment `index` in B episodes, whose latents so far are `stream` (B, C, n, h, w)."""
    rows = torch.arange(len(episodes), device=stream.device)
    if index == 0:
        padded = F.pad(stream[:, :, :1], (0, 0, 0, 0, 0, FIRST_CLIP_LATENTS - 1))
        return first_clips(episodes, padded, rows, torch.zeros_like(rows), variant)
    latest = NEW_LATENTS * index + 1
    start = torch.full_like(rows, latest)
    memory_idx = retrieve(episodes.extrinsics, start, latest=latest)
    return later_clips(episodes, stream, rows, start, variant, memory_idx)


@torch.no_grad()
def roll(
    model: WorldModel,
    episodes: Episodes,
    images: Tensor,
    segments: int,
    solver: Solver,
    generator: torch.Generator,
    *,
    variant: int = 0,
    remember: Remember = lambda clips: clips,
) -> Tensor:
    """Latents (B, C, 15 + 10(segments - 1), h, w), float32, of worlds that start at image latents (B, C, 1, h, w)."""
    stream = images.float()
    variants = torch.full((len(episodes),), variant, device=images.device)
    for index in range(segments):
        clips = remember(segment_clips(episodes, stream, index, variants))
        noise = torch.randn(clips.new.shape, generator=generator, device=images.device)
        new = sample(
            model,
            clips,
            noise,
            steps=solver.steps,
            shift=solver.shift,
            guidance=solver.guidance,
            null_tokens=solver.null_tokens,
        )
        stream = torch.cat([stream, new], dim=2)
    return stream
