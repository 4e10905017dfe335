"""`worldloom replay`: what a file holds, and whether it is made again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner, Result
from worldloom.cluster.world import World
from worldloom.errors import SnapshotInvalid
from worldloom.memory.archive import pack_world, unpack_world
from worldloom.serve.commands.replay import replay
from worldloom.serve.scripts import random_script

WALK = random_script(3, 97)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    world = World.load("mock").start(np.zeros((128, 224, 3), np.uint8), seed=7)
    for rows in (slice(0, 57), slice(57, 97)):
        world.step(WALK[rows])
    world.rewind(1).step(WALK[57:97])
    return world.export_world(tmp_path / "a.world")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(replay, [str(argument) for argument in arguments], standalone_mode=False)


def test_a_file_is_described_without_being_made_again(file: Path) -> None:
    result = run(file)
    assert result.return_value == 0, result.output
    assert "preset mock, seed 7, first person; branches: 2, chunks: 3, frames: 137, next frame id: 137" in result.output
    assert "made again" not in result.output


def test_a_check_of_an_unchanged_file_succeeds(file: Path) -> None:
    result = run(file, "--check")
    assert result.return_value == 0, result.output
    assert "chunks made again: 3; all chunks have the same bits; frames sha256" in result.output


def test_a_check_names_the_chunks_that_differ_and_fails(file: Path) -> None:
    world = unpack_world(file.read_bytes())
    record = world.branches[1].chunks[1]
    latents = record.latents.copy()
    latents[0, 0] += 1
    grown = replace(world.branches[1], chunks=(world.branches[1].chunks[0], replace(record, latents=latents)))
    file.write_bytes(pack_world(replace(world, branches={**world.branches, 1: grown})))
    result = run(file, "--check")
    assert result.return_value == 1
    assert "branch 1 chunk 1: other latents, frames" in result.output and "1 of 3 chunks differ" in result.output


def test_a_branch_is_written_as_a_clip(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.mp4"
    assert "97 frames to" in run(file, "--out", out, "--branch", "0").output
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 97


def test_a_damaged_file_is_refused(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:1000])
    assert isinstance(run(file).exception, SnapshotInvalid)
