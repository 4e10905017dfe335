"""Decoding by bands of the picture."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from worldloom.errors import DoesNotFit
from worldloom.model.fast_vae.decoder import FastDecoder
from worldloom.model.preset import load_preset
from worldloom.model.weights import load_decoder
from worldloom.parallel.bands import Bands
from worldloom.parallel.ranks import Ranks

from .jobs import decode_bands
from .processes import Processes

PRESET = replace(load_preset("tiny"), dtype="float32")


@pytest.mark.parametrize(("ranks", "rows"), [(2, 4), (3, 7), (4, 4)])
def test_bands_make_the_frames_of_one_decoder(processes: Processes, ranks: int, rows: int) -> None:
    latents = torch.randn(PRESET.latent_channels, 5, rows, 3, generator=torch.Generator().manual_seed(rows))
    pieces = torch.split(latents, [1, 2, 2], dim=1)
    alone, state, expected = FastDecoder(load_decoder(PRESET, "cpu")), None, []
    for piece in pieces:
        pixels, state = alone.decode(piece, state)
        expected.append(pixels)
    first, *others = processes.run(ranks, decode_bands, PRESET, pieces)
    for made, frames in zip(first, expected, strict=True):
        assert made.shape == frames.shape
        # Sums of other shapes are taken in another order: a value between two numbers may fall to either side.
        difference = (made.int() - frames.int()).abs()
        assert int(difference.max()) <= 1 and float(difference.float().mean()) < 1e-3
    assert all(len(frames) == 0 for rank in others for frames in rank)


def test_every_rank_needs_a_row() -> None:
    with pytest.raises(DoesNotFit, match="3 rows of latents do not make a band for each of 4"):
        Bands.of(3, Ranks(rank=0, size=4, device=torch.device("cpu")))
