"""8-bit precision, numbers of steps, and decoders of long streams."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from worldloom.model.locations import needed_parts
from worldloom.model.preset import Preset, VideoConfig, load_preset
from worldloom.model.quantization import Int8Linear
from worldloom.train.evaluation import decoder, jobs, precision
from worldloom.train.evaluation.fp8 import RoundedLinear, round_layers, round_rows
from worldloom.train.evaluation.player import ModelPlayer
from worldloom.train.evaluation.report import Report, number
from worldloom.train.evaluation.scenes import Scene, scenes_for_script

VIDEO = VideoConfig(height=32, width=64, frame_rate=16)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def preset() -> Preset:
    return replace(load_preset("tiny"), video=VIDEO)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return scenes_for_script(precision.walk(), 1, 0, VIDEO, CPU)[0]


@pytest.fixture(scope="module")
def exact(preset: Preset) -> ModelPlayer:
    return ModelPlayer.load(preset, CPU)


def compared(exact: ModelPlayer, rounded: ModelPlayer, scene: Scene) -> Report:
    return precision.measure(exact, rounded, [scene], ("float32", "8 bits"), lambda: None)


def test_e4m3_keeps_its_own_numbers_and_rounds_the_rest_by_a_sixteenth_at_most() -> None:
    kept = torch.tensor([[448.0, 1.0, -1.125, 0.0], [56.0, 0.125, 3.5, -0.25]])
    torch.testing.assert_close(round_rows(kept), kept)
    values = torch.rand(8, 64, generator=torch.Generator().manual_seed(0)) + 0.1
    error = (round_rows(values) - values).abs() / values
    assert 0.01 < float(error.max()) <= 1 / 16 + 1e-6
    assert torch.equal(round_rows(torch.zeros(2, 4)), torch.zeros(2, 4))


def test_rounded_layer_is_near_its_linear_layer() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(64, 32)
    x = torch.randn(2, 5, 64)
    error = (RoundedLinear(linear)(x) - linear(x)).norm() / linear(x).norm()
    assert 0.001 < float(error) < 0.05


@pytest.mark.parametrize("kind, layer", [("int8", Int8Linear), ("fp8", RoundedLinear)])
def test_eight_bits_change_the_frames_a_little(
    kind: precision.Precision, layer: type[nn.Module], preset: Preset, exact: ModelPlayer, scene: Scene
) -> None:
    rounded = precision.rounded_player(preset, kind, CPU)
    expert = rounded.rollout.parts.expert_for(999, "first_person")
    assert {type(expert.get_submodule(f"blocks.0.{name}")) for name in ("self_attn.q", "cross_attn.o")} == {layer}
    report = compared(exact, rounded, scene)
    value = number(report.tables[0].rows[0]["psnr"])
    assert 35 < value < 90 and report.aims[0].met


def test_equal_precision_gives_equal_frames(exact: ModelPlayer, scene: Scene) -> None:
    assert number(compared(exact, exact, scene).tables[0].rows[0]["psnr"]) > 100


def test_broken_rounding_misses_the_aim(preset: Preset, exact: ModelPlayer, scene: Scene) -> None:
    broken = ModelPlayer.load(preset, CPU)
    expert = broken.rollout.parts.expert_for(999, "first_person")
    for name in round_layers(expert):
        layer = expert.get_submodule(name)
        assert isinstance(layer, RoundedLinear)
        layer.weight.mul_(-3.0)
    assert not compared(exact, broken, scene).aims[0].met


def test_more_steps_are_another_chunk_from_the_same_state(exact: ModelPlayer, scene: Scene) -> None:
    assert exact.rollout.sampling.steps == 3
    variants = [("3", exact), ("3 again", precision.with_steps(exact, 3)), ("5", precision.with_steps(exact, 5))]
    three, again, five = precision.compare_steps(exact, variants, [scene], lambda: None).rows
    assert three["sharpness"] == again["sharpness"] != five["sharpness"]


def test_without_a_base_model_there_is_nothing_to_compare_steps_with(preset: Preset) -> None:
    assert jobs.base_of(preset) is None


def test_decoders_are_compared_on_equal_streams(preset: Preset) -> None:
    counted: list[int] = []
    setup = jobs.Setup(preset=preset, device=CPU, worlds=1, seed=4)
    job = jobs.decoder(setup, {0.5: "unused"})
    report = job.run(lambda: counted.append(1))
    assert job.total == len(counted) == 2
    full, half = report.tables[0].rows
    assert (full["decoder"], half["decoder"]) == (decoder.FULL, "50% pruned")
    assert number(half["psnr_full"]) < 40 and number(full["psnr"]) != number(half["psnr"])
    assert not report.aims[0].met


def test_a_base_model_beside_the_weights_is_found(preset: Preset, tmp_path: Path) -> None:
    beside = preset.with_directory(tmp_path)
    for part in needed_parts(beside):
        path = tmp_path / part
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert jobs.base_of(beside) is None
    (tmp_path / jobs.BASE_DIRECTORY).mkdir()
    (tmp_path / jobs.BASE_DIRECTORY / "config.json").touch()
    base = jobs.base_of(beside)
    assert base is not None and base.trained
    assert (base.weights.transformer_dir, base.sampling.steps) == (jobs.BASE_DIRECTORY, jobs.BASE_STEPS)
