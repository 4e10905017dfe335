from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from worldloom.errors import CheckpointError, ConfigError
from worldloom.model.text import TextEncoder, UMT5Encoder, relative_buckets
from worldloom.model.text_config import TextConfig
from worldloom.model.tokenizer import Tokenizer, byte_pipeline, word_pipeline

from .golden import golden, relative_error

TINY = TextConfig(vocab=300, dim=16, dim_attn=16, dim_ffn=32, num_heads=2, num_layers=2, text_len=24)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = UMT5Encoder(TINY)
    return TextEncoder(network, Tokenizer(byte_pipeline(), TINY.text_len))


@torch.no_grad()
def test_the_encoder_matches_the_reference() -> None:
    folder = golden("t5")
    network = UMT5Encoder(TextConfig.from_dict(json.loads((folder / "config.json").read_text())))
    network.load_state_dict(torch.load(folder / "t5.pth", weights_only=True))
    inputs = load_file(folder / "inputs.safetensors")
    tokens = inputs["mask"] == 1
    hidden = network(inputs["ids"], inputs["mask"])
    assert relative_error(hidden[tokens], load_file(folder / "expected.safetensors")["hidden"][tokens]) < 5e-6


def test_only_the_rows_of_a_prompts_own_tokens_are_returned(encoder: TextEncoder) -> None:
    states = encoder.encode(["a hall", "", "a hall of stone"])
    assert [tuple(state.shape) for state in states] == [(7, 16), (1, 16), (16, 16)]


def test_no_prompts_give_no_states(encoder: TextEncoder) -> None:
    assert encoder.encode([]) == []


def test_a_prompt_means_the_same_alone_and_among_longer_ones(encoder: TextEncoder) -> None:
    (alone,) = encoder.encode(["a hall"])
    among = encoder.encode(["a garden by night", "a hall"])[1]
    torch.testing.assert_close(among, alone)


def test_a_long_prompt_is_cut_to_the_text_length(encoder: TextEncoder) -> None:
    (state,) = encoder.encode(["x" * 100])
    assert state.shape == (24, 16)


def test_states_of_a_bfloat16_network_stay_close_to_those_in_float32(encoder: TextEncoder) -> None:
    network = UMT5Encoder(TINY)
    network.load_state_dict(encoder.network.state_dict())
    rounded = TextEncoder(network.to(torch.bfloat16), encoder.tokenizer)
    prompts = ["a garden by night", "a hall"]
    for low, high in zip(rounded.encode(prompts), encoder.encode(prompts), strict=True):
        assert low.dtype == torch.bfloat16
        assert relative_error(low, high) < 0.05


def test_a_tokenizer_with_more_ids_than_the_network_is_refused(encoder: TextEncoder) -> None:
    words = Tokenizer(word_pipeline(f"word{i}" for i in range(400)), 24)
    with pytest.raises(CheckpointError, match="403 tokens"):
        TextEncoder(encoder.network, words)


def bucket(buckets: Tensor, offset: int) -> int:
    """Bucket of a key that stands `offset` tokens behind the query."""
    return int(buckets[max(-offset, 0), max(offset, 0)])


def test_near_tokens_have_buckets_of_their_own_and_far_ones_share_the_last() -> None:
    buckets = relative_buckets(300, TextConfig())
    assert [bucket(buckets, -distance) for distance in range(9)] == list(range(9))
    assert bucket(buckets, 1) == 17
    assert {bucket(buckets, -distance) for distance in range(128, 300)} == {15}
    assert {bucket(buckets, distance) for distance in range(128, 300)} == {31}


def test_buckets_never_fall_with_distance() -> None:
    buckets = relative_buckets(300, TextConfig())
    before = [bucket(buckets, -distance) for distance in range(300)]
    assert before == sorted(before)


def test_a_bias_shared_by_all_layers_is_not_supported() -> None:
    with pytest.raises(ConfigError, match="shared_pos"):
        TextConfig.from_dict({"shared_pos": True})


def test_a_config_with_an_unknown_entry_is_refused() -> None:
    with pytest.raises(ConfigError, match="num_haeds"):
        TextConfig.from_dict({"num_haeds": 2})
