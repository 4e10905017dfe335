"""Presets to rollouts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from worldloom.errors import ConfigError, DoesNotFit, NotReleased
from worldloom.model.load import load_rollout, resolve_device
from worldloom.model.mixture import MixtureConfig
from worldloom.model.preset import Preset, load_preset
from worldloom.model.rehearsal import still_clips

TINY = load_preset("tiny")


def last_latents(preset: Preset) -> torch.Tensor:
    rollout = load_rollout(preset, "cpu")
    *_, later = [rollout.denoise(clip).latents for clip in still_clips(preset)]
    return later


def test_a_preset_runs_with_its_seeded_weights() -> None:
    latents = last_latents(TINY)
    assert latents.shape == (4, 10, 4, 6)
    assert torch.equal(last_latents(TINY), latents)
    assert not torch.equal(last_latents(TINY.with_random_weights(9)), latents)


def test_bfloat16_is_near_float32() -> None:
    exact, rounded = last_latents(TINY), last_latents(replace(TINY, dtype="bfloat16"))
    assert rounded.dtype == torch.float32
    error = (rounded - exact).norm() / exact.norm()
    assert 0 < error < 0.02


def test_a_mixture_runs_a_high_noise_expert_of_each_viewpoint_and_the_low_noise_one() -> None:
    rollout = load_rollout(replace(TINY, mixture=MixtureConfig(boundary=0.9)), "cpu")
    experts = {
        (timestep, viewpoint): rollout.parts.expert_for(timestep, viewpoint)
        for timestep in (950, 100)
        for viewpoint in ("first_person", "third_person")
    }
    assert len({id(expert) for expert in experts.values()}) == 3
    assert experts[100, "first_person"] is experts[100, "third_person"]
    first, _ = still_clips(TINY)
    seen = [
        rollout.denoise(replace(first, viewpoint=viewpoint)).latents for viewpoint in ("first_person", "third_person")
    ]
    assert all(torch.isfinite(latents).all() for latents in seen)


def test_weights_that_are_not_there_are_named() -> None:
    with pytest.raises(ConfigError, match="mock"):
        load_rollout(load_preset("mock"), "cpu")
    with pytest.raises(NotReleased, match="mg3-28b"):
        load_rollout(load_preset("mg3-28b"), "cpu")


def test_devices_that_are_not_there_are_refused() -> None:
    with pytest.raises(ConfigError, match="abacus"):
        resolve_device("abacus")
    with pytest.raises(DoesNotFit, match="cuda:99"):
        resolve_device("cuda:99")
    assert resolve_device("cpu").type == "cpu"
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
