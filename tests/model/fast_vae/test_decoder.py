"""The fast decoder against the plain one, in float32 on the CPU."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from worldloom.model.fast_vae.decoder import FastDecoder
from worldloom.model.fast_vae.grid import picture
from worldloom.model.rollout import video_to_frames
from worldloom.model.vae import Decoder, DecoderState
from worldloom.model.vae_config import VAEConfig

EVEN = VAEConfig(dim=8, dec_dim=8, z_dim=8)
NARROW = VAEConfig(dim=4, dec_dim=4, z_dim=4)
ODD = VAEConfig(dim=8, dec_dim=8, z_dim=6, pruning_rate=0.3)


def decoder_of(config: VAEConfig) -> Decoder:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        decoder = Decoder(config).eval()
        for parameter in decoder.parameters():
            # Norms' weights are ones in a new module, and would hide a mistake there.
            parameter.data += 0.1 * torch.randn(parameter.shape)
    return decoder


def random_latents(config: VAEConfig, count: int) -> Tensor:
    return torch.randn(config.z_dim, count, 2, 3, generator=torch.Generator().manual_seed(count))


def assert_states_agree(fast: DecoderState, plain: DecoderState) -> None:
    for ours, theirs in zip(fast.caches, plain.caches, strict=True):
        channels = theirs.shape[1]
        torch.testing.assert_close(picture(ours)[..., :channels], theirs[0].permute(1, 2, 3, 0), rtol=1e-3, atol=1e-4)
        assert not ours[..., channels:].any()
        assert not ours[:, -1].any()
        assert not ours[:, :, -1].any()


@pytest.mark.parametrize("config", [EVEN, NARROW, ODD], ids=["even", "narrow", "odd"])
@given(cuts=st.lists(st.integers(1, 3), min_size=1, max_size=3))
@settings(max_examples=4, deadline=None)
@torch.inference_mode()
def test_a_stream_of_pieces_is_that_of_the_plain_decoder(config: VAEConfig, cuts: list[int]) -> None:
    plain = decoder_of(config)
    fast = FastDecoder(plain)
    plain_state: DecoderState | None = None
    fast_state: DecoderState | None = None
    for part in torch.split(random_latents(config, sum(cuts)), cuts, dim=1):
        video, plain_state = plain.decode(part[None], plain_state, piece_latents=part.shape[1])
        frames, fast_state = fast.decode(part, fast_state)
        assert_states_agree(fast_state, plain_state)
        difference = frames.int() - torch.from_numpy(video_to_frames(video)).int()
        # A value at the border between two numbers may fall to either side.
        assert int(difference.abs().max()) <= 1
        assert float(difference.abs().float().mean()) < 1e-3


def test_decoding_leaves_the_given_state_as_it_was() -> None:
    fast = FastDecoder(decoder_of(EVEN))
    _, state = fast.decode(random_latents(EVEN, 2))
    before = [cache.clone() for cache in state.caches]
    once, _ = fast.decode(random_latents(EVEN, 1), state)
    again, _ = fast.decode(random_latents(EVEN, 1), state)
    assert torch.equal(once, again)
    assert all(torch.equal(a, b) for a, b in zip(before, state.caches, strict=True))


def test_a_state_holds_its_own_memory_only() -> None:
    _, state = FastDecoder(decoder_of(EVEN)).decode(random_latents(EVEN, 4))
    assert state.nbytes == sum(cache.untyped_storage().nbytes() for cache in state.caches)


def test_statistics_of_the_latents_are_the_decoders() -> None:
    decoder = decoder_of(EVEN)
    decoder.set_latent_stats([0.5] * 8, [2.0] * 8)
    latents = random_latents(EVEN, 1)
    with torch.inference_mode():
        video, _ = decoder.decode(latents[None])
    frames, _ = FastDecoder(decoder).decode(latents)
    assert int((frames.int() - torch.from_numpy(video_to_frames(video)).int()).abs().max()) <= 1
