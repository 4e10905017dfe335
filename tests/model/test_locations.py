from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from worldloom.errors import CheckpointError, NotReleased
from worldloom.model.locations import default_directory, needed_parts, weights_directory
from worldloom.model.preset import load_preset


def test_a_local_directory_is_used_if_it_has_all_parts(tmp_path: Path) -> None:
    preset = load_preset("mg3-5b").with_directory(tmp_path)
    for part in needed_parts(preset):
        with pytest.raises(CheckpointError, match=part):
            weights_directory(preset)
        path = tmp_path / part / "config.json" if part.endswith("/") else tmp_path / part
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert weights_directory(preset) == tmp_path


def test_random_weights_have_no_directory() -> None:
    assert weights_directory(load_preset("tiny")) is None


def test_a_mixture_needs_the_directory_of_every_expert() -> None:
    assert {"high_noise_first_person/", "high_noise_third_person/", "low_noise/"} < set(
        needed_parts(load_preset("mg3-28b"))
    )


def test_revisions_have_directories_of_their_own() -> None:
    weights = load_preset("mg3-5b").weights
    assert default_directory(weights) != default_directory(replace(weights, revision="v2"))


def test_the_cache_follows_the_users_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = load_preset("mg3-5b").weights
    monkeypatch.delenv("WORLDLOOM_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert default_directory(weights) == tmp_path / "cache" / "worldloom" / "Skywork--Matrix-Game-3.0"
    monkeypatch.setenv("WORLDLOOM_CACHE", str(tmp_path / "own"))
    assert default_directory(weights) == tmp_path / "own" / "Skywork--Matrix-Game-3.0"


def test_weights_that_were_not_fetched_are_an_error_with_the_command_that_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLDLOOM_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match="base_distilled_model/") as caught:
        weights_directory(load_preset("mg3-5b"))
    assert "worldloom fetch mg3-5b" in caught.value.hint


def test_unreleased_weights_have_no_directory() -> None:
    with pytest.raises(NotReleased, match="mg3-28b") as caught:
        weights_directory(load_preset("mg3-28b"))
    assert "mg3-5b" in caught.value.hint
