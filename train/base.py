"""The base stage: flow matching on first and later clips, text encoder and transformer together.

Noise levels are drawn uniformly and shifted as the sampler's are; the velocity of the new latents is learned. Past and
memory are dropped together by training on first clips, memory alone by later clips without any, and the error buffer
puts the model's own mistakes into what it is given (model specification, section 9).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..model.clip import FIRST_CLIP_LATENTS, NEW_LATENTS
from .checkpoints import load_weights
from .clips import Clips, first_clips, later_clips
from .compiling import compile_blocks
from .error_buffer import ErrorBuffer, ErrorConfig
from .evaluate import EvaluationConfig, report
from .footage import LatentSet
from .latents import encode_episodes
from .muon import OptimizerConfig
from .progress import Budget, Progress, StageClock, write_metrics
from .prompts import VARIANTS, PromptTokens
from .rendering import RenderConfig
from .stage import Learner, Workplace, run
from .vae import running_encoder
from .world_model import WorldModel, add_noise, shifted, start_weights

STAGE = "base"


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


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseRecipe:
    """How the base model is trained."""

    budget: Budget
    render: RenderConfig
    batch: int
    optimizer: OptimizerConfig
    first_frames: tuple[int, ...] = (0, 40, 80)
    """Where first clips start in an episode."""
    mix: ClipMix = field(default_factory=ClipMix)
    errors: ErrorConfig = field(default_factory=ErrorConfig)
    ema: float = 0.998
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    evaluation_steps: int = 8
    finish_s: float = 30.0
    """Seconds that the last checkpoint and the measurements take."""


class ClipDraw:
    """Draws batches of clips from a latent set. All ranks draw the same kind at the same step."""

    def __init__(self, data: LatentSet, mix: ClipMix, null_tokens: Tensor, *, seed: int, rank: int) -> None:
        self.data = data
        self.mix = mix
        self.null_tokens = null_tokens.to(data.streams.device)
        self._first_frames = torch.tensor(data.first_frames, device=data.streams.device)
        self._kinds = torch.Generator().manual_seed(seed)
        self._generator = torch.Generator(data.streams.device).manual_seed(seed * 31 + rank + 1)

    def draw(self, batch: int) -> Clips:
        kind = float(torch.rand((), generator=self._kinds))
        if kind < self.mix.first:
            return self._nulled(self.first(batch), self.mix.null)
        if kind < self.mix.first + self.mix.memoryless:
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
        size = (self._uniform(batch) * torch.log(torch.tensor(float(self.mix.longest_gap)))).exp().long()
        return size * (self._uniform(batch) < self.mix.gap)

    def _nulled(self, clips: Clips, share: float) -> Clips:
        return clips.nulled(self._uniform(len(clips.start)) < share, self.null_tokens)

    def _variant(self, batch: int) -> Tensor:
        return self._below(len(VARIANTS), batch)

    def _below(self, limit: int, count: int) -> Tensor:
        return torch.randint(limit, (count,), generator=self._generator, device=self._generator.device)

    def _uniform(self, count: int) -> Tensor:
        return torch.rand(count, generator=self._generator, device=self._generator.device)


def train_base(recipe: BaseRecipe, place: Workplace, clock: StageClock) -> dict[str, Any]:
    """Trains, saves `base/weights*`, curves and strips; returns and writes the figures."""
    folder = place.folder(STAGE)
    prompts = PromptTokens(place.preset.text.text_len)
    data = training_latents(recipe.render, recipe.first_frames, prompts, place, clock)
    data_s = clock.elapsed_s
    model = WorldModel(place.preset)
    start_weights(model, place.generator("start"))
    learner = Learner(model.to(place.device), recipe.optimizer, recipe.ema, place)
    first_step = learner.resume(folder)
    running: Any = learner.trainee.running
    compile_blocks(running.transformer.blocks, place.device)
    draw = ClipDraw(data, recipe.mix, prompts.ids(""), seed=place.seed, rank=place.ranks.rank)
    flow = FlowMatching(recipe.errors, place, data.streams.shape)
    progress = Progress(STAGE, clock.budget(recipe.budget, recipe.finish_s), place.ranks, folder, first_step=first_step)

    def step(spent: float, scale: float) -> Mapping[str, Tensor]:
        clips = draw.draw(recipe.batch)
        loss = flow.loss(running, clips)
        norm = learner.learn(loss, scale)
        return {"loss": loss, kind_of(clips): loss, "grad": norm}

    run(progress, step, lambda number: learner.save(folder, number, {}))
    figures: dict[str, Any] = {
        "data_s": data_s,
        "episodes": len(data),
        "train_s": progress.elapsed_s,
        "steps": progress.step,
        "samples_per_s": recipe.batch * place.ranks.size / progress.step_s(),
        "loss": progress.rows[-1]["loss"] if progress.rows else float("nan"),
    }
    if place.ranks.is_first:
        average: Any = learner.ema.network
        figures |= report(average, recipe.evaluation, place, folder, STAGE, steps=recipe.evaluation_steps)
        write_metrics(folder / "base.json", figures)
    return figures


def training_latents(
    render: RenderConfig, first_frames: tuple[int, ...], prompts: PromptTokens, place: Workplace, clock: StageClock
) -> LatentSet:
    """Episodes as latents of the run's VAE."""
    return encode_episodes(render, first_frames, running_encoder(place), prompts, place, clock)


def load_model(place: Workplace, stage: str) -> WorldModel:
    """The averaged model of a stage, float32 on the device. Raises CheckpointError where there is none."""
    weights, _ = load_weights(place.out / stage)
    model = WorldModel(place.preset)
    model.load_state_dict(weights)
    return model.to(place.device)


def kind_of(clips: Clips) -> str:
    """Name of a batch's kind in logs."""
    if clips.latents.shape[2] == FIRST_CLIP_LATENTS:
        return "first"
    return "later" if clips.memory_frames else "memoryless"


class FlowMatching:
    """The loss, with the error buffer that it fills and draws from."""

    def __init__(
        self,
        errors: ErrorConfig,
        place: Workplace,
        stream_shape: torch.Size,
        *,
        levels: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        """`levels`: least and greatest noise level learned, shift included."""
        _, channels, _, height, width = stream_shape
        self.errors = errors
        self.shift = place.preset.sampling.shift
        # The inverse of the shift, so that levels within the range are as dense as in the whole.
        self.low, self.high = (level / (self.shift - (self.shift - 1.0) * level) for level in levels)
        self.generator = place.device_generator(STAGE)
        self.buffer = ErrorBuffer(errors, (channels, NEW_LATENTS, height, width), self.generator)

    def loss(self, model: WorldModel, clips: Clips) -> Tensor:
        """Mean squared error of the velocity of the new latents."""
        batch = len(clips.start)
        device = self.generator.device
        uniform = torch.rand(batch, generator=self.generator, device=device)
        sigma = shifted((self.low + (self.high - self.low) * uniform).clamp(min=1e-3), self.shift)
        noise = torch.randn(clips.new.shape, generator=self.generator, device=device)
        wrong = self._current_mistakes(clips, sigma)
        noisy = add_noise(clips.new + wrong, noise, sigma)
        seen = self._with_mistakes(clips)
        velocity = model(seen, noisy, sigma)
        level = sigma.view(-1, 1, 1, 1, 1)
        # The velocity that leads from the noisy sample to the true one, mistakes left behind.
        target = noise - clips.new + wrong * (1.0 - level) / level
        if clips.known > 1:
            self.buffer.put((noisy - level * velocity - clips.new).detach()[: self.errors.clips // 8])
        loss: Tensor = (velocity - target).square().mean()
        return loss

    def _current_mistakes(self, clips: Clips, sigma: Tensor) -> Tensor:
        """(B, C, N, h, w) for later clips; first clips have none."""
        if clips.known == 1:
            return torch.zeros_like(clips.new)
        drawn = self.buffer.draw(len(sigma), clips.new.shape[2], consecutive=True, share=self.errors.current)
        return drawn * (sigma >= self.errors.current_sigma_min).view(-1, 1, 1, 1, 1)

    def _with_mistakes(self, clips: Clips) -> Clips:
        """Past and memory with mistakes; a start image is encoded, not predicted, so it keeps its truth."""
        if clips.known == 1:
            return clips
        batch = len(clips.start)
        past = self.buffer.draw(batch, clips.known, consecutive=True, share=self.errors.given)
        latents = torch.cat([clips.latents[:, :, : clips.known] + past, clips.new], dim=2)
        memory = clips.memory
        if memory is not None:
            memory = memory + self.buffer.draw(batch, memory.shape[2], consecutive=False, share=self.errors.given)
        return replace(clips, latents=latents, memory=memory)
