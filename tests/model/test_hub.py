from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from huggingface_hub import constants
from worldloom.errors import CheckpointError, ConfigError, DownloadError, NotReleased
from worldloom.model.hub import RECORD, fetch
from worldloom.model.locations import weights_directory
from worldloom.model.preset import Preset, load_preset
from worldloom.serve.commands.fetch import fetch as fetch_command

from .hub_server import COMMIT, REPO, HubServer, hub_server

WEIGHTS = "base_distilled_model/diffusion_pytorch_model.safetensors"
WEIGHTS_BYTES = 2**20

# The command in a process of its own, in which the hub's client writes to disk in smaller pieces than its usual 10 MB.
COMMAND = """
from huggingface_hub import constants
from worldloom.serve.cli import main
constants.DOWNLOAD_CHUNK_SIZE = 2**16
main()
"""

PRESET_FILE = f"""
extends = "tiny"
name = "fetched"

[weights]
source = "hub"
repo = "{REPO}"
"""


@pytest.fixture(scope="module")
def content() -> dict[str, bytes]:
    generator = random.Random(7)
    return {
        "README.md": b"not needed",
        "base_distilled_model/config.json": b"{}",
        WEIGHTS: generator.randbytes(WEIGHTS_BYTES),
        "base_model/diffusion_pytorch_model.safetensors": b"not needed",
        "vae.safetensors": generator.randbytes(20_000),
        "text.safetensors": generator.randbytes(20_001),
        "tokenizer/tokenizer.json": b"{'model': {}}",
    }


@pytest.fixture
def hub(content: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with hub_server(content) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        yield server


@pytest.fixture
def preset_file(tmp_path: Path) -> Path:
    path = tmp_path / "fetched.toml"
    path.write_text(PRESET_FILE)
    return path


@pytest.fixture
def preset(preset_file: Path) -> Preset:
    return load_preset(preset_file)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "weights"


def files_in(directory: Path) -> dict[str, bytes]:
    paths = (path for path in directory.rglob("*") if path.is_file() and not path.name.startswith(".worldloom"))
    return {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}


def needed(content: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in content.items() if data != b"not needed"}


def test_what_the_preset_needs_is_fetched_and_nothing_else(
    hub: HubServer, preset: Preset, place: Path, content: dict[str, bytes]
) -> None:
    assert fetch(preset, place) == place
    assert files_in(place) == needed(content)


def test_fetching_again_downloads_nothing(hub: HubServer, preset: Preset, place: Path) -> None:
    fetch(preset, place)
    downloads = sum(len(ranges) for ranges in hub.ranges.values())
    fetch(preset, place)
    assert sum(len(ranges) for ranges in hub.ranges.values()) == downloads


def wait_for_bytes(path: Path, count: int, child: subprocess.Popen[bytes]) -> None:
    while not (path.is_file() and path.stat().st_size >= count):
        assert child.poll() is None, f"the child ended with {child.returncode} before {path} had {count} bytes"
        time.sleep(0.01)


def test_a_download_that_was_killed_midway_goes_on_where_it_stopped(
    hub: HubServer, preset: Preset, preset_file: Path, place: Path, content: dict[str, bytes]
) -> None:
    hub.stall = (WEIGHTS, WEIGHTS_BYTES // 2)
    command = [sys.executable, "-c", COMMAND, "fetch", str(preset_file), "--dir", str(place)]
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint}
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    part = place / f"{WEIGHTS}.part"
    try:
        wait_for_bytes(part, WEIGHTS_BYTES // 4, child)
    finally:
        child.kill()
        child.wait()
    hub.stall = None
    hub.released.set()
    arrived = part.stat().st_size
    assert not (place / WEIGHTS).exists()
    fetch(preset, place)
    assert hub.ranges[WEIGHTS] == [None, f"bytes={arrived}-"]
    assert files_in(place) == needed(content)


@pytest.mark.parametrize("name", [WEIGHTS, "base_distilled_model/config.json"])
def test_a_file_that_arrives_damaged_is_refused_and_removed(
    hub: HubServer, preset: Preset, place: Path, content: dict[str, bytes], name: str
) -> None:
    whole = content[name]
    hub.served[name] = whole[:-1] + bytes([whole[-1] ^ 1])
    with pytest.raises(DownloadError, match="arrived damaged") as caught:
        fetch(preset, place)
    assert name in caught.value.message
    assert name not in files_in(place)
    hub.served[name] = whole
    fetch(preset, place)
    assert files_in(place) == needed(content)


def test_a_damaged_part_is_found_out_once_it_is_whole(hub: HubServer, preset: Preset, place: Path) -> None:
    part = place / f"{WEIGHTS}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"\0" * 1000)
    with pytest.raises(DownloadError, match="arrived damaged"):
        fetch(preset, place)
    fetch(preset, place)
    assert hub.ranges[WEIGHTS] == ["bytes=1000-", None]


def test_a_file_that_was_there_before_is_kept_if_it_is_right_and_replaced_if_not(
    hub: HubServer, preset: Preset, place: Path, content: dict[str, bytes]
) -> None:
    place.mkdir()
    (place / "vae.safetensors").write_bytes(content["vae.safetensors"])
    (place / "text.safetensors").write_bytes(b"\0" * len(content["text.safetensors"]))
    fetch(preset, place)
    assert "vae.safetensors" not in hub.ranges
    assert files_in(place) == needed(content)


@pytest.mark.parametrize("record", ["", "[]", '{"vae.safetensors": "sha256:0"}'])
def test_a_lost_or_damaged_record_only_costs_verifying_again(
    hub: HubServer, preset: Preset, place: Path, record: str
) -> None:
    fetch(preset, place)
    (place / RECORD).write_text(record)
    hub.ranges.clear()
    fetch(preset, place)
    assert hub.ranges == {}
    assert len(json.loads((place / RECORD).read_text())) == 5


def test_a_repository_without_a_needed_file_is_refused_before_anything_is_fetched(
    hub: HubServer, preset: Preset, place: Path
) -> None:
    hub.files = {name: data for name, data in hub.files.items() if name != "vae.safetensors"}
    with pytest.raises(DownloadError, match=r"vae\.safetensors"):
        fetch(preset, place)
    assert hub.ranges == {}


def test_a_listing_that_points_outside_is_refused(hub: HubServer, preset: Preset, place: Path) -> None:
    hub.files = {**hub.files, "tokenizer/../../escaped": b"data"}
    with pytest.raises(DownloadError, match="outside"):
        fetch(preset, place)
    assert not (place.parent / "escaped").exists()


@pytest.mark.parametrize("change", [{"repo": "somebody/unknown"}, {"revision": "unknown"}])
def test_an_unknown_repository_or_revision_is_a_download_error(
    hub: HubServer, preset: Preset, place: Path, change: dict[str, Any]
) -> None:
    with pytest.raises(DownloadError, match="not found") as caught:
        fetch(replace(preset, weights=replace(preset.weights, **change)), place)
    assert "unknown" in caught.value.message


def test_a_hub_out_of_reach_is_a_download_error(hub: HubServer, preset: Preset, place: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        with pytest.raises(DownloadError, match="could not be downloaded") as caught:
            fetch(preset, place)
    assert caught.value.retryable


def test_weights_that_do_not_fit_on_the_disk_are_refused_with_the_numbers(
    hub: HubServer, preset: Preset, place: Path
) -> None:
    hub.claimed_sizes = {WEIGHTS: 10**18}
    with pytest.raises(DownloadError, match=r"1000000000\.0 GB"):
        fetch(preset, place)


def test_the_command_says_where_the_weights_are_and_how_to_use_them(
    hub: HubServer, preset_file: Path, place: Path
) -> None:
    result = CliRunner().invoke(fetch_command, [str(preset_file), "--dir", str(place), "--revision", COMMIT])
    assert result.exit_code == 0
    assert f"--weights {place}" in result.stdout


def test_without_a_directory_the_weights_go_where_the_preset_looks_for_them(
    hub: HubServer, preset: Preset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLDLOOM_CACHE", str(tmp_path / "cache"))
    with pytest.raises(CheckpointError, match="not complete") as caught:
        weights_directory(preset)
    assert "worldloom fetch fetched" in caught.value.hint
    fetch(preset)
    assert weights_directory(preset) == tmp_path / "cache" / "somebody--some-world"


def test_an_unreleased_preset_is_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(NotReleased, match="mg3-28b") as caught:
        fetch(load_preset("mg3-28b"), tmp_path)
    assert "mg3-5b" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_preset_without_a_repository_has_nothing_to_fetch(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to fetch"):
        fetch(load_preset("tiny"), tmp_path)
