"""Clips, key pictures and contact sheets."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from worldloom.errors import ConfigError
from worldloom.serve.actions import Held
from worldloom.serve.clips import ClipWriter, ContactSheet, Tile, draw_sheet, places_seen
from worldloom.serve.overlay import Frame, describe, draw_keys
from worldloom.serve.script_parser import parse_script


def grey(level: int, height: int = 32, width: int = 56) -> Frame:
    return np.full((height, width, 3), level, np.uint8)


def decoded(path: Path) -> list[Frame]:
    with av.open(str(path)) as container:
        return [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(video=0)]


def test_a_clip_holds_the_frames_in_order_at_its_rate(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "clip.mp4"
    with ClipWriter(path, width=56, height=32, frame_rate=16) as clip:
        for level in (20, 120, 220):
            clip.write(grey(level))
    frames = decoded(path)
    np.testing.assert_allclose([frame.mean() for frame in frames], [20, 120, 220], atol=6)
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == 16


def test_small_frames_are_enlarged_so_that_keys_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with ClipWriter(path, width=224, height=128, frame_rate=17) as clip:
        clip.write(grey(60, 128, 224), Held(forward=True))
    assert decoded(path)[0].shape == (384, 672, 3)


def test_odd_sizes_lose_their_last_line(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with ClipWriter(path, width=501, height=401, frame_rate=10) as clip:
        clip.write(grey(60, 401, 501))
    assert decoded(path)[0].shape == (400, 500, 3)


def test_a_clip_that_is_left_early_can_be_watched(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with pytest.raises(KeyboardInterrupt), ClipWriter(path, width=56, height=32, frame_rate=16) as clip:
        clip.write(grey(100))
        raise KeyboardInterrupt
    assert len(decoded(path)) == 1


def test_a_clip_without_frames_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with ClipWriter(path, width=56, height=32, frame_rate=16):
        pass
    assert not path.exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "clip.mp4", tmp_path):
        with pytest.raises(ConfigError, match="cannot write"):
            ClipWriter(path, width=56, height=32, frame_rate=16)


def changed(one: Frame, other: Frame) -> tuple[slice, slice]:
    """Bounding box of the pixels that differ."""
    rows, columns, _ = np.nonzero(one != other)
    return slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)


def test_keys_light_up_in_their_corner_and_leave_the_rest_alone() -> None:
    frame = grey(90, 360, 640)
    idle = draw_keys(frame, Held())
    walking = changed(idle, draw_keys(frame, Held(forward=True)))
    turning = changed(idle, draw_keys(frame, Held(camera_yaw=0.1)))
    assert walking[0].start > 180 and walking[1].stop < 320
    assert turning[0].start > 180 and turning[1].start > 320
    assert (idle[:180] == 90).all() and (frame == 90).all()


def test_angles_too_small_to_count_light_no_arrow() -> None:
    frame = grey(90, 360, 640)
    assert (draw_keys(frame, Held(camera_yaw=0.01)) == draw_keys(frame, Held())).all()


@pytest.mark.parametrize("size", [(16, 16), (32, 56), (9, 200)])
def test_keys_fit_any_frame(size: tuple[int, int]) -> None:
    assert draw_keys(grey(90, *size), Held(left=True)).shape == (*size, 3)


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (Held(), "still"),
        (Held(forward=True, right=True), "W D"),
        (Held(camera_pitch=-0.1, camera_yaw=-0.1), "turn left, look up"),
        (Held(back=True, camera_yaw=0.5), "S + turn right"),
    ],
)
def test_actions_are_put_in_words(held: Held, words: str) -> None:
    assert describe(held) == words


def test_a_sheet_keeps_evenly_spaced_frames(tmp_path: Path) -> None:
    sheet = ContactSheet(parse_script("forward 100"), frame_rate=10, title="title", tiles=4)
    for index in range(100):
        sheet.add(index, grey(index * 2), index // 40, Held())
    sheet.save(tmp_path / "sheet.png")
    picture = np.asarray(Image.open(tmp_path / "sheet.png"))
    middle = picture[picture.shape[0] // 2, :, 0]
    assert [level for level in (0, 66, 132, 198) if (middle == level).sum() > 250] == [0, 66, 132, 198]


def test_a_sheet_of_fewer_frames_than_tiles_is_drawn(tmp_path: Path) -> None:
    sheet = ContactSheet(parse_script("still 3"), frame_rate=10, title="title")
    sheet.add(0, grey(50), 0, Held())
    sheet.save(tmp_path / "sheet.png")
    assert Image.open(tmp_path / "sheet.png").width < 400


def test_a_sheet_knows_where_a_walk_comes_back() -> None:
    there_and_back = parse_script("forward 10; camera_right 10; reverse; still 5")
    assert places_seen(there_and_back, [0, 5, 15, 25, 35, 40, 44]) == {
        0: None, 5: None, 15: None, 25: 15, 35: 5, 40: 0, 44: 0,
    }  # fmt: skip
    assert places_seen(parse_script("still 20"), [0, 10]) == {0: None, 10: None}


def test_captions_differ_with_the_keys() -> None:
    one, other = (
        np.asarray(draw_sheet([Tile(frame=grey(50), time_s=1, chunk=2, held=held)], title=""))
        for held in (Held(), Held(forward=True))
    )
    rows, _ = changed(one, other)
    assert rows.start > one.shape[0] // 2
