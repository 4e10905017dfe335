"""Episodes as latents: rendered, encoded and kept on the device, ready to be cut into clips."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import torch
from torch import Tensor

from ..model.clip import FIRST_CLIP_FRAMES, FIRST_CLIP_LATENTS
from ..model.vae import Encoder
from .autoencoder import WHOLE
from .clips import LATER_CLIP_LATENTS, join_episodes
from .footage import Footage, LatentSet, Starts, join_latents
from .frames import to_signed
from .progress import StageClock
from .prompts import PromptTokens
from .rendering import RenderConfig, episodes_of, film, is_over, render_frames, walks
from .retrieval import memory_table
from .stage import Workplace

STARTS_SEED = 50_000
"""Worlds of rollouts have seeds this far from those of episodes."""
EARLIEST_START = 6
"""First latent of the earliest later clips trained on: before it there is too little to remember."""
ENCODED_AT_ONCE = 8
"""Streams that the encoder takes together on a GPU; on a CPU it takes one."""


@torch.no_grad()
def encode_starts(config: RenderConfig, encoder: Encoder, prompts: PromptTokens, place: Workplace) -> Starts:
    """The first frames of `config.clips` episodes, in worlds of their own."""
    episodes, images = [], []
    for worlds, walk in walks(config, place, first_seed=place.seed + STARTS_SEED):
        frames = render_frames(worlds, walk.poses[:, :1], place, config.supersample)
        images.append(encode(encoder, frames))
        episodes.append(episodes_of(worlds, walk, prompts))
    return Starts(episodes=join_episodes(episodes), images=torch.cat(images))


@torch.no_grad()
def encode_episodes(
    config: RenderConfig,
    first_frames: tuple[int, ...],
    encoder: Encoder,
    prompts: PromptTokens,
    place: Workplace,
    clock: StageClock,
) -> LatentSet:
    """The run's episodes as latents, for `config.seconds`, or `config.clips` of them; at least one batch.

    What an earlier stage of this process encoded is taken as it is; what one rendered is encoded first; the rest is
    rendered, encoded and not kept.
    """
    kept = place.shelf.latents
    if kept is not None and set(first_frames) <= set(kept.first_frames):
        return kept
    deadline = clock.time_for(config.seconds)
    parts: list[LatentSet] = []
    for batch in _batches(config, prompts, place):
        parts.append(encode_batch(batch, first_frames, encoder))
        if is_over(deadline, place.device):
            break
    place.shelf.latents = join_latents(parts)
    return place.shelf.latents


def _batches(config: RenderConfig, prompts: PromptTokens, place: Workplace) -> Iterator[Footage]:
    kept = place.shelf.footage
    if kept is None or kept.frames.shape[1] != config.frames:
        return film(config, place, prompts, first_seed=place.seed)
    fresh = film(config, place, prompts, first_seed=place.seed, skip=len(kept))
    return chain(kept.batches(config.at_once), fresh)


def encode_batch(batch: Footage, first_frames: tuple[int, ...], encoder: Encoder) -> LatentSet:
    """Streams, first clips and memory of rendered episodes."""
    streams = encode(encoder, batch.frames)
    firsts = [
        # The encoder is causal: the clip that starts with the stream is its beginning.
        streams[:, :, :FIRST_CLIP_LATENTS] if at == 0 else encode(encoder, batch.frames[:, at : at + FIRST_CLIP_FRAMES])
        for at in first_frames
    ]
    latest = streams.shape[2] - LATER_CLIP_LATENTS
    return LatentSet(
        episodes=batch.episodes,
        streams=streams,
        firsts=torch.stack(firsts, dim=1),
        first_frames=first_frames,
        memory=memory_table(batch.episodes.extrinsics, EARLIEST_START, latest),
        earliest=EARLIEST_START,
    )


@torch.no_grad()
def encode(encoder: Encoder, frames: Tensor) -> Tensor:
    """Normalised latents (B, C, n, h, w), bf16 on GPUs, of uint8 frames (B, 4n - 3, H, W, 3), each its own stream."""
    dtype = next(encoder.parameters()).dtype
    at_once = ENCODED_AT_ONCE if frames.is_cuda else 1
    # A stream in one go: every shape that convolutions meet is tried with several kernels first, which takes seconds.
    parts = [encoder.encode(to_signed(part, dtype), piece_latents=WHOLE) for part in torch.split(frames, at_once)]
    return torch.cat(parts).to(dtype)
