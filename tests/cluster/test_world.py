"""The Python API: a world in this process."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from worldloom.cluster.mock_frames import read_frame
from worldloom.cluster.world import World, WorldSnapshot, fit_image
from worldloom.errors import (
    ActionError,
    InputError,
    NotAnImage,
    PresetUnknown,
    PromptTooLong,
    SessionUnknown,
    SnapshotInvalid,
)
from worldloom.serve.actions import Actions, Held, hold
from worldloom.serve.scripts import random_script

IMAGE = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
WALK = random_script(3, 137)
ROWS = (slice(0, 57), slice(57, 97), slice(97, 137))


@pytest.fixture(scope="module")
def tiny() -> World:
    return World.load("tiny", device="cpu")


@pytest.fixture
def mock() -> World:
    return World.load("mock")


def play(world: World, actions: Actions = WALK, rows: tuple[slice, ...] = ROWS) -> np.ndarray:
    return np.concatenate([world.step(actions[part]) for part in rows])


def test_a_world_starts_from_an_image_and_grows_chunk_by_chunk(tiny: World) -> None:
    tiny.start(IMAGE, prompt="a hall")
    assert tiny.num_new_frames == 57
    frames = tiny.step(WALK[ROWS[0]])
    assert frames.shape == (57, 64, 96, 3) and frames.dtype == np.uint8
    assert tiny.num_new_frames == 40
    assert tiny.step(WALK[ROWS[1]]).shape == (40, 64, 96, 3)
    assert tiny.poses.shape == (97, 5)


def test_the_same_seed_and_actions_give_the_same_bits_and_another_seed_others(tiny: World) -> None:
    first = play(tiny.start(IMAGE, prompt="a hall", seed=4), rows=ROWS[:2])
    again = World.load("tiny", device="cpu").start(IMAGE, prompt="a hall", seed=4)
    assert np.array_equal(play(again, rows=ROWS[:2]), first)
    assert not np.array_equal(play(tiny.start(IMAGE, prompt="a hall", seed=5), rows=ROWS[:1]), first[:57])


def test_a_restored_world_has_the_same_future_and_other_actions_another(tiny: World) -> None:
    tiny.start(IMAGE, prompt="a hall")
    tiny.step(WALK[ROWS[0]])
    there = tiny.snapshot()
    once = play(tiny, rows=ROWS[1:])
    assert np.array_equal(play(tiny.restore(there), rows=ROWS[1:]), once)
    other = tiny.restore(there).step(hold(Held(camera_yaw=0.5), 40))
    assert not np.array_equal(other, once[:40])


def test_a_snapshot_lives_on_in_another_process_as_bytes(tiny: World) -> None:
    tiny.start(IMAGE, prompt="a hall")
    play(tiny, rows=ROWS[:2])
    data = tiny.snapshot().data
    future = tiny.step(WALK[ROWS[2]])
    elsewhere = World.load("tiny", device="cpu").restore(WorldSnapshot(data=data))
    assert np.array_equal(elsewhere.step(WALK[ROWS[2]]), future)


def test_a_new_prompt_changes_the_world_from_its_chunk_on(tiny: World) -> None:
    tiny.start(IMAGE, prompt="a hall")
    tiny.step(WALK[ROWS[0]])
    there = tiny.snapshot()
    same = tiny.step(WALK[ROWS[1]])
    assert not np.array_equal(tiny.restore(there).step(WALK[ROWS[1]], prompt="snow"), same)
    kept = tiny.snapshot()
    after = tiny.step(WALK[ROWS[2]])
    assert np.array_equal(tiny.restore(kept).step(WALK[ROWS[2]], prompt="snow"), after)


def test_actions_reach_their_frames_in_order(mock: World) -> None:
    frames = play(mock.start(IMAGE))
    seen = [read_frame(frame) for frame in frames]
    assert [(frame.chunk, frame.frame) for frame in seen] == [
        *((0, index) for index in range(57)),
        *((chunk, index) for chunk in (1, 2) for index in range(40)),
    ]
    assert [frame.keys for frame in seen] == [tuple(row[:4].astype(bool)) for row in WALK.keyboard]
    expected = mock.poses[:, [0, 1, 3, 4]].round(2)
    np.testing.assert_allclose([frame.pose for frame in seen], expected, atol=0.011)


def test_steps_report_their_progress(mock: World) -> None:
    seen: list[tuple[int, int]] = []
    mock.start(IMAGE).step(WALK[ROWS[0]], on_step=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_step_that_fails_leaves_the_world_as_it_was(mock: World) -> None:
    mock.start(IMAGE)
    with pytest.raises(ActionError, match=r"\(40, 6\)"):
        mock.step(WALK[ROWS[1]])
    assert mock.num_new_frames == 57
    assert len(mock.step(WALK[ROWS[0]])) == 57


def test_nothing_can_be_played_before_the_start(mock: World) -> None:
    with pytest.raises(SessionUnknown, match="start"):
        mock.step(WALK[ROWS[0]])
    with pytest.raises(SessionUnknown):
        mock.snapshot()


def test_a_bad_snapshot_is_refused_and_the_world_goes_on(mock: World, tiny: World) -> None:
    mock.start(IMAGE)
    mock.step(WALK[ROWS[0]])
    with pytest.raises(SnapshotInvalid):
        mock.restore(WorldSnapshot(data=b"no world"))
    with pytest.raises(SnapshotInvalid, match="tiny"):
        mock.restore(tiny.start(IMAGE).snapshot())
    assert len(mock.step(WALK[ROWS[1]])) == 40


def test_bad_starts_are_refused(mock: World) -> None:
    with pytest.raises(PromptTooLong, match="2001"):
        mock.start(IMAGE, prompt="x" * 2001)
    with pytest.raises(InputError, match="bird"):
        mock.start(IMAGE, viewpoint="bird")
    with pytest.raises(NotAnImage, match="float64"):
        mock.start(np.zeros((4, 4, 3)))
    with pytest.raises(NotAnImage, match="8, 8, 4"):
        mock.start(Image.new("RGBA", (8, 8)))
    with pytest.raises(PresetUnknown, match="atlantis"):
        World.load("atlantis")


def test_a_start_image_is_cut_around_its_centre_and_resized() -> None:
    wide = np.zeros((10, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    fitted = fit_image(wide, height=16, width=32)
    assert fitted.shape == (16, 32, 3)
    assert (fitted[:, 4:-4] == 200).all()
    assert fit_image(IMAGE, height=64, width=96) is IMAGE
