"""Episodes as latents: rendered, encoded and kept on the device, ready to be cut into clips."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from ..model.clip import FIRST_CLIP_FRAMES
from ..model.vae import Encoder
from .clips import Episodes, extrinsics_from
from .data.paths import Episodes as Walks
from .data.worlds import Worlds
from .frames import to_signed
from .prompts import PromptTokens
from .rendering import RenderConfig, render_frames, walks
from .stage import Workplace

STARTS_SEED = 50_000
"""Worlds of rollouts have seeds this far from those of episodes."""
ENCODED_AT_ONCE = 16
"""Streams that the encoder takes together."""


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

    def __len__(self) -> int:
        return len(self.episodes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Starts:
    """Where rollouts begin: episodes of which nothing but the first frame was rendered."""

    episodes: Episodes
    images: Tensor
    """(N, C, 1, h, w) latents of the first frames."""


@torch.no_grad()
def encode_starts(config: RenderConfig, encoder: Encoder, prompts: PromptTokens, place: Workplace) -> Starts:
    """The first frames of `config.clips` episodes, in worlds of their own."""
    episodes, images = [], []
    for worlds, walk in walks(config, place, first_seed=place.seed + STARTS_SEED):
        frames = render_frames(worlds, walk.poses[:, :1], place, config.supersample)
        images.append(encode(encoder, frames))
        episodes.append(episodes_of(worlds, walk, prompts))
    return Starts(episodes=_joined_episodes(episodes), images=torch.cat(images))


@torch.no_grad()
def encode_episodes(
    config: RenderConfig,
    first_frames: tuple[int, ...],
    encoder: Encoder,
    prompts: PromptTokens,
    place: Workplace,
    *,
    first_seed: int,
) -> LatentSet:
    """Renders and encodes episodes for `config.seconds`, or `config.clips` of them; at least one batch."""
    deadline = time.monotonic() + config.seconds
    parts: list[LatentSet] = []
    for worlds, walk in walks(config, place, first_seed=first_seed):
        parts.append(encode_batch(worlds, walk, first_frames, encoder, prompts, place, config.supersample))
        if place.device.type == "cuda":
            torch.cuda.synchronize(place.device)
        if time.monotonic() > deadline:
            break
    return _joined(parts)


def encode_batch(
    worlds: Worlds,
    walk: Walks,
    first_frames: tuple[int, ...],
    encoder: Encoder,
    prompts: PromptTokens,
    place: Workplace,
    supersample: int = 2,
) -> LatentSet:
    """Renders and encodes one episode in each of the worlds."""
    frames = render_frames(worlds, walk.poses, place, supersample)
    firsts = [encode(encoder, frames[:, at : at + FIRST_CLIP_FRAMES]) for at in first_frames]
    return LatentSet(
        episodes=episodes_of(worlds, walk, prompts),
        streams=encode(encoder, frames),
        firsts=torch.stack(firsts, dim=1),
        first_frames=first_frames,
    )


def episodes_of(worlds: Worlds, walk: Walks, prompts: PromptTokens) -> Episodes:
    """Poses, actions and prompts of walks as the conditioning of clips needs them."""
    return Episodes(
        extrinsics=extrinsics_from(walk.model_poses),
        keyboard=walk.keyboard,
        mouse=walk.mouse,
        tokens=prompts.of(worlds.attributes).to(walk.keyboard.device),
    )


@torch.no_grad()
def encode(encoder: Encoder, frames: Tensor) -> Tensor:
    """Normalised latents (B, C, n, h, w), bf16 on GPUs, of uint8 frames (B, 4n - 3, H, W, 3), each its own stream."""
    dtype = next(encoder.parameters()).dtype
    parts = [encoder.encode(to_signed(part, dtype), piece_latents=8) for part in torch.split(frames, ENCODED_AT_ONCE)]
    return torch.cat(parts).to(dtype)


def _joined(parts: list[LatentSet]) -> LatentSet:
    return LatentSet(
        episodes=_joined_episodes([part.episodes for part in parts]),
        streams=torch.cat([part.streams for part in parts]),
        firsts=torch.cat([part.firsts for part in parts]),
        first_frames=parts[0].first_frames,
    )


def _joined_episodes(parts: list[Episodes]) -> Episodes:
    return Episodes(
        extrinsics=torch.cat([part.extrinsics for part in parts]),
        keyboard=torch.cat([part.keyboard for part in parts]),
        mouse=torch.cat([part.mouse for part in parts]),
        tokens=torch.cat([part.tokens for part in parts]),
    )
