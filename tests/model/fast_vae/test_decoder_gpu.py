"""The fast decoder on a GPU, at the size of the 5B's videos."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from worldloom.model.fast_vae.decoder import FastDecoder
from worldloom.model.rollout import video_to_pixels
from worldloom.model.vae import Decoder, DecoderState
from worldloom.model.vae_config import VAEConfig

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]
GRID = (44, 80)
CUTS = (1, 2, 2)


def decoder_of(pruning: float, dtype: torch.dtype) -> Decoder:
    torch.manual_seed(0)
    with torch.device("cuda"):
        return Decoder(VAEConfig(pruning_rate=pruning)).to(dtype).eval()


def latents() -> Tensor:
    return torch.randn(48, sum(CUTS), *GRID, generator=torch.Generator().manual_seed(1)).cuda()


def plain_frames(decoder: Decoder) -> Tensor:
    state: DecoderState | None = None
    frames = []
    with torch.inference_mode():
        for part in torch.split(latents(), list(CUTS), dim=1):
            video, state = decoder.decode(part[None], state)
            frames.append(video_to_pixels(video))
    return torch.cat(frames)


def fast_frames(decoder: FastDecoder) -> Tensor:
    state: DecoderState | None = None
    frames = []
    for part in torch.split(latents(), list(CUTS), dim=1):
        pixels, state = decoder.decode(part, state)
        frames.append(pixels)
    return torch.cat(frames)


def noise_db(frames: Tensor, exact: Tensor) -> float:
    error = (frames.float() - exact.float()).square().mean()
    return float(10 * torch.log10(error / 255**2))


@pytest.mark.parametrize("pruning", [0.75, 0.0])
def test_720p_is_as_near_to_float32_as_the_plain_decoders(pruning: float) -> None:
    exact = plain_frames(decoder_of(pruning, torch.float32))
    decoder = decoder_of(pruning, torch.bfloat16)
    plain, fast = plain_frames(decoder), fast_frames(FastDecoder(decoder))
    assert fast.shape == (4 * sum(CUTS) - 3, 704, 1280, 3)
    assert noise_db(fast, exact) <= noise_db(plain, exact) + 0.5


def test_a_second_decoder_gives_the_same_bits() -> None:
    decoder = decoder_of(0.75, torch.bfloat16)
    assert torch.equal(fast_frames(FastDecoder(decoder)), fast_frames(FastDecoder(decoder)))
