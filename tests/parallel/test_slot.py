"""Experts that take turns in one place."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from worldloom.errors import ConfigError
from worldloom.model.load import load_rollout
from worldloom.model.mixture import HIGH_NOISE, LOW_NOISE, MixtureConfig
from worldloom.model.precision import Precision
from worldloom.model.preset import load_preset
from worldloom.model.rehearsal import random_clips
from worldloom.model.rollout import Rollout
from worldloom.model.weights import load_experts
from worldloom.parallel.load import load_layout
from worldloom.parallel.planner import Layout, Placement, Stage
from worldloom.parallel.ranks import Ranks
from worldloom.parallel.slot import ExpertSlot

PRESET = replace(load_preset("tiny"), mixture=MixtureConfig(boundary=0.9))
FIRST, THIRD = HIGH_NOISE["first_person"], HIGH_NOISE["third_person"]
SHORT_OF_MEMORY = Layout(
    placement=Placement.SINGLE, stages=(Stage(experts=(FIRST, LOW_NOISE), ranks=1),), cold=(THIRD,)
)


def check_turns(device: str, precision: Precision) -> None:
    preset = PRESET.with_precision(precision)
    shared = load_layout(preset, Ranks.alone(device), SHORT_OF_MEMORY)
    everything = load_rollout(preset, device)
    assert set(shared.experts) == {FIRST, LOW_NOISE}
    assert isinstance(shared.rollout, Rollout)
    _, clip = random_clips(preset, 0)
    for viewpoint in ("first_person", "third_person", "third_person", "first_person"):
        seen = replace(clip, viewpoint=viewpoint)
        made = shared.rollout.denoise(seen).latents
        assert torch.equal(made, everything.denoise(seen).latents)


@pytest.mark.parametrize("precision", [Precision.BF16, Precision.FP8])
def test_an_expert_that_waits_on_the_host_computes_the_same_when_its_turn_comes(precision: Precision) -> None:
    check_turns("cpu", precision)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_it_does_on_a_gpu_too() -> None:
    check_turns("cuda", Precision.FP8)


def test_another_shape_does_not_fit_the_place() -> None:
    experts = load_experts(PRESET, "cpu", (FIRST, LOW_NOISE))
    slot = ExpertSlot(FIRST, experts[FIRST])
    with pytest.raises(ConfigError, match="'low_noise' has not the shape of 'high_noise_first_person'"):
        slot.add(LOW_NOISE, [tensor.clone() for tensor in experts[LOW_NOISE].parameters()])
