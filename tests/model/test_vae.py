"""The video autoencoder against the reference's vectors, and what its streams promise for any weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor, nn
from worldloom.errors import ConfigError
from worldloom.model.vae import Decoder, DecoderState, Encoder, cut_pixels, join_pixels
from worldloom.model.vae_config import VAEConfig
from worldloom.model.vae_names import wan_name
from worldloom.model.vae_stages import average_shortcut, repeat_shortcut

from .golden import golden, relative_error, shared_golden

TINY = VAEConfig(dim=4, dec_dim=4, z_dim=4)
Find = Callable[[str], Path]


def load_half(module: nn.Module, path: Path, prefixes: tuple[str, ...]) -> None:
    raw = torch.load(path, weights_only=True)
    named = {wan_name(name): tensor for name, tensor in raw.get("state_dict", raw).items()}
    module.load_state_dict({name: tensor for name, tensor in named.items() if name and name.startswith(prefixes)})


def golden_config(folder: Path) -> VAEConfig:
    return VAEConfig.from_dict(json.loads((folder / "config.json").read_text()))


def golden_encoder(folder: Path) -> Encoder:
    encoder = Encoder(golden_config(folder))
    load_half(encoder, folder / "vae.pth", ("encoder.", "conv1."))
    return encoder


def golden_decoder(folder: Path) -> Decoder:
    decoder = Decoder(golden_config(folder))
    load_half(decoder, folder / "vae.pth", ("decoder.", "conv2."))
    return decoder


def seeded(build: Callable[[VAEConfig], nn.Module], config: VAEConfig = TINY) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return build(config)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    module = seeded(Encoder)
    assert isinstance(module, Encoder)
    return module


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    module = seeded(Decoder)
    assert isinstance(module, Decoder)
    return module


def random_latents(count: int, *, batch: int = 1, size: tuple[int, int] = (1, 2)) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randn(batch, TINY.z_dim, count, *size, generator=generator)


def random_video(frames: int, *, batch: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(frames)
    return torch.rand(batch, 3, frames, 16, 32, generator=generator) * 2 - 1


@torch.no_grad()
def test_the_pruned_decoder_matches_the_reference() -> None:
    folder = golden("vae_light50_decoder")
    latents = load_file(folder / "inputs.safetensors")["latents"]
    frames, _ = golden_decoder(folder).decode(latents)
    assert relative_error(frames[..., ::2, ::2], load_file(folder / "expected.safetensors")["decode_all"]) < 2e-5


@pytest.mark.parametrize("case", ["vae_full", "vae_light50"])
@pytest.mark.parametrize("piece_latents", [1, 2])
@torch.no_grad()
def test_the_encoder_matches_the_reference(case: str, piece_latents: int) -> None:
    folder = shared_golden(case)
    encoder, expected = golden_encoder(folder), load_file(folder / "expected.safetensors")
    video = load_file(folder / "inputs.safetensors")["video"]
    assert relative_error(encoder.encode(video[:, :, :1]), expected["encode_1"]) < 2e-5
    assert relative_error(encoder.encode(video, piece_latents=piece_latents), expected["encode_9"]) < 2e-5


@pytest.mark.parametrize("case", ["vae_full", "vae_light50"])
@pytest.mark.parametrize("piece_latents", [1, 2])
@torch.no_grad()
def test_a_stream_of_decoded_pieces_matches_the_reference(case: str, piece_latents: int) -> None:
    folder = shared_golden(case)
    decoder, expected = golden_decoder(folder), load_file(folder / "expected.safetensors")
    latents = load_file(folder / "inputs.safetensors")["latents"]
    first, state = decoder.decode(latents[:, :, :3], piece_latents=piece_latents)
    second, _ = decoder.decode(latents[:, :, 3:], state, piece_latents=piece_latents)
    assert relative_error(first, expected["stream_decode_0"]) < 2e-5
    assert relative_error(second, expected["stream_decode_1"]) < 2e-5


@given(cuts=st.lists(st.integers(1, 4), min_size=1, max_size=4))
@settings(max_examples=8, deadline=None)
@torch.no_grad()
def test_frames_have_the_same_bits_however_a_stream_is_split(decoder: Decoder, cuts: list[int]) -> None:
    latents = random_latents(sum(cuts))
    whole, whole_state = decoder.decode(latents)
    state, frames = None, []
    for part in torch.split(latents, cuts, dim=2):
        piece, state = decoder.decode(part, state)
        frames.append(piece)
    assert state is not None
    assert torch.equal(torch.cat(frames, dim=2), whole)
    assert all(torch.equal(a, b) for a, b in zip(state.caches, whole_state.caches, strict=True))


@pytest.mark.parametrize("piece_latents", [2, 3, 9])
@torch.no_grad()
def test_larger_pieces_change_nothing_but_rounding(encoder: Encoder, decoder: Decoder, piece_latents: int) -> None:
    latents, video = random_latents(7), random_video(25)
    frames, state = decoder.decode(latents)
    frames_in_pieces, state_in_pieces = decoder.decode(latents, piece_latents=piece_latents)
    torch.testing.assert_close(frames_in_pieces, frames, rtol=0, atol=1e-5)
    for a, b in zip(state_in_pieces.caches, state.caches, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(encoder.encode(video, piece_latents=piece_latents), encoder.encode(video))


@torch.no_grad()
def test_n_latents_give_4n_minus_3_frames_first_and_4n_later(decoder: Decoder) -> None:
    first, state = decoder.decode(random_latents(3))
    later, _ = decoder.decode(random_latents(2), state)
    assert first.shape == (1, 3, 9, 16, 32)
    assert later.shape == (1, 3, 8, 16, 32)


@torch.no_grad()
def test_decoding_leaves_the_given_state_as_it_was(decoder: Decoder) -> None:
    _, state = decoder.decode(random_latents(2))
    before = [cache.clone() for cache in state.caches]
    once, _ = decoder.decode(random_latents(1), state)
    again, _ = decoder.decode(random_latents(1), state)
    assert torch.equal(once, again)
    assert all(torch.equal(a, b) for a, b in zip(before, state.caches, strict=True))


@torch.no_grad()
def test_a_state_holds_its_own_memory_only(decoder: Decoder) -> None:
    _, state = decoder.decode(random_latents(6), piece_latents=6)
    assert state.nbytes == sum(cache.untyped_storage().nbytes() for cache in state.caches)


@torch.no_grad()
def test_streams_of_a_batch_do_not_mix(encoder: Encoder, decoder: Decoder) -> None:
    latents, video = random_latents(3, batch=2), random_video(9, batch=2)
    frames, _ = decoder.decode(latents)
    for i in range(2):
        torch.testing.assert_close(frames[i : i + 1], decoder.decode(latents[i : i + 1])[0], rtol=0, atol=1e-5)
        torch.testing.assert_close(encoder.encode(video)[i : i + 1], encoder.encode(video[i : i + 1]))


def after_reach(decoder: Decoder, latents: Tensor, reach: int) -> tuple[Tensor, DecoderState]:
    """The last latent's frames, from a state that was rebuilt from the `reach` latents before it."""
    _, state = decoder.decode(latents[:, :, -1 - reach : -1])
    return decoder.decode(latents[:, :, -1:], state)


@torch.no_grad()
def test_decoding_again_as_many_latents_as_the_reach_rebuilds_a_stream_bit_for_bit(decoder: Decoder) -> None:
    latents = random_latents(decoder.reach_latents + 6, size=(1, 1))
    frames, state = after_reach(decoder, latents, latents.shape[2] - 1)
    rebuilt_frames, rebuilt_state = after_reach(decoder, latents, decoder.reach_latents)
    assert torch.equal(rebuilt_frames, frames)
    following = random_latents(1, size=(1, 1))
    assert torch.equal(decoder.decode(following, rebuilt_state)[0], decoder.decode(following, state)[0])


def test_the_reach_is_exact() -> None:
    decoder = Decoder(TINY).double()
    for parameter in decoder.parameters():
        # Weights of one sign, so that no path from a latent to a frame cancels out.
        parameter.requires_grad_(False).abs_()
    latents = random_latents(decoder.reach_latents + 4, size=(1, 1)).double().requires_grad_()
    frames, _ = decoder(latents, piece_latents=latents.shape[2])
    frames[:, :, -4:].sum().backward()
    assert latents.grad is not None
    touched = latents.grad.abs().sum(dim=(0, 1, 3, 4)) > 0
    first_touched = int(touched.nonzero()[0])
    assert first_touched == latents.shape[2] - 1 - decoder.reach_latents


def test_the_published_decoder_reaches_38_latents_back() -> None:
    with torch.device("meta"):
        assert Decoder(VAEConfig(pruning_rate=0.75)).reach_latents == 38


def test_gradients_reach_every_parameter() -> None:
    encoder, decoder = Encoder(TINY), Decoder(TINY)
    latents = encoder.encode(random_video(9, batch=2), piece_latents=3)
    frames, _ = decoder(latents, piece_latents=3)
    frames.square().mean().backward()
    without = [name for name, p in decoder.named_parameters() if p.grad is None]
    without += [name for name, p in encoder.named_parameters() if p.grad is None]
    assert without == []


@torch.no_grad()
def test_decoded_frames_are_clamped_and_those_for_training_are_not(decoder: Decoder) -> None:
    latents = 50 * random_latents(2)
    raw, _ = decoder(latents)
    clamped, _ = decoder.decode(latents)
    assert raw.abs().max() > 1
    assert torch.equal(clamped, raw.clamp(-1, 1))


@torch.no_grad()
def test_latents_are_normalised_by_the_statistics_of_each_channel() -> None:
    encoder, decoder = Encoder(TINY), Decoder(TINY)
    mean, _ = encoder(random_video(5))
    frames, _ = decoder.decode(mean)
    for module in (encoder, decoder):
        module.set_latent_stats([1.0, 2.0, 3.0, 4.0], [0.5, 1.0, 2.0, 4.0])
    latents = encoder.encode(random_video(5))
    torch.testing.assert_close(latents[:, 2], (mean[:, 2] - 3.0) / 2.0)
    torch.testing.assert_close(decoder.decode(latents)[0], frames, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("mean", "std"), [([0.0] * 3, [1.0] * 3), ([0.0] * 4, [1.0, 1.0, 0.0, 1.0])])
def test_latent_statistics_that_cannot_be_are_refused(mean: list[float], std: list[float]) -> None:
    with pytest.raises(ValueError, match="channel"):
        Encoder(TINY).set_latent_stats(mean, std)


@torch.no_grad()
def test_a_bfloat16_model_takes_float32() -> None:
    encoder, decoder = Encoder(TINY).to(torch.bfloat16), Decoder(TINY).to(torch.bfloat16)
    latents = encoder.encode(random_video(5))
    frames, _ = decoder.decode(latents)
    assert frames.dtype == torch.bfloat16
    assert bool(frames.isfinite().all())


@pytest.mark.parametrize("frames", [0, 2, 4, 8])
def test_a_video_of_another_length_than_4n_plus_1_is_refused(encoder: Encoder, frames: int) -> None:
    with pytest.raises(ValueError, match=str(frames)):
        encoder.encode(random_video(frames))


def test_a_video_of_another_size_than_multiples_of_16_is_refused(encoder: Encoder) -> None:
    with pytest.raises(ValueError, match="24×32"):
        encoder.encode(torch.zeros(1, 3, 1, 24, 32))


def test_pixels_are_cut_in_the_order_colour_column_row() -> None:
    video = torch.arange(3 * 2 * 4 * 6, dtype=torch.float32).reshape(1, 3, 2, 4, 6)
    patches = cut_pixels(video)
    assert patches.shape == (1, 12, 2, 2, 3)
    assert patches[0, 4 * 2 + 2 * 1 + 0, 1, 0, 2] == video[0, 2, 1, 2 * 0 + 0, 2 * 2 + 1]
    assert torch.equal(join_pixels(patches), video)


def test_the_average_shortcut_undoes_the_repeat_shortcut() -> None:
    x = torch.randn(2, 8, 3, 2, 4)
    larger = repeat_shortcut(x, 4, time_factor=2, space_factor=2)
    assert larger.shape == (2, 4, 6, 4, 8)
    torch.testing.assert_close(average_shortcut(larger, 8, time_factor=2, space_factor=2), x)


@pytest.mark.parametrize(
    ("light", "wan"),
    [
        ("encoder.down_blocks.0.resnets.1.conv1.weight", "encoder.downsamples.0.downsamples.1.residual.2.weight"),
        ("encoder.down_blocks.1.downsampler.time_conv.bias", "encoder.downsamples.1.downsamples.2.time_conv.bias"),
        ("decoder.up_blocks.2.resnets.0.conv_shortcut.bias", "decoder.upsamples.2.upsamples.0.shortcut.bias"),
        ("decoder.up_blocks.0.upsampler.resample.1.bias", "decoder.upsamples.0.upsamples.3.resample.1.bias"),
        ("decoder.mid_block.resnets.1.norm2.gamma", "decoder.middle.2.residual.3.gamma"),
        ("encoder.mid_block.attentions.0.to_qkv.bias", "encoder.middle.1.to_qkv.bias"),
        ("decoder.norm_out.gamma", "decoder.head.0.gamma"),
        ("post_quant_conv.weight", "conv2.weight"),
        ("dynamic_feature_projection_heads.0.weight", None),
    ],
)
def test_lightvae_names_become_wan_names(light: str, wan: str | None) -> None:
    assert wan_name(light) == wan


def test_wan_names_stay_as_they_are() -> None:
    names = [*Encoder(TINY).state_dict(), *Decoder(TINY).state_dict()]
    assert [wan_name(name) for name in names] == names


def test_a_config_with_an_unknown_entry_is_refused() -> None:
    with pytest.raises(ConfigError, match="widht"):
        VAEConfig.from_dict({"widht": 3})
