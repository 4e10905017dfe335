"""Batches of clips drawn from a set of latents, mixed as training needs them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from .clips import Clips, first_clips, later_clips
from .footage import LatentSet
from .prompts import VARIANTS

Kind = Literal["first", "later", "memoryless"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipMix:
    """Which clips a batch is made of."""

    first: float = 0.2
    """Share of steps on first clips: past and memory dropped together."""
    memoryless: float = 0.1
    """Share of steps on later clips without memory."""
    null: float = 0.1
    """Share of clips with neutral actions and the negative prompt; in memoryless steps half of them, as guidance uses
    them without memory."""
    gap: float = 0.5
    """Share of later clips that are set later in time than they happened, so that memory may be far in the past."""
    longest_gap: int = 3000
    """Latents."""


class ClipDraw:
    """Draws batches of clips from a latent set. All ranks draw the same kind at the same step."""

    def __init__(self, data: LatentSet, mix: ClipMix, null_tokens: Tensor, *, seed: int, rank: int) -> None:
        self.data = data
        self.mix = mix
        self.null_tokens = null_tokens.to(data.streams.device)
        self._first_frames = torch.tensor(data.first_frames, device=data.streams.device)
        self._kinds = torch.Generator().manual_seed(seed)
        self.generator = torch.Generator(data.streams.device).manual_seed(seed * 31 + rank + 1)

    def next_kind(self) -> Kind:
        """Of the batch that comes next, by the shares of the mix."""
        number = float(torch.rand((), generator=self._kinds))
        if number < self.mix.first:
            return "first"
        return "memoryless" if number < self.mix.first + self.mix.memoryless else "later"

    def draw(self, kind: Kind, batch: int) -> Clips:
        """Clips of one kind; the host decides nothing."""
        if kind == "first":
            return self._nulled(self.first(batch), self.mix.null)
        if kind == "memoryless":
            return self._nulled(self.later(batch).without_memory(), 0.5)
        return self._nulled(self.later(batch), self.mix.null)

    def first(self, batch: int) -> Clips:
        rows = self._below(len(self.data), batch)
        at = self._below(len(self.data.first_frames), batch)
        variant = self._variant(batch)
        return first_clips(self.data.episodes, self.data.firsts[rows, at], rows, self._first_frames[at], variant)

    def later(self, batch: int) -> Clips:
        rows = self._below(len(self.data), batch)
        at = self._below(self.data.memory.shape[1], batch)
        start = self.data.earliest + at
        memory = self.data.memory[rows, at]
        clips = later_clips(self.data.episodes, self.data.streams, rows, start, self._variant(batch), memory)
        return replace(clips, start=clips.start + self._gap(batch))

    def _gap(self, batch: int) -> Tensor:
        """Latents by which clips are moved away from their memory, evenly on a log scale."""
        size = (self._uniform(batch) * math.log(self.mix.longest_gap)).exp().long()
        return size * (self._uniform(batch) < self.mix.gap)

    def _nulled(self, clips: Clips, share: float) -> Clips:
        return clips.nulled(self._uniform(len(clips.start)) < share, self.null_tokens)

    def _variant(self, batch: int) -> Tensor:
        return self._below(len(VARIANTS), batch)

    def _below(self, limit: int, count: int) -> Tensor:
        return torch.randint(limit, (count,), generator=self.generator, device=self.generator.device)

    def _uniform(self, count: int) -> Tensor:
        return torch.rand(count, generator=self.generator, device=self.generator.device)
