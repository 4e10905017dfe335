"""Several ranks compute what one computes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from worldloom.model.mixture import MixtureConfig
from worldloom.model.precision import Precision
from worldloom.model.preset import Preset, SamplingConfig, load_preset
from worldloom.parallel.check import main

from .jobs import check_preset
from .processes import Processes

TINY = load_preset("tiny")
SMALL = replace(TINY, video=replace(TINY.video, height=128, width=224), dtype="float32")
"""The tiny model on 4×7 tokens a frame: memory, actions, float32."""
MIXTURE = replace(SMALL, mixture=MixtureConfig(boundary=0.9))
GUIDED = replace(SMALL, sampling=SamplingConfig(steps=2, guidance=3.0, negative_prompt="blurry"))


@pytest.mark.parametrize(
    ("size", "preset", "head_chunks"),
    [
        (2, SMALL, 1),
        (3, MIXTURE, 2),
        (4, SMALL.with_precision(Precision.FP8), 2),
        (2, GUIDED, 1),
    ],
    ids=["2 ranks", "3 ranks, mixture", "4 ranks, more than heads, 8 bits", "guidance"],
)
def test_ranks_make_the_latents_of_one(processes: Processes, size: int, preset: Preset, head_chunks: int) -> None:
    everyone = processes.run(size, check_preset, preset, head_chunks)
    assert all(rows == everyone[0] for rows in everyone)
    for row in everyone[0]:
        assert row.same_bits and row.agrees
        assert row.error < 1e-5


def test_sides_of_a_relay_share_their_steps(processes: Processes) -> None:
    everyone = processes.run(4, check_preset, MIXTURE, 1, 3)
    for rows in everyone:
        assert all(row.same_bits and row.error < 1e-3 for row in rows)


def test_attention_in_e4m3_agrees_but_for_its_rounding(processes: Processes) -> None:
    rows, *_ = processes.run(2, check_preset, SMALL.with_precision(Precision.FP8_ATTENTION), 1)
    exact, *_ = processes.run(2, check_preset, SMALL.with_precision(Precision.FP8), 1)
    for row, without in zip(rows, exact, strict=True):
        assert row.same_bits and row.agrees
        assert without.error < row.error


def test_the_command_runs_on_one_rank(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--preset", "tiny", "--device", "cpu"]) == 0
    assert "later clip" in capsys.readouterr().out


def test_the_command_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--preset", "nothing"]) == 2
    assert "there is no preset 'nothing'" in capsys.readouterr().err
