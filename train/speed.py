"""How fast the parts of training run on this machine: what plans and recipes are made from."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .autoencoder import Autoencoder
from .compiling import channels_last, compile_blocks, quicken_vae
from .data.render import frames_in_pass, reference_pass, render
from .flow import FlowMatching
from .frames import CropConfig, FramePool, draw_pixels
from .latents import encode
from .picture_loss import picture_loss
from .recipe import Recipe
from .rendering import render_frames, walks
from .replay import WARM_UP, Replay
from .stage import Learner, Workplace
from .warm import any_clips
from .world_model import WorldModel, start_weights

REPEATS = 3
FRAMES = 12
"""Of each episode that are rendered at a time."""


def measure_speed(recipe: Recipe, place: Workplace) -> dict[str, Any]:
    """Frames a second of rendering, encoding and autoencoder steps, plain and quickened, and clips a second of the
    transformer's; first calls apart, because they compile."""
    figures: dict[str, Any] = {}
    config = replace(recipe.vae.render, clips=recipe.vae.render.at_once)
    started = time.monotonic()
    worlds, walk = next(iter(walks(config, place, first_seed=place.seed)))
    figures["first_worlds_s"] = time.monotonic() - started
    video = place.preset.video
    supersample = config.supersample
    size = (video.height, video.width, supersample)
    seen = walk.poses[:, :FRAMES].to(place.device)
    a_pass = frames_in_pass(place.device, video.height * video.width * supersample**2)
    world = torch.arange(len(worlds), device=place.device).repeat_interleave(FRAMES)[:a_pass]
    poses = seen.flatten(0, 1)[: len(world)]
    figures |= _timed("render_pytorch", lambda: reference_pass(worlds, world, poses, *size), len(world), place)
    figures |= _timed("render", lambda: render(worlds, seen, *size), FRAMES * len(worlds), place)
    pool = FramePool(render_frames(worlds, walk.poses, place, supersample))
    for name in ("plain", "channels_last", "quick"):
        figures |= _vae_step(f"vae_{name}", name, recipe.vae.crops[-1], recipe, place, pool)
    encoder = Autoencoder(place.preset.vae).to(place.device).coder.to(place.dtype)
    quicken_vae(encoder, place.device)
    figures |= _timed("encode", lambda: encode(encoder, pool.clips), pool.num_frames, place)
    for name in ("launched", "recorded", "compiled"):
        figures |= _transformer_step(f"base_{name}", name, recipe, place)
    return figures


def _transformer_step(label: str, name: str, recipe: Recipe, place: Workplace) -> dict[str, float]:
    """On later clips, which have most tokens."""
    draw = any_clips(place.preset, place.device)
    model = WorldModel(place.preset)
    start_weights(model, place.generator(label))
    learner = Learner(model.to(place.device), recipe.base.optimizer, recipe.base.ema, place)
    running: Any = learner.trainee.running
    if name == "compiled":
        compile_blocks(running.transformer.blocks, place.device)
    flow = FlowMatching(recipe.base.errors, place, draw.data.streams.shape, salt=label)
    replay = Replay(place.device, [draw.generator, flow.generator], recording=name != "launched")

    def learn() -> Mapping[str, Tensor]:
        return {"grad": learner.learn(flow.loss(running, draw.draw("later", recipe.base.batch)))}

    def step() -> None:
        learner.pace(0.1)
        replay("later", learn)

    return _timed(label, step, recipe.base.batch, place, unit="clips")


def _vae_step(
    label: str, name: str, crop: CropConfig, recipe: Recipe, place: Workplace, pool: FramePool
) -> dict[str, float]:
    learner = Learner(Autoencoder(place.preset.vae).to(place.device), recipe.vae.optimizer, recipe.vae.ema, place)
    network: Any = learner.trainee.running
    if name == "channels_last":
        channels_last(network)
    elif name == "quick":
        quicken_vae(network, place.device)
    generator = place.generator(label)

    def step() -> None:
        clip = pool.draw(crop, generator, place.dtype)
        made, divergence = network(clip, torch.randn(network.latent_shape(clip), device=place.device))
        learner.pace(0.1)
        learner.learn(picture_loss(recipe.vae.loss, draw_pixels(made), draw_pixels(clip)) + divergence * 1e-6)

    return _timed(label, step, crop.clips * crop.frames, place)


def _timed(
    label: str, run: Callable[[], object], number: int, place: Workplace, *, unit: str = "frames"
) -> dict[str, float]:
    def once() -> float:
        started = time.monotonic()
        run()
        if place.device.type == "cuda":
            torch.cuda.synchronize(place.device)
        return time.monotonic() - started

    first = once()
    for _ in range(WARM_UP):
        once()
    seconds = statistics.median(once() for _ in range(REPEATS))
    return {f"{label}_first_s": first, f"{label}_{unit}_per_s": number / seconds}
