"""The pruning stage: smaller decoders learn from the full one.

A decoder with a share of its channels gone starts from the strongest of the full decoder's channels and learns to draw
the same frames and the true ones, from the same latents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..model.vae import Decoder
from .autoencoder import WHOLE
from .autoencoder import start_weights as start_autoencoder
from .checkpoints import load_weights
from .compiling import quicken_vae, untuned
from .evaluation.metrics import psnr
from .frames import CropConfig, FramePool, draw_pixels, to_signed
from .muon import OptimizerConfig
from .picture_loss import PictureLossConfig, picture_loss
from .progress import Budget, Progress, StageClock, write_metrics
from .rendering import RenderConfig, footage, held_out_clips
from .stage import Learner, Workplace, run
from .vae import load_autoencoder

STAGE = "prune"


@dataclass(frozen=True, kw_only=True, slots=True)
class PruneRecipe:
    """How pruned decoders are trained; the budget is for each of them."""

    budget: Budget
    render: RenderConfig
    crops: tuple[CropConfig, ...]
    optimizer: OptimizerConfig
    rates: tuple[float, ...] = (0.5, 0.75)
    """Shares of the channels that go."""
    loss: PictureLossConfig = field(default_factory=PictureLossConfig)
    teacher: float = 0.5
    """Share of the loss that is the distance to the full decoder's frames rather than to the true ones."""
    ema: float = 0.995
    held_out_clips: int = 8
    held_out_frames: int = 133
    finish_s: float = 10.0
    """Seconds that checkpoint and measurement of each decoder take."""


def folder_name(rate: float) -> str:
    """Folder of a pruned decoder in the run's folder, such as 'prune50'."""
    return f"{STAGE}{round(100 * rate)}"


def train_prune(recipe: PruneRecipe, place: Workplace, clock: StageClock) -> dict[str, Any]:
    """Trains all pruned decoders, sharing the time evenly; saves `prune50/weights*` and so on; returns the figures."""
    pool = FramePool(footage(recipe.render, place, clock).frames)
    figures: dict[str, Any] = {"render_s": clock.elapsed_s}
    for left, rate in zip(range(len(recipe.rates), 0, -1), recipe.rates, strict=True):
        budget = clock.budget(recipe.budget, left * recipe.finish_s, parts=left)
        figures |= _train_one(recipe, place, pool, rate, budget)
    if place.ranks.is_first:
        write_metrics(place.out / "prune.json", figures)
    return figures


def _train_one(recipe: PruneRecipe, place: Workplace, pool: FramePool, rate: float, budget: Budget) -> dict[str, float]:
    name = folder_name(rate)
    folder = place.folder(name)
    teacher = load_autoencoder(place)
    student = Decoder(replace(place.preset.vae, pruning_rate=rate)).to(place.device)
    start_from(student, teacher.decoder)
    student.set_latent_stats(teacher.decoder.latents_mean.flatten(), teacher.decoder.latents_std.flatten())
    learner = Learner(student, recipe.optimizer, recipe.ema, place)
    first_step = learner.resume(folder)
    running: Any = learner.trainee.running
    teacher.to(place.dtype)
    for part in (running, teacher):
        quicken_vae(part, place.device)
    progress = Progress(name, budget, place.ranks, folder, first_step=first_step)
    generator = place.generator(name)

    def step(spent: float, scale: float) -> Mapping[str, Tensor]:
        learner.pace(scale)
        crop = next(crop for crop in recipe.crops if spent <= crop.until)
        video = pool.draw(crop, generator, place.dtype)
        with torch.no_grad():
            latents = teacher.coder.encode(video, piece_latents=WHOLE)
            goal = draw_pixels(teacher.decoder(latents, piece_latents=WHOLE)[0])
        made = draw_pixels(running(latents, piece_latents=WHOLE)[0])
        true = picture_loss(recipe.loss, made, draw_pixels(video))
        loss = (1 - recipe.teacher) * true + recipe.teacher * picture_loss(recipe.loss, made, goal)
        return {"loss": loss, "grad": learner.learn(loss)}

    run(progress, step, lambda number: learner.save(folder, number, {}))
    figures = {f"steps_{name}": float(progress.step)}
    if place.ranks.is_first:
        average: Any = learner.ema.network
        figures[f"psnr_{name}"] = measure(average, recipe, place)
    return figures


@torch.no_grad()
def measure(decoder: Decoder, recipe: PruneRecipe, place: Workplace) -> float:
    """PSNR in dB on held-out streams, of latents from the full encoder."""
    truth = held_out_clips(recipe.held_out_clips, recipe.held_out_frames, place)
    coder = load_autoencoder(place).coder
    scores = []
    with untuned():
        for clip in truth:
            video = to_signed(clip[None], torch.float32)
            made, _ = decoder.decode(coder.encode(video, piece_latents=4), piece_latents=4)
            scores.append(psnr(draw_pixels(made), draw_pixels(video)).mean())
    return float(torch.stack(scores).mean())


def load_pruned(place: Workplace, rate: float) -> Decoder:
    """A trained pruned decoder of the run, float32. Raises CheckpointError where there is none."""
    weights, _ = load_weights(place.out / folder_name(rate))
    decoder = Decoder(replace(place.preset.vae, pruning_rate=rate))
    decoder.load_state_dict(weights)
    return decoder


@torch.no_grad()
def start_from(student: nn.Module, teacher: nn.Module) -> None:
    """Copies the first channels of each of the teacher's weights, scaled to keep sums as large as they were."""
    start_autoencoder(student)
    given = dict(teacher.named_parameters())
    for name, param in student.named_parameters():
        source = given[name].detach()
        cut = source[tuple(slice(0, size) for size in param.shape)]
        fan_ratio = source[0].numel() / max(1, param[0].numel()) if param.ndim >= 4 else 1.0
        param.copy_(cut * min(fan_ratio, 4.0) ** 0.5)
