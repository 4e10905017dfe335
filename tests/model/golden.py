"""Golden cases: inputs, and the outputs of the public reference implementation for them."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file

_ROOT = Path(__file__).resolve().parents[1] / "golden"


def golden(case: str) -> Path:
    """Path of a case's folder or file below `tests/golden`, for example 'dit' or 'int8/inputs.safetensors'."""
    path = _ROOT / case
    if not path.exists():
        raise FileNotFoundError(f"no golden case {path}")
    return path


def load_golden(case: str) -> dict[str, torch.Tensor]:
    """Tensors of one safetensors file; 'dit/first_clip.inputs' names dit/first_clip.inputs.safetensors."""
    return load_file(golden(f"{case}.safetensors"))


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """‖actual − expected‖ / ‖expected‖ in float64."""
    difference = actual.double() - expected.double()
    return float(difference.norm() / expected.double().norm())
