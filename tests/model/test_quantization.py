"""W8A8 against the reference's vectors, exactness of its sums, and int8 storage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn
from worldloom.model.quantization import (
    Int8Linear,
    QuantizedLayers,
    dequantize_state,
    int8_matmul,
    quantize_activation,
    quantize_like,
    quantize_module,
    quantize_weight,
)
from worldloom.model.transformer import TransformerConfig, WorldTransformer

from .golden import golden, load_golden, relative_error


def golden_layer() -> nn.Linear:
    inputs = load_golden("int8/inputs")
    layer = nn.Linear(inputs["weight"].shape[1], inputs["weight"].shape[0])
    layer.load_state_dict({"weight": inputs["weight"], "bias": inputs["bias"]})
    return layer


def test_weights_and_activations_quantize_to_the_reference_s_integers() -> None:
    inputs, expected = load_golden("int8/inputs"), load_golden("int8/expected")
    weight, weight_scales = quantize_weight(inputs["weight"])
    x, x_scales = quantize_activation(inputs["x"])
    assert torch.equal(weight, expected["weight_int8"])
    assert torch.equal(x, expected["x_int8"])
    assert relative_error(weight_scales, expected["weight_scales"]) < 1e-7
    assert relative_error(x_scales, expected["x_scales"]) < 1e-7


def test_int8_linear_matches_the_reference() -> None:
    inputs, expected = load_golden("int8/inputs"), load_golden("int8/expected")
    assert relative_error(Int8Linear.from_linear(golden_layer())(inputs["x"]), expected["y"]) < 1e-6


def test_halves_round_to_even_in_weights_and_away_from_zero_in_activations() -> None:
    values = torch.tensor([[127.0, 0.5, 1.5, 2.5, -0.5, -2.5]])
    assert quantize_weight(values)[0].tolist() == [[127, 0, 2, 2, 0, -2]]
    assert quantize_activation(values)[0].tolist() == [[127, 1, 2, 3, -1, -3]]


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 20), width=st.integers(1, 2500), columns=st.integers(1, 9), seed=st.integers(0, 99))
def test_int8_products_are_exact_at_any_width(rows: int, width: int, columns: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(-127, 128, (rows, width), generator=generator, dtype=torch.int8)
    weight = torch.randint(-127, 128, (columns, width), generator=generator, dtype=torch.int8)
    assert torch.equal(int8_matmul(x, weight).long(), x.long() @ weight.long().T)


def test_the_largest_sums_do_not_lose_a_unit() -> None:
    x = torch.full((1, 14_336), 127, dtype=torch.int8)
    x[0, 0] = 126
    assert int8_matmul(x, torch.full((1, 14_336), 127, dtype=torch.int8)).item() == 127 * 127 * 14_336 - 127


def tiny_model(device: str = "cpu") -> WorldTransformer:
    config = TransformerConfig.from_dict(json.loads(golden("dit/config.json").read_text()))
    with torch.device(device):
        return WorldTransformer(config)


def test_the_reference_s_choice_is_both_attentions_of_every_block() -> None:
    names = quantize_module(tiny_model("meta"))
    expected = {f"blocks.{n}.{kind}_attn.{p}" for n in range(3) for kind in ("self", "cross") for p in "qkvo"}
    assert set(names) == expected


@pytest.mark.parametrize("layers", [[group] for group in QuantizedLayers] + [list(QuantizedLayers)])
def test_every_group_names_layers_of_the_model(layers: list[QuantizedLayers]) -> None:
    model = tiny_model("meta")
    names = quantize_module(model, layers)
    assert names
    assert all(isinstance(model.get_submodule(name), Int8Linear) for name in names)


def test_an_int8_state_dict_loads_into_a_model_built_on_the_meta_device(tmp_path: Path) -> None:
    model = tiny_model()
    model.load_state_dict(load_file(golden("dit/diffusion_pytorch_model.safetensors")))
    quantize_module(model, list(QuantizedLayers))
    path = tmp_path / "model.safetensors"
    save_file(model.state_dict(), path)

    state = load_file(path)
    loaded = tiny_model("meta")
    quantize_like(loaded, state)
    loaded.load_state_dict(state, strict=True, assign=True)
    layer, original = loaded.get_submodule("blocks.1.ffn.0"), model.get_submodule("blocks.1.ffn.0")
    x = torch.randn(2, 3, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(layer(x), original(x))


def test_int8_storage_comes_back_within_half_a_step() -> None:
    model = tiny_model()
    plain = load_file(golden("dit/diffusion_pytorch_model.safetensors"))
    model.load_state_dict(plain)
    quantize_module(model, list(QuantizedLayers))
    restored = dequantize_state(model.state_dict())
    assert restored.keys() == plain.keys()
    for key, weight in plain.items():
        step = weight.abs().amax(dim=-1, keepdim=True) / 127 if weight.dim() == 2 else torch.zeros(())
        assert ((restored[key] - weight).abs() <= step * 0.5001).all(), key


def test_scales_stay_in_float32_when_the_model_becomes_bfloat16() -> None:
    layer = Int8Linear.from_linear(golden_layer())
    scales = layer.weight_scale.clone()
    layer.to(torch.bfloat16)
    assert torch.equal(layer.weight_scale, scales)
    assert layer.weight.dtype == torch.int8
    x = load_golden("int8/inputs")["x"].bfloat16()
    assert layer(x).dtype == torch.bfloat16
