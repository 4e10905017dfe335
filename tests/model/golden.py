"""Golden cases: inputs, and the outputs of the public reference implementation for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from worldloom.model.transformer import TransformerConfig, WorldTransformer

_ROOT = Path(__file__).resolve().parents[1] / "golden"
_SHARED = Path(__file__).resolve().parents[3] / "shared" / "golden"


def golden(case: str) -> Path:
    """Path of a case's folder or file below `tests/golden`, for example 'dit' or 'int8/inputs.safetensors'."""
    path = _ROOT / case
    if not path.exists():
        raise FileNotFoundError(f"no golden case {path}")
    return path


def shared_golden(case: str) -> Path:
    """The same in the complete set, which lies beside a checkout in CI; skips the test where it does not.

    `tests/golden/rollout` is a part of the shared case: actions, poses and memory choices, without latents and maps.
    """
    path = _SHARED / case
    if not path.exists():
        pytest.skip(f"needs the complete golden set beside the checkout: {path} does not exist")
    return path


def load_golden(case: str) -> dict[str, torch.Tensor]:
    """Tensors of one safetensors file; 'dit/first_clip.inputs' names dit/first_clip.inputs.safetensors."""
    return load_file(golden(f"{case}.safetensors"))


def load_transformer() -> WorldTransformer:
    """The transformer of the case 'dit', with its weights, for inference."""
    config = TransformerConfig.from_dict(json.loads(golden("dit/config.json").read_text()))
    with torch.device("meta"):
        model = WorldTransformer(config)
    model.load_state_dict(load_golden("dit/diffusion_pytorch_model"), strict=True, assign=True)
    return model.eval()


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """‖actual − expected‖ / ‖expected‖ in float64."""
    difference = actual.double() - expected.double()
    return float(difference.norm() / expected.double().norm())
