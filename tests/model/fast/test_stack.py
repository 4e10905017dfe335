"""Fused blocks against the exact ones."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from worldloom.model.attention import attention
from worldloom.model.attention_e4m3 import SpreadCore, attention_e4m3
from worldloom.model.fast import fuse
from worldloom.model.fast.linear import FusedLinear
from worldloom.model.init import init_weights
from worldloom.model.precision import Precision
from worldloom.model.preset import load_preset
from worldloom.model.quantization import Int8Linear, quantize_module
from worldloom.model.transformer import WorldTransformer
from worldloom.model.transformer_config import TransformerConfig

MEMORY, PAST, NEW = 2, 1, 2
GRID = (4, 6)


def small_config(**changes: object) -> TransformerConfig:
    config = load_preset("tiny").transformer
    assert config is not None
    return replace(config, **changes)  # type: ignore[arg-type]


def random_model(config: TransformerConfig) -> WorldTransformer:
    model = WorldTransformer(config).eval()
    init_weights(model, 0)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # weights and biases that would be ones and zeros
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


@torch.inference_mode()
def velocity(model: WorldTransformer, *, skip: int = PAST, prompt: int = 5, camera_cache: bool = True) -> Tensor:
    """Of a random later clip."""
    generator = torch.Generator().manual_seed(2)

    def noise(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    config, clip = model.config, PAST + NEW
    has_actions = config.action_config is not None
    conditioning = model.prepare(
        context=noise(prompt, config.text_dim),
        plucker=0.3 * noise(1, 1536, MEMORY + clip, *GRID),
        predict_range=(20, 20 + clip),
        keyboard=noise(1, 4 * clip, 6) if has_actions else None,
        mouse=noise(1, 4 * clip, 2) if has_actions else None,
        memory_keyboard=noise(1, MEMORY, 6),
        memory_mouse=noise(1, MEMORY, 2),
        memory_latent_idx=torch.tensor([3, 11]),
        camera_cache=camera_cache,
    )
    positions = GRID[0] * GRID[1] // 4
    memory = MEMORY if config.use_memory else 0
    out: Tensor = model(
        noise(1, config.in_dim, clip, *GRID),
        timesteps=torch.tensor([0.0, 700.0]),
        segments=((memory + PAST) * positions, NEW * positions),
        conditioning=conditioning,
        memory=noise(1, config.in_dim, MEMORY, *GRID) if memory else None,
        skip=skip,
    )
    return out


def fused(model: WorldTransformer, precision: Precision) -> WorldTransformer:
    made = copy.deepcopy(model)
    fuse(made, precision)
    return made


def relative_error(made: Tensor, expected: Tensor) -> float:
    return float((made - expected).norm() / expected.norm())


CONFIGS = {
    "actions": small_config(),
    "no actions": small_config(action_config=None),
    "no memory": small_config(use_memory=False),
    "one turn for all heads": small_config(sigma_theta=0.0),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_fused_blocks_that_round_nothing_do_what_the_exact_ones_do(config: TransformerConfig) -> None:
    model = random_model(config)
    assert relative_error(velocity(fused(model, Precision.BF16)), velocity(model)) < 1e-5


@pytest.mark.parametrize(
    ("precision", "least", "most"),
    [(Precision.INT8, 1e-4, 0.02), (Precision.FP8, 1e-3, 0.05), (Precision.FP8_ATTENTION, 1e-3, 0.05)],
)
def test_eight_bits_cost_a_few_percent(precision: Precision, least: float, most: float) -> None:
    model = random_model(small_config())
    assert least < relative_error(velocity(fused(model, precision)), velocity(model)) < most


@pytest.mark.parametrize("precision", list(Precision))
def test_frames_that_nobody_asks_for_change_nothing(precision: Precision) -> None:
    model = fused(random_model(small_config()), precision)
    torch.testing.assert_close(velocity(model, skip=0)[:, :, PAST:], velocity(model), atol=1e-6, rtol=1e-5)


def test_a_last_block_with_actions_sees_all_frames() -> None:
    config = small_config()
    assert config.action_config is not None
    blocks = tuple(range(config.num_layers))
    model = random_model(replace(config, action_config=replace(config.action_config, blocks=blocks)))
    assert relative_error(velocity(fused(model, Precision.BF16)), velocity(model)) < 1e-5


@pytest.mark.parametrize("prompt", [1, 7, 8])
def test_one_key_stands_for_all_padding(prompt: int) -> None:
    model = random_model(small_config())
    exact = velocity(model, prompt=prompt)
    assert relative_error(velocity(fused(model, Precision.BF16), prompt=prompt), exact) < 1e-5


def test_camera_terms_made_anew_are_those_that_were_kept() -> None:
    model = fused(random_model(small_config()), Precision.FP8)
    assert torch.equal(velocity(model, camera_cache=False), velocity(model))


def test_layers_loaded_as_int8_stay_as_they_are() -> None:
    model = random_model(small_config())
    quantize_module(model)
    loaded = copy.deepcopy(model)
    fuse(model, Precision.INT8)
    layer = next(iter(model.blocks)).get_submodule("self_attn.o")
    stored = next(iter(loaded.blocks)).get_submodule("self_attn.o")
    assert isinstance(layer, FusedLinear) and isinstance(stored, Int8Linear) and layer.scales is not None
    assert torch.equal(layer.weight, stored.weight)
    torch.testing.assert_close(layer.scales, stored.weight_scale)


@pytest.mark.parametrize(
    ("precision", "dtype"), [(Precision.FP8, torch.float32), (Precision.FP8_ATTENTION, torch.float8_e4m3fn)]
)
def test_a_core_that_spreads_tokens_sees_all_of_them(precision: Precision, dtype: torch.dtype) -> None:
    """As sequence parallelism does it: every query goes with its key, in the format that attention computes in."""
    seen = []

    class Spy(SpreadCore):
        def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            seen.append((q.shape, k.shape, q.dtype))
            return attention(q, k, v)

        def average(self, values: Tensor) -> Tensor:
            return values

        def attend_e4m3(self, q: Tensor, k: Tensor, v: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
            seen.append((q.shape, k.shape, q.dtype))
            return attention_e4m3(q, k, v, scales, dtype)

    model = fused(random_model(small_config()), precision)
    plain = velocity(model)
    for block in model.blocks:
        block.get_submodule("self_attn").core = Spy()
    torch.testing.assert_close(velocity(model), plain)
    tokens = (MEMORY + PAST + NEW) * GRID[0] * GRID[1] // 4
    assert {(q[1], k[1]) for q, k, _ in seen} == {(tokens, tokens)}
    assert {seen_dtype for *_, seen_dtype in seen} == {dtype}


def test_a_batch_of_worlds_is_refused() -> None:
    model = fused(random_model(small_config(action_config=None)), Precision.BF16)
    with pytest.raises(ValueError, match="one world at a time"):
        model.prepare(
            context=torch.zeros(2, 3, model.config.text_dim),
            plucker=torch.zeros(2, 1536, 2, *GRID),
            predict_range=(0, 2),
        )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("precision", list(Precision))
def test_the_5b_s_blocks_are_the_same_on_a_gpu(precision: Precision) -> None:
    config = load_preset("mg3-5b").transformer
    assert config is not None and config.action_config is not None
    two = replace(config, num_layers=2, text_len=64, action_config=replace(config.action_config, blocks=(0,)))
    with torch.device("meta"):
        model = WorldTransformer(two).to(torch.bfloat16).eval()
    model.to_empty(device="cuda")
    init_weights(model, 0, fast=True)
    exact = velocity(model)
    made = velocity(fused(model, precision))
    assert relative_error(made, exact) < (0.02 if precision is Precision.BF16 else 0.08)
    assert torch.equal(made, velocity(fused(model, precision)))
