"""`worldloom parity` on copies of the golden cases without their expected files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file
from worldloom.cluster.parity_cases import runs
from worldloom.serve.commands.parity import parity

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "golden"
CASES = ("camera", "dit", "int8", "scheduler", "t5")
"""Those that the repository has whole."""
TOLERANCE = 5e-6
LOOSE_TOLERANCE = 2e-5
"""Of autoencoders and rollouts, where errors add up."""


def without_expected(source: Path, target: Path) -> Path:
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*expected*"), copy_function=shutil.copyfile)
    return target


def run(cases: Path, out: Path) -> Result:
    return CliRunner().invoke(parity, [str(cases), "--out", str(out)], standalone_mode=False)


def assert_same(actual: Path, expected: Path, *, tolerance: float, rows: torch.Tensor | None = None) -> None:
    ours, theirs = load_file(actual), load_file(expected)
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert (ours[name].dtype, ours[name].shape) == (value.dtype, value.shape), name
        if value.is_floating_point():
            mine, other = (ours[name], value) if rows is None else (ours[name][rows], value[rows])
            error = (mine.double() - other.double()).norm() / other.double().norm().clamp(min=1e-30)
            assert error < tolerance, f"{actual}: {name} is off by {float(error)}"
        else:
            assert torch.equal(ours[name], value), name


def assert_matches(out: Path, golden: Path, case: str) -> None:
    tolerance = LOOSE_TOLERANCE if case.startswith(("vae", "rollout")) else TOLERANCE
    rows = load_file(golden / "t5/inputs.safetensors")["mask"] == 1 if case == "t5" else None
    expected = sorted((golden / case).glob("*expected.safetensors"))
    assert expected
    for path in expected:
        assert_same(out / case / path.name, path, tolerance=tolerance, rows=rows)


def test_all_shared_cases_match_tensor_by_tensor(tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip(f"needs the complete golden set beside the checkout: {SHARED} does not exist")
    result = run(without_expected(SHARED, tmp_path / "cases"), tmp_path / "out")
    assert result.return_value == 0, result.output
    for case in sorted(path.parent.name for path in SHARED.glob("*/*inputs.safetensors")):
        assert_matches(tmp_path / "out", SHARED, case)


@pytest.mark.parametrize("case", CASES)
def test_a_single_case_can_be_given(tmp_path: Path, case: str) -> None:
    result = run(without_expected(GOLDEN / case, tmp_path / "case"), tmp_path / "out" / case)
    assert result.return_value == 0, result.output
    assert_matches(tmp_path / "out", GOLDEN, case)


def test_the_number_of_steps_is_that_of_the_velocities(tmp_path: Path) -> None:
    folder = tmp_path / "steps"
    folder.mkdir()
    sample, velocities = torch.ones(3, 2, 2), torch.zeros(7, 3, 2, 2)
    save_file({"sample": sample, "velocities": velocities}, folder / "any.inputs.safetensors")
    assert run(folder, tmp_path / "out").return_value == 0
    outputs = load_file(tmp_path / "out" / "any.expected.safetensors")
    assert {name: len(value) for name, value in outputs.items()} == {"timesteps": 7, "sigmas": 8, "samples": 7}
    assert outputs["samples"].shape == velocities.shape


def test_a_transformer_case_may_have_runs_of_timesteps_and_another_number_of_memory_frames(tmp_path: Path) -> None:
    folder = without_expected(GOLDEN / "dit", tmp_path / "dit")
    inputs = load_file(folder / "memory_clip.inputs.safetensors")
    short = {
        **inputs,
        "x_memory": inputs["x_memory"][:, :, :2],
        "timestep_memory": inputs["timestep_memory"][:, :12],
        "memory_latent_idx": inputs["memory_latent_idx"][:2],
        "keyboard_cond_memory": inputs["keyboard_cond_memory"][:, :2],
        "mouse_cond_memory": inputs["mouse_cond_memory"][:, :2],
        "plucker_emb": inputs["plucker_emb"][:, :, 3:],
    }
    odd = {**short, "t": short["t"].clone()}
    odd["t"][:, 30:40] = 123.0
    for name, tensors in (("short", short), ("odd", odd)):
        save_file({key: value.contiguous() for key, value in tensors.items()}, folder / f"{name}.inputs.safetensors")
    assert run(folder, tmp_path / "out").return_value == 0
    short_velocity, odd_velocity = (
        load_file(tmp_path / "out" / f"{name}.expected.safetensors")["velocity"] for name in ("short", "odd")
    )
    assert short_velocity.shape == (1, 48, 14, 4, 6)
    assert not torch.allclose(short_velocity, odd_velocity)


def test_runs_of_timesteps_end_where_any_sample_of_the_batch_changes() -> None:
    values, lengths = runs(torch.tensor([[0.0, 0, 5, 5, 5], [1, 1, 1, 2, 2]]))
    assert lengths == (2, 1, 2)
    assert values.tolist() == [[0, 5, 5], [1, 1, 2]]


def test_a_rollout_plays_as_many_clips_as_it_has_noise_for(tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip(f"needs the complete golden set beside the checkout: {SHARED} does not exist")
    cases = tmp_path / "cases"
    without_expected(SHARED / "dit", cases / "dit")
    without_expected(SHARED / "rollout", cases / "rollout")
    inputs = load_file(cases / "rollout/inputs.safetensors")
    kept = ("image_latent", "context", "distilled.noise0", "distilled.noise1")
    fewer = {name: inputs[name] for name in kept} | {name: inputs[name][:97] for name in ("keyboard", "mouse")}
    save_file(fewer, cases / "rollout/inputs.safetensors")
    result = run(cases / "rollout", tmp_path / "out")
    assert result.return_value == 0, result.output
    outputs = load_file(tmp_path / "out/expected.safetensors")
    expected = load_file(SHARED / "rollout/expected.safetensors")
    latents = {name for name in outputs if name.endswith(".latents")}
    assert latents == {"distilled.chunk0.latents", "distilled.chunk1.latents"}
    assert len(outputs["poses"]) == 97
    for name in (*latents, "chunk1.plucker"):
        assert torch.linalg.norm(outputs[name] - expected[name]) < LOOSE_TOLERANCE * torch.linalg.norm(expected[name])


def test_a_case_that_fails_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    cases = tmp_path / "cases"
    without_expected(GOLDEN / "int8", cases / "int8")
    for name, tensors in {
        "lonely_t5": {"ids": torch.ones(1, 3, dtype=torch.int64), "mask": torch.ones(1, 3, dtype=torch.int64)},
        "strange": {"thing": torch.ones(2)},
        "twisted": {"x": torch.ones(3, 4), "weight": torch.ones(5, 6)},
    }.items():
        (cases / name).mkdir()
        save_file(tensors, cases / name / "inputs.safetensors")
    result = run(cases, tmp_path / "out")
    assert result.return_value == 1
    for name in ("lonely_t5", "strange", "twisted"):
        assert f"{name}/inputs.safetensors failed" in result.output
    assert_matches(tmp_path / "out", GOLDEN, "int8")


def test_a_folder_without_cases_is_refused(tmp_path: Path) -> None:
    result = run(tmp_path, tmp_path / "out")
    assert "inputs.safetensors" in str(result.exception)
