"""Rollouts of many held-out worlds at once, at the end of a training stage: against rendered truth, against what was
asked, by eye. The other measurements play one world at a time, as the service does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...model.clip import FIRST_CLIP_FRAMES, NEW_FRAMES
from ...model.layout import split_dim
from ...model.vae import Decoder, Encoder
from ..clips import Episodes
from ..compiling import untuned
from ..data.motion import integrate, place
from ..data.paths import Episodes as Walks
from ..data.paths import scripted
from ..data.render import render
from ..data.worlds import HELD_OUT_FROM, Worlds, sample_worlds
from ..frames import to_signed
from ..latents import encode
from ..pictures import save_strip, to_uint8
from ..prompts import PromptTokens
from ..rendering import episodes_of, held_out_walks
from ..selfplay import Solver, frames_needed, roll
from ..stage import Workplace
from ..vae import load_autoencoder
from ..world_model import WorldModel
from .control import ACTIONS, star
from .metrics import psnr, sharpness, ssim
from .moves import Moves

LAST_FRAMES = 4
"""Frames at a trial's end that are compared."""
Frames = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationConfig:
    """How much is evaluated after a stage."""

    worlds: int = 8
    segments: int = 3
    control_worlds: int = 8
    supersample: int = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class TestWorlds:
    """Held-out worlds with an episode each and its rendered frames."""

    worlds: Worlds
    episodes: Episodes
    frames: Tensor
    """(B, F, H, W, 3) uint8."""


def walk_worlds(
    worlds: Worlds, walk: Walks, prompts: PromptTokens, place_: Workplace, supersample: int = 2
) -> TestWorlds:
    video = place_.preset.video
    frames = render(worlds, walk.poses, video.height, video.width, supersample)
    return TestWorlds(worlds=worlds, episodes=episodes_of(worlds, walk, prompts), frames=frames)


@torch.no_grad()
def decode(decoder: Decoder, latents: Tensor) -> Tensor:
    """Frames (B, F, 3, H, W) in [-1, 1] of latents (B, C, n, h, w), one stream after another."""
    dtype = next(decoder.parameters()).dtype
    streams = [decoder.decode(stream[None].to(dtype), piece_latents=4)[0] for stream in latents]
    return torch.cat(streams).float().transpose(1, 2)


@torch.no_grad()
def against_truth(
    model: WorldModel, encoder: Encoder, decoder: Decoder, test: TestWorlds, segments: int, solver: Solver, seed: int
) -> tuple[dict[str, float], Tensor]:
    """PSNR and SSIM per chunk of rollouts against the rendered truth, beside those of a frozen first frame; and the
    frames (B, F, 3, H, W)."""
    generator = torch.Generator(test.frames.device).manual_seed(seed)
    images = encode(encoder, test.frames[:, :1])
    made = decode(decoder, roll(model, test.episodes, images, segments, solver, generator))
    truth = to_signed(test.frames[:, : made.shape[1]], torch.float32).transpose(1, 2)
    figures: dict[str, float] = {}
    start = 0
    for chunk in range(segments):
        stop = FIRST_CLIP_FRAMES + NEW_FRAMES * chunk
        part = slice(start, stop)
        figures[f"psnr_chunk{chunk}"] = float(psnr(made[:, part], truth[:, part]).mean())
        figures[f"ssim_chunk{chunk}"] = float(ssim(made[:, part], truth[:, part]).mean())
        frozen = truth[:, start : start + 1].expand_as(truth[:, part])
        figures[f"sharpness_chunk{chunk}"] = float(sharpness(made[:, part]).mean() / sharpness(truth[:, part]).mean())
        figures[f"psnr_frozen_chunk{chunk}"] = float(psnr(frozen, truth[:, part]).mean())
        start = stop
    return figures, made


@torch.no_grad()
def control(
    model: WorldModel,
    encoder: Encoder,
    decoder: Decoder,
    prompts: PromptTokens,
    place_: Workplace,
    solver: Solver,
    *,
    config: EvaluationConfig,
    seed: int,
) -> tuple[dict[str, object], list[Frames]]:
    """Share of trials in which the generated view matches the truth of the asked action best of all.

    Returns figures, and for each action a row of start, truth and generated view of the first world.
    """
    seeds = range(HELD_OUT_FROM + 500, HELD_OUT_FROM + 500 + config.control_worlds)
    held_out = sample_worlds(seeds).to(place_.device)
    fits = star()
    script = scripted(held_out, torch.from_numpy(fits.keyboard.copy()), torch.from_numpy(fits.mouse.copy()))
    starts = script.poses[:, :1]
    trials = [_walk(held_out, starts[:, 0], moves.filled(FIRST_CLIP_FRAMES)) for moves in ACTIONS.values()]
    video = place_.preset.video
    # One frame of the start, then the last four of each action.
    poses = torch.cat([starts, *(walk.poses[:, -LAST_FRAMES:] for walk in trials)], dim=1)
    frames = render(held_out, poses, video.height, video.width, config.supersample)
    truths = to_signed(frames[:, 1:], torch.float32).transpose(1, 2)
    truths = split_dim(truths, 1, (len(ACTIONS), LAST_FRAMES))
    images = encode(encoder, frames[:, :1])
    hits: dict[str, object] = {}
    rows = []
    for number, (action, walk) in enumerate(zip(ACTIONS, trials, strict=True)):
        generator = torch.Generator(place_.device).manual_seed(seed)
        stream = roll(model, episodes_of(held_out, walk, prompts), images, 1, solver, generator)
        made = decode(decoder, stream)[:, -LAST_FRAMES:]
        scores = psnr(made[:, None].expand_as(truths), truths).mean(dim=-1)
        hits[f"control_{action}"] = float((scores.argmax(dim=1) == number).float().mean())
        true = frames[0, LAST_FRAMES * (number + 1)].cpu().numpy()
        rows.append(np.stack([frames[0, 0].cpu().numpy(), true, to_uint8(made[0, -1])]))
    hits["control"] = float(np.mean([hits[f"control_{action}"] for action in ACTIONS]))
    return hits, rows


def _walk(worlds: Worlds, start: Tensor, moves: Moves) -> Walks:
    """The same moves in all worlds, from world poses (B, 5)."""
    keyboard, mouse = (
        torch.from_numpy(rows.copy()).to(start.device).expand(len(worlds), -1, -1)
        for rows in (moves.keyboard, moves.mouse)
    )
    poses = integrate(keyboard, mouse)
    return Walks(keyboard=keyboard, mouse=mouse, poses=place(start, poses), model_poses=poses)


def save_rollout_strip(test: TestWorlds, made: Tensor, path: Path, *, worlds: int = 4, columns: int = 10) -> None:
    """Truth above rollout for the first worlds, evenly over the length."""
    at = torch.linspace(0, made.shape[1] - 1, columns).long()
    rows = []
    for world in range(min(worlds, len(made))):
        rows += [test.frames[world, at.to(test.frames.device)].cpu().numpy(), to_uint8(made[world, at.to(made.device)])]
    save_strip(rows, path)


def report(
    model: WorldModel, config: EvaluationConfig, place_: Workplace, folder: Path, name: str, *, steps: int
) -> dict[str, object]:
    """Rollouts of held-out worlds against their truth, and the control check; draws `<name>-strip.png` and
    `<name>-control.png`."""
    prompts = PromptTokens(place_.preset.text.text_len)
    autoencoder = load_autoencoder(place_)
    encoder, decoder = autoencoder.coder, autoencoder.decoder
    solver = Solver(steps=steps, shift=place_.preset.sampling.shift)
    with untuned():
        test = held_out_test(config, prompts, place_)
        figures, made = against_truth(model, encoder, decoder, test, config.segments, solver, place_.seed)
        save_rollout_strip(test, made, folder / f"{name}-strip.png")
        hits, rows = control(model, encoder, decoder, prompts, place_, solver, config=config, seed=place_.seed)
    save_strip(rows, folder / f"{name}-control.png")
    return {**figures, **hits}


def held_out_test(config: EvaluationConfig, prompts: PromptTokens, place_: Workplace) -> TestWorlds:
    """Held-out worlds with episodes as long as the rollouts."""
    drawn, walk = held_out_walks(config.worlds, frames_needed(config.segments), place_)
    return walk_worlds(drawn, walk, prompts, place_, config.supersample)
