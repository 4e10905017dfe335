"""`worldloom eval` writes what it measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from worldloom.errors import ConfigError
from worldloom.train.commands.eval import evaluate


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text('extends = "tiny"\nname = "small"\n[video]\nheight = 32\nwidth = 64\n')
    return path


def test_a_measurement_leaves_tables_figures_and_pictures(preset: Path, tmp_path: Path) -> None:
    file, folder = tmp_path / "figures" / "drift.json", tmp_path / "pictures"
    arguments = ["drift", "--preset", str(preset), "--worlds", "1", "--chunks", "2", "--device", "cpu"]
    run = CliRunner().invoke(
        evaluate, [*arguments, "--json", str(file), "--pictures", str(folder)], catch_exceptions=False
    )
    assert run.exit_code == 0 and "**Back at the start**" in run.output and "not trained" in run.output
    document = json.loads(file.read_text())
    assert document["measurement"] == "drift" and len(document["details"]["chunks"]) == 2
    assert document["made_by"]["commit"] and document["settings"]["chunks"] == 2
    (picture,) = folder.glob("drift-*.jpg")
    assert np.asarray(Image.open(picture)).shape[1] == 10 * 64


def test_equal_commands_give_equal_figures(preset: Path, tmp_path: Path) -> None:
    documents = []
    for number in range(2):
        file = tmp_path / f"{number}.json"
        arguments = ["precision", "--preset", str(preset), "--worlds", "1", "--json", str(file)]
        CliRunner().invoke(evaluate, arguments, catch_exceptions=False)
        documents.append(json.loads(file.read_text()))
    assert documents[0]["tables"] == documents[1]["tables"]


def test_a_preset_without_a_model_is_refused() -> None:
    with pytest.raises(ConfigError, match="mock"):
        CliRunner().invoke(evaluate, ["control", "--preset", "mock"], catch_exceptions=False)


@pytest.mark.parametrize("value", ["half=a", "1.5=a", "0.5="])
def test_a_pruned_decoder_needs_a_rate_and_a_file(value: str) -> None:
    run = CliRunner().invoke(evaluate, ["decoder", "--pruned", value])
    assert (run.exit_code == 2 and "RATE" in run.output) or "rate" in run.output
