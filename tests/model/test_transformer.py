"""The transformer against the reference's vectors, and what must hold for any weights."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from worldloom.model.transformer import TransformerConfig, WorldTransformer

from .golden import golden, load_golden, relative_error


@pytest.fixture(scope="module")
def model() -> WorldTransformer:
    config = TransformerConfig.from_dict(json.loads(golden("dit/config.json").read_text()))
    with torch.device("meta"):
        model = WorldTransformer(config)
    model.load_state_dict(load_file(golden("dit/diffusion_pytorch_model.safetensors")), strict=True, assign=True)
    return model.eval()


def runs(timesteps: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Timesteps per token (N,) as values and lengths of their runs."""
    values, counts = torch.unique_consecutive(timesteps, return_counts=True)
    return values, tuple(counts.tolist())


@torch.no_grad()
def velocity(model: WorldTransformer, case: str) -> Tensor:
    inputs = load_golden(f"dit/{case}.inputs")
    start, stop = inputs["predict_latent_idx"].tolist()
    conditioning = model.prepare(
        context=inputs["context"],
        plucker=inputs["plucker_emb"],
        keyboard=inputs["keyboard_cond"],
        mouse=inputs["mouse_cond"],
        memory_keyboard=inputs.get("keyboard_cond_memory"),
        memory_mouse=inputs.get("mouse_cond_memory"),
        memory_latent_idx=inputs.get("memory_latent_idx"),
        predict_range=(start, stop),
    )
    timesteps, segments = runs(torch.cat([inputs.get("timestep_memory", torch.zeros(1, 0)), inputs["t"]], dim=1)[0])
    return model(
        inputs["x"],
        timesteps=timesteps,
        segments=segments,
        conditioning=conditioning,
        memory=inputs.get("x_memory"),
    )


@pytest.mark.parametrize("case", ["first_clip", "memory_clip"])
def test_velocity_matches_the_reference(model: WorldTransformer, case: str) -> None:
    expected = load_golden(f"dit/{case}.expected")["velocity"]
    error = relative_error(velocity(model, case), expected)
    assert error < 5e-6
