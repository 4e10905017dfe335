"""Sizes from shapes alone, against the modules themselves."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from worldloom.model.precision import Precision
from worldloom.model.preset import load_preset
from worldloom.model.text import UMT5Encoder
from worldloom.model.transformer import WorldTransformer
from worldloom.parallel.footprint import expert_configs, footprint, text_parameters, transformer_parameters


def numbers(module: nn.Module) -> int:
    return sum(tensor.numel() for tensor in module.state_dict().values())


@pytest.mark.parametrize("name", ["tiny", "pocket", "mg3-5b", "mg3-28b"])
def test_parameters_are_counted_as_the_modules_hold_them(name: str) -> None:
    preset = load_preset(name)
    with torch.device("meta"):
        for config in expert_configs(preset).values():
            assert transformer_parameters(config) == numbers(WorldTransformer(config))
        assert text_parameters(preset.text) == numbers(UMT5Encoder(preset.text))


def test_only_the_high_noise_experts_have_actions() -> None:
    configs = expert_configs(load_preset("mg3-28b"))
    with_actions = {name for name, config in configs.items() if config.action_config is not None}
    assert with_actions == {"high_noise_first_person", "high_noise_third_person"}


def test_ranks_share_tokens_and_not_weights() -> None:
    preset = load_preset("mg3-28b")
    one, four = footprint(preset, 1), footprint(preset, 4)
    assert one.expert == four.expert > 36e9
    assert one.conditioning == pytest.approx(4 * four.conditioning, rel=1e-3)


def test_eight_bits_take_half() -> None:
    preset = load_preset("mg3-28b")
    halved = footprint(preset.with_precision(Precision.FP8), 1).expert / footprint(preset, 1).expert
    assert 0.5 < halved < 0.53


def test_the_5b_on_one_gpu_takes_what_was_measured() -> None:
    """21.2 GiB at most with the 75 % pruned decoder and without a text encoder (ops/bench/results)."""
    sizes = footprint(load_preset("mg3-5b"), 1)
    measured = 21.2 * (1 << 30)
    assert sizes.rank(1) + sizes.decoder == pytest.approx(measured, rel=0.35)
