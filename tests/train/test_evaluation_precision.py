"""8-bit precision, numbers of steps, and decoders of long streams."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from worldloom.model.locations import needed_parts
from worldloom.model.precision import Precision
from worldloom.model.preset import Preset, VideoConfig, load_preset
from worldloom.train.evaluation import decoder, jobs, precision
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


def in_precision(preset: Preset, kind: Precision) -> ModelPlayer:
    return ModelPlayer.load(preset.with_precision(kind), CPU)


@pytest.mark.parametrize("kind", [Precision.INT8, Precision.FP8, Precision.FP8_ATTENTION])
def test_eight_bits_change_the_frames_a_little(
    kind: Precision, preset: Preset, exact: ModelPlayer, scene: Scene
) -> None:
    report = compared(exact, in_precision(preset, kind), scene)
    (row,) = report.tables[0].rows
    assert 35 < number(row["psnr"]) < 90 and report.aims[0].met
    assert 1e-4 < number(row["latents"]) < 0.05


def test_equal_precision_gives_equal_frames(exact: ModelPlayer, scene: Scene) -> None:
    assert number(compared(exact, exact, scene).tables[0].rows[0]["psnr"]) > 100


def test_broken_rounding_misses_the_aim(preset: Preset, exact: ModelPlayer, scene: Scene) -> None:
    broken = in_precision(preset, Precision.FP8)
    scales = [
        buffer
        for name, buffer in broken.rollout.parts.expert_for(999, "first_person").named_buffers()
        if name.endswith(".scales")
    ]
    assert scales
    for scale in scales:
        scale.mul_(-3.0)
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
