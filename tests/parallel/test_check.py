"""Several ranks compute what one computes."""

from __future__ import annotations

import dataclasses

import pytest
from worldloom.model.mixture import MixtureConfig
from worldloom.model.preset import Preset, SamplingConfig, load_preset
from worldloom.parallel.check import main

from .jobs import check_preset
from .processes import Processes


def small_preset(**changes: object) -> Preset:
    """The tiny model on 4×7 tokens a frame: memory, actions, float32."""
    preset = load_preset("tiny")
    video = dataclasses.replace(preset.video, height=128, width=224)
    return dataclasses.replace(preset, video=video, dtype="float32", **changes)


MIXTURE = MixtureConfig(boundary=0.9)
GUIDED = SamplingConfig(steps=2, guidance=3.0, negative_prompt="blurry")


@pytest.mark.parametrize(
    ("size", "preset", "head_chunks"),
    [
        (2, small_preset(), 1),
        (3, small_preset(mixture=MIXTURE), 2),
        (4, small_preset(), 2),
        (2, small_preset(sampling=GUIDED), 1),
    ],
    ids=["2 ranks", "3 ranks, mixture", "4 ranks, more than heads", "guidance"],
)
def test_ranks_make_the_latents_of_one(processes: Processes, size: int, preset: Preset, head_chunks: int) -> None:
    everyone = processes.run(size, check_preset, preset, head_chunks)
    assert all(rows == everyone[0] for rows in everyone)
    for row in everyone[0]:
        assert row.same_bits and row.agrees
        assert row.error < 1e-5


def test_the_command_runs_on_one_rank(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--preset", "tiny", "--device", "cpu"]) == 0
    assert "later clip" in capsys.readouterr().out


def test_the_command_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--preset", "nothing"]) == 2
    assert "there is no preset 'nothing'" in capsys.readouterr().err
