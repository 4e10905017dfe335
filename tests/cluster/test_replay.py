"""Replay: what was committed is made again bit for bit, after every verb; and what differs is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from worldloom.cluster.engines import make_decoder, make_engine
from worldloom.cluster.mock_frames import read_frame
from worldloom.cluster.replay import frames_of, replay
from worldloom.cluster.world import World
from worldloom.errors import InputError, SnapshotInvalid
from worldloom.memory.archive import unpack_world
from worldloom.model.preset import load_preset
from worldloom.serve.scripts import random_script

IMAGE = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
WALK = random_script(3, 217)


def play(world: World, chunks: int, *, prompt: str | None = None) -> np.ndarray:
    frames = []
    for _ in range(chunks):
        at = len(world.poses)
        frames.append(world.step(WALK[at : at + world.num_new_frames], prompt=prompt))
    return np.concatenate(frames)


@pytest.fixture(scope="module")
def tiny() -> World:
    return World.load("tiny", device="cpu")


def test_a_world_with_branches_and_prompts_is_made_again_with_the_same_bits(tiny: World, tmp_path: Path) -> None:
    tiny.start(IMAGE, prompt="a hall", seed=4)
    shown = [play(tiny, 2), play(tiny, 1, prompt="a hall in snow")]
    shown.append(play(tiny.rewind(1), 1))
    fork = tiny.fork(chunk=2)
    play(fork, 1)
    chunks = list(tiny.replay())
    assert [(chunk.record.branch, chunk.record.chunk) for chunk in chunks] == [(0, 0), (0, 1), (0, 2), (1, 1)]
    assert all(chunk.is_equal for chunk in chunks)
    np.testing.assert_array_equal(np.concatenate([chunk.frames for chunk in chunks]), np.concatenate(shown))

    back = World.load("tiny", device="cpu").import_world(fork.export_world(tmp_path / "fork.world"))
    assert back.place == (1, 3)
    for chunk in back.replay():
        assert chunk.is_equal and chunk.record.branch == 1
        assert chunk.record.noise_branch == (0 if chunk.record.chunk == 0 else 1)
    np.testing.assert_array_equal(play(back, 1), play(fork, 1))
    fork.close()


def test_the_same_actions_after_a_rewind_give_another_future(tiny: World) -> None:
    tiny.start(IMAGE, seed=4)
    play(tiny, 1)
    first = play(tiny, 1)
    assert not np.array_equal(play(tiny.rewind(1), 1), first)
    assert tiny.place == (1, 2)
    assert play(tiny.reset(), 1).shape[0] == 57 and tiny.place == (2, 1)
    with pytest.raises(InputError):
        tiny.rewind(2)


def test_a_fork_and_its_source_do_not_disturb_each_other() -> None:
    world = World.load("mock").start(IMAGE)
    play(world, 2)
    fork = world.fork(chunk=1, prompt="night")
    there, here = play(fork, 1), play(world.rewind(1), 1)
    assert [read_frame(frame).branch for frame in (there[0], here[0])] == [0, 1]
    fork.close()
    assert world.place == (1, 2) and play(world, 1).shape[0] == 40


def test_what_differs_is_found_where_it_is_and_spoils_nothing_else() -> None:
    world = World.load("mock").start(IMAGE)
    play(world, 3)
    data = world.snapshot().data
    kept = unpack_world(data)
    chunks = list(kept.branches[0].chunks)
    latents = chunks[1].latents.copy()
    latents[0, 9] += 1
    chunks[1] = replace(chunks[1], latents=latents)
    poses = chunks[2].poses.copy()
    poses[0, 0] += 1
    chunks[2] = replace(chunks[2], poses=poses)
    branch = replace(kept.branches[0], chunks=tuple(chunks))
    wrong = replace(kept, branches={0: branch})
    preset = load_preset("mock")
    found = list(replay(wrong, make_engine(preset), make_decoder(preset)))
    assert [(one.are_latents_equal, one.are_poses_equal) for one in found] == [
        (True, True),
        (False, True),
        (True, False),
    ]
    assert not found[1].are_frames_equal and found[1].largest_difference > 0


def test_a_branch_is_shown_from_the_worlds_start() -> None:
    world = World.load("mock").start(IMAGE)
    play(world, 2)
    shown = play(world.rewind(1), 1)
    kept, decoder = unpack_world(world.snapshot().data), make_decoder(load_preset("mock"))
    chunks = list(frames_of(kept, decoder))
    assert [(record.branch, record.chunk) for record, _ in chunks] == [(0, 0), (1, 1)]
    np.testing.assert_array_equal(chunks[1][1], shown)
    assert [record.branch for record, _ in frames_of(kept, decoder, 0)] == [0, 0]
    with pytest.raises(InputError):
        next(frames_of(kept, decoder, 7))


def test_a_file_that_the_preset_could_not_have_made_is_refused(tmp_path: Path) -> None:
    world = World.load("mock").start(IMAGE)
    play(world, 1)
    file = world.export_world(tmp_path / "a.world")
    with pytest.raises(SnapshotInvalid, match="mock"):
        World.load("tiny", device="cpu").import_world(file)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(SnapshotInvalid):
        world.import_world(file)
    assert world.place == (0, 1)
