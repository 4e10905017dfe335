"""The VAE stage: an autoencoder learns to draw the worlds' frames again, then its latents are measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..model.vae import Encoder
from .autoencoder import WHOLE, Autoencoder
from .checkpoints import STATE, load_weights
from .compiling import quicken_vae, untuned
from .evaluation.metrics import psnr
from .frames import CropConfig, FramePool, draw_pixels, to_signed
from .muon import OptimizerConfig
from .picture_loss import PictureLossConfig, picture_loss
from .pictures import save_strip, to_uint8
from .progress import Budget, Progress, StageClock, write_metrics
from .rendering import RenderConfig, footage, held_out_clips
from .stage import Learner, Workplace, run

STAGE = "vae"
LONG_STREAM_FRAMES = 133
LATE_FRAMES = slice(93, 133)
STATS_FRAMES = 65


@dataclass(frozen=True, kw_only=True, slots=True)
class VAERecipe:
    """How the autoencoder is trained."""

    budget: Budget
    """Of training alone, where the stage as a whole has no bound; rendering has its own."""
    render: RenderConfig
    crops: tuple[CropConfig, ...]
    optimizer: OptimizerConfig
    loss: PictureLossConfig = field(default_factory=PictureLossConfig)
    kl: float = 5e-5
    """Of the divergence of a latent number, of which there is one for 192 of the pixels' numbers: it allows noise that
    costs about 0.02 dB at 30 dB."""
    ema: float = 0.998
    held_out_clips: int = 8
    held_out_frames: int = LONG_STREAM_FRAMES
    stats_clips: int = 48
    """Clips whose latents are measured at each checkpoint."""
    finish_s: float = 20.0
    """Seconds that the last checkpoint and the measurements take."""


def train_vae(recipe: VAERecipe, place: Workplace, clock: StageClock, *, encoder_fixed: bool = False) -> dict[str, Any]:
    """Trains, saves `vae/weights*`, curves and a strip; returns and writes the figures.

    With `encoder_fixed` only the decoder of weights that are there learns: latents and their statistics stay, and so
    do the models that were trained on them. Raises CheckpointError where there are no such weights.
    """
    folder = place.folder(STAGE)
    fixed_stats = load_weights(folder)[1] if encoder_fixed else None
    if encoder_fixed:
        # An optimizer's state is that of the whole network or of none.
        (folder / STATE).unlink(missing_ok=True)
        place = replace(place, keep_state=False)
    else:
        # Latents of another encoder are of no use after this.
        place.shelf.latents = None
    pool = FramePool(footage(recipe.render, place, clock).frames)
    rendered_s = clock.elapsed_s
    autoencoder = Autoencoder(place.preset.vae).to(place.device)
    autoencoder.coder.requires_grad_(not encoder_fixed)
    learner = Learner(autoencoder, recipe.optimizer, recipe.ema, place)
    first_step = learner.resume(folder)
    network: Any = learner.trainee.running
    average: Any = learner.ema.network
    quicken_vae(network, place.device)
    progress = Progress(STAGE, clock.budget(recipe.budget, recipe.finish_s), place.ranks, folder, first_step=first_step)
    generator = place.generator(STAGE)

    def step(spent: float, scale: float) -> Mapping[str, Tensor]:
        learner.pace(scale)
        crop = next(crop for crop in recipe.crops if spent <= crop.until)
        video = pool.draw(crop, generator, place.dtype)
        noise = torch.randn(network.latent_shape(video), device=place.device)
        made, divergence = network(video, noise)
        picture = picture_loss(recipe.loss, draw_pixels(made), draw_pixels(video))
        norm = learner.learn(picture + recipe.kl * divergence)
        with torch.no_grad():
            quality = psnr(draw_pixels(made), draw_pixels(video)).mean()
        return {"loss": picture, "kl": divergence, "psnr": quality, "grad": norm}

    def save(number: int) -> None:
        if not place.ranks.is_first:
            return
        stats = fixed_stats
        if stats is None:
            mean, std = latent_stats(average, pool, recipe.stats_clips)
            stats = {"latents_mean": mean, "latents_std": std}
        learner.save(folder, number, stats)

    run(progress, step, save)
    figures: dict[str, Any] = {
        "render_s": rendered_s,
        "pool_frames": pool.num_frames,
        "train_s": progress.elapsed_s,
        "steps": progress.step,
        "frames_per_s": _speeds(recipe, progress),
    }
    if place.ranks.is_first:
        figures |= measure(average, recipe, place)
        write_metrics(folder / "vae.json", figures)
    return figures


def _speeds(recipe: VAERecipe, progress: Progress) -> list[float]:
    """Median frames a second of each kind of crop."""
    bounds = [0.0, *(crop.until for crop in recipe.crops)]
    return [
        crop.clips * crop.frames / progress.step_s(start, stop)
        for crop, start, stop in zip(recipe.crops, bounds, bounds[1:], strict=False)
    ]


def running_encoder(place: Workplace) -> Encoder:
    """The trained encoder in the training dtype; what normalises its latents stays float32."""
    coder = load_autoencoder(place).coder
    mean, std = coder.latents_mean, coder.latents_std
    coder.to(place.dtype)
    quicken_vae(coder, place.device)
    coder.latents_mean, coder.latents_std = mean, std
    return coder


def load_autoencoder(place: Workplace) -> Autoencoder:
    """The trained autoencoder of a run, float32, with its latent statistics set. Raises CheckpointError without one."""
    weights, meta = load_weights(place.out / STAGE)
    network = Autoencoder(place.preset.vae)
    network.load_state_dict(weights)
    for half in (network.coder, network.decoder):
        half.set_latent_stats(meta["latents_mean"], meta["latents_std"])
    return network.to(place.device).eval().requires_grad_(False)


@torch.no_grad()
def latent_stats(network: Autoencoder, pool: FramePool, clips: int) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each latent channel over the first frames of some clips of the pool."""
    frames = min(STATS_FRAMES, pool.clips.shape[1])
    videos = (to_signed(clip[None], torch.float32) for clip in pool.clips[:clips, :frames])
    with untuned():
        parts = [network.coder(video, piece_latents=WHOLE)[0] for video in videos]
    latents = torch.cat(parts).float().transpose(0, 1).flatten(1)
    return latents.mean(dim=1).tolist(), latents.std(dim=1).clamp(min=1e-4).tolist()


@torch.no_grad()
def measure(network: Autoencoder, recipe: VAERecipe, place: Workplace) -> dict[str, float]:
    """PSNR on held-out worlds over whole streams and late in them; draws a strip of truth above reconstruction."""
    truth = held_out_clips(recipe.held_out_clips, recipe.held_out_frames, place)
    with untuned():
        made = torch.cat([network.reconstruct(to_signed(clip[None], torch.float32)) for clip in truth])
    quality = psnr(made.transpose(1, 2), to_signed(truth, torch.float32).transpose(1, 2))
    at = torch.linspace(0, truth.shape[1] - 1, 6).long()
    rows = [
        frames
        for t, m in list(zip(truth, made, strict=True))[:4]
        for frames in (t[at].cpu().numpy(), to_uint8(m[:, at].transpose(0, 1)))
    ]
    save_strip(rows, place.folder(STAGE) / "vae-strip.png")
    late = quality[:, LATE_FRAMES] if quality.shape[1] >= LATE_FRAMES.stop else quality[:, -4:]
    return {"psnr": float(quality.mean()), "psnr_late": float(late.mean()), "psnr_first": float(quality[:, 0].mean())}
