"""What the processes of the tests do. Every job takes its ranks first."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from worldloom.model.attention import AttentionCore
from worldloom.model.fast_vae.decoder import FastDecoder
from worldloom.model.preset import Preset
from worldloom.model.weights import load_decoder
from worldloom.parallel.bands import BandDecoder, Bands
from worldloom.parallel.check import Agreement, check
from worldloom.parallel.ranks import Ranks
from worldloom.parallel.ulysses import UlyssesCore


def attend(ranks: Ranks, shape: tuple[int, int, int], tokens: tuple[int, ...], frames: int, chunks: int) -> Tensor:
    """Ulysses attention of this rank's share of random tokens; shape (batch, heads, width)."""
    batch, heads, width = shape
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(3, batch, frames * sum(tokens), heads, width, generator=generator)
    own = torch.split(qkv, [frames * count for count in tokens], dim=2)[ranks.rank]
    core = UlyssesCore(ranks, tokens, heads=heads, inner=AttentionCore(), chunks=chunks)
    out: Tensor = core(*own.unbind(0))
    return out


def share_failing(ranks: Ranks, error: Exception) -> str:
    def fail() -> Tensor:
        raise error

    try:
        ranks.share(fail)
    except type(error) as seen:
        return str(seen)
    return "no error"


def share_sum(ranks: Ranks) -> tuple[Tensor, int]:
    """A tensor that the first rank computes, and how often this rank has computed it."""
    calls = 0

    def compute() -> Tensor:
        nonlocal calls
        calls += 1
        return torch.full((2, 3), 7.0, dtype=torch.bfloat16)

    return ranks.share(compute), calls


def decode_bands(ranks: Ranks, preset: Preset, pieces: Sequence[Tensor]) -> list[Tensor]:
    """The frames of a stream's pieces (C, n, h, w), of which every rank decodes a band."""
    decoder = BandDecoder(FastDecoder(load_decoder(preset, "cpu")), Bands.of(pieces[0].shape[2], ranks))
    frames, state = [], None
    for piece in pieces:
        pixels, state = decoder.decode(piece, state)
        frames.append(pixels)
    return frames


def check_preset(ranks: Ranks, preset: Preset, head_chunks: int, front: int | None = None) -> list[Agreement]:
    return check(preset, ranks, head_chunks=head_chunks, front=front)
