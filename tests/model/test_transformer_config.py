"""Reading config.json: official files, and files that cannot work."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import torch
from worldloom.errors import ConfigError
from worldloom.model.transformer import TransformerConfig, WorldTransformer

from .golden import golden

OFFICIAL_ACTION: dict[str, Any] = {
    "blocks": list(range(15)),
    "enable_keyboard": True,
    "enable_mouse": True,
    "heads_num": 16,
    "hidden_size": 128,
    "img_hidden_size": 3072,
    "keyboard_dim_in": 6,
    "keyboard_hidden_dim": 1024,
    "mouse_dim_in": 2,
    "mouse_hidden_dim": 1024,
    "mouse_qk_dim_list": [8, 28, 28],
    "patch_size": [1, 2, 2],
    "qk_norm": True,
    "qkv_bias": False,
    "rope_dim_list": [8, 28, 28],
    "rope_theta": 256,
    "vae_time_compression_ratio": 4,
    "windows_size": 3,
}
OFFICIAL_5B: dict[str, Any] = {
    "_class_name": "WanModel",
    "_diffusers_version": "0.33.0",
    "action_config": OFFICIAL_ACTION,
    "cross_attn_norm": True,
    "dim": 3072,
    "eps": 1e-6,
    "ffn_dim": 14336,
    "freq_dim": 256,
    "in_dim": 48,
    "model_type": "ti2v",
    "num_heads": 24,
    "num_layers": 30,
    "out_dim": 48,
    "patch_size": [1, 2, 2],
    "qk_norm": True,
    "sigma_theta": 0.8,
    "text_dim": 4096,
    "text_len": 512,
    "use_memory": True,
    "use_text_crossattn": True,
    "window_size": [-1, -1],
}


def count_parameters(config: TransformerConfig) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in WorldTransformer(config).parameters())


def test_the_official_5b_has_its_published_size() -> None:
    assert round(count_parameters(TransformerConfig.from_dict(OFFICIAL_5B)) / 1e9, 2) == 6.47


def test_the_14b_is_the_same_class_with_other_numbers() -> None:
    action = {**OFFICIAL_ACTION, "img_hidden_size": 5120}
    sizes = {"dim": 5120, "ffn_dim": 13824, "num_heads": 40, "num_layers": 40}
    config = TransformerConfig.from_dict({**OFFICIAL_5B, **sizes, "action_config": action})
    assert config.head_dim == 128
    assert count_parameters(config) > 14e9


@pytest.mark.parametrize("raw", [OFFICIAL_5B, json.loads(golden("dit/config.json").read_text())])
def test_a_config_survives_being_written_and_read(raw: dict[str, Any]) -> None:
    config = TransformerConfig.from_dict(raw)
    written = json.loads(json.dumps(config.to_dict()))
    assert TransformerConfig.from_dict(written) == config
    assert written.items() <= raw.items()


@pytest.mark.parametrize("empty", [None, {}])
def test_an_expert_may_come_without_actions(empty: dict[str, Any] | None) -> None:
    config = TransformerConfig.from_dict({**OFFICIAL_5B, "action_config": empty})
    assert config.action_config is None
    assert TransformerConfig.from_dict(config.to_dict()) == config


def test_unknown_keys_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        TransformerConfig.from_dict({**OFFICIAL_5B, "colour": "blue"})
    assert "colour" in caplog.text
    assert "_class_name" not in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": 3071}, "dim 3071 does not split into 24 heads"),
        ({"num_layers": 0}, "num_layers is 0"),
        ({"num_layers": 14}, r"blocks names \[14\]"),
        ({"num_layers": "30"}, "num_layers is '30'"),
        ({"num_heads": True}, "num_heads is True"),
        ({"patch_size": [2, 2, 2]}, r"patch_size is \(2, 2, 2\)"),
        ({"patch_size": 2}, "patch_size is 2"),
        ({"freq_dim": 255}, "freq_dim is 255"),
        ({"sigma_theta": 1.2}, "sigma_theta is 1.2"),
        ({"eps": float("nan")}, "eps is nan"),
        ({"qk_norm": False}, "qk_norm is False"),
        ({"window_size": [9, 9]}, r"window_size is \[9, 9\]"),
        ({"action_config": 3}, "action_config is 3"),
        ({"action_config": {**OFFICIAL_ACTION, "img_hidden_size": 64}}, "action_config has width 64"),
        ({"action_config": {**OFFICIAL_ACTION, "blocks": [1, 1]}}, r"blocks is \(1, 1\)"),
        ({"action_config": {**OFFICIAL_ACTION, "rope_dim_list": [8, 8, 8]}}, r"rope_dim_list is \(8, 8, 8\)"),
        ({"action_config": {**OFFICIAL_ACTION, "enable_mouse": False}}, "enable_mouse is False"),
        ({"action_config": {"blocks": [0]}}, "action_config lacks heads_num"),
    ],
)
def test_a_config_that_cannot_work_is_refused_with_its_numbers(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        TransformerConfig.from_dict({**OFFICIAL_5B, **changes})
    assert caught.value.hint


@pytest.mark.parametrize("key", ["dim", "in_dim", "num_heads", "text_dim"])
def test_missing_sizes_are_named(key: str) -> None:
    raw = {name: value for name, value in OFFICIAL_5B.items() if name != key}
    with pytest.raises(ConfigError, match=f"config lacks {key}"):
        TransformerConfig.from_dict(raw)
