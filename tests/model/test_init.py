"""Seeded weights: what they depend on, and that a model of them is tame."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn
from worldloom.model.init import NOISE_RUN, fill_with_repeated_noise, init_weights
from worldloom.model.transformer import WorldTransformer

from .test_transformer import CONFIG, random_clip


def seeded(seed: int = 0, *, layers: int = 2, fast: bool = False) -> WorldTransformer:
    model = WorldTransformer(replace(CONFIG, num_layers=layers))
    init_weights(model, seed, fast=fast)
    return model.requires_grad_(False)


def test_a_parameter_depends_on_seed_and_name_alone() -> None:
    small, other, large = (dict(m.named_parameters()) for m in (seeded(0), seeded(1), seeded(0, layers=3)))
    assert all(torch.equal(parameter, large[name]) for name, parameter in small.items())
    name = "blocks.1.self_attn.q.weight"
    assert not torch.equal(small[name], other[name])
    assert not torch.equal(small[name], small["blocks.0.self_attn.q.weight"])


def test_drawing_on_the_device_gives_the_same_bits_on_a_cpu() -> None:
    fast = dict(seeded(fast=True).named_parameters())
    assert all(torch.equal(parameter, fast[name]) for name, parameter in seeded().named_parameters())


def test_a_model_keeps_the_dtype_it_was_built_with() -> None:
    model = WorldTransformer(CONFIG).to(torch.bfloat16)
    init_weights(model, 0)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


def test_the_residual_stream_keeps_its_size_through_many_blocks() -> None:
    model = seeded(layers=24)
    sizes = []
    for block in model.blocks:
        block.register_forward_hook(lambda _module, _inputs, out: sizes.append(float(out.square().mean().sqrt())))
    velocity = random_clip().velocity(model)
    assert torch.isfinite(velocity).all()
    assert 0.05 < velocity.std() < 5
    assert max(sizes) < 10 * min(sizes)


def test_repeated_noise_keeps_sizes_through_a_layer() -> None:
    layers = nn.Sequential(nn.Linear(1200, 1000, bias=False), nn.LayerNorm(1000, bias=False))
    fill_with_repeated_noise(layers, 0)
    weight, norm = (parameter.detach() for parameter in layers.parameters())
    assert weight.numel() > NOISE_RUN and torch.equal(norm, torch.ones(1000))
    x = torch.randn(64, 1200, generator=torch.Generator().manual_seed(1))
    assert 0.95 < float((x @ weight.T).std()) < 1.05
