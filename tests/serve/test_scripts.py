"""Action scripts: text to arrays and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worldloom.errors import ActionError, ScriptError
from worldloom.model.clip import Float32
from worldloom.serve import actions as act
from worldloom.serve.script_parser import MAX_FRAMES
from worldloom.serve.scripts import (
    format_script,
    load_script,
    parse_script,
    random_script,
    sample_scripts,
)

_angle = st.one_of(st.just(0.0), st.just(0.1), st.just(-0.1), st.floats(-1, 1, width=32))
_held = st.builds(
    act.Held,
    forward=st.booleans(),
    back=st.booleans(),
    left=st.booleans(),
    right=st.booleans(),
    camera_pitch=_angle,
    camera_yaw=_angle,
)
_actions = st.lists(st.tuples(_held, st.integers(1, 4)), max_size=8).map(
    lambda steps: act.concatenate([act.hold(held, frames) for held, frames in steps])
)


@given(_actions)
def test_formatted_actions_parse_to_the_same_arrays(actions: act.Actions) -> None:
    assert act.equal(parse_script(format_script(actions)), actions)


@given(_actions)
def test_reversing_twice_gives_the_actions_again(actions: act.Actions) -> None:
    assert act.equal(actions.reversed().reversed(), actions)


@given(st.text(alphabet="forwd back=+{};\n#19.e-_still repeat 3 reverse camera_yaw", max_size=40))
def test_any_text_parses_or_gives_a_script_error(text: str) -> None:
    try:
        actions = parse_script(text)
    except ScriptError as error:
        assert "line" in error.message and error.hint
    else:
        assert len(actions) <= MAX_FRAMES


def test_steps_set_the_columns_of_the_model() -> None:
    actions = parse_script("forward 2; back; left; right + camera_right 2 # comment; left 9\ncamera_up")
    assert actions.keyboard.tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    np.testing.assert_allclose(actions.mouse[:, 0], [0, 0, 0, 0, 0, 0, -0.1], atol=1e-7)
    np.testing.assert_allclose(actions.mouse[:, 1], [0, 0, 0, 0, 0.1, 0.1, 0], atol=1e-7)


def test_angles_are_units_of_15_degrees_or_degrees() -> None:
    actions = parse_script("camera_yaw=0.2 + camera_pitch=-3deg 2")
    np.testing.assert_allclose(actions.mouse, [[-0.2, 0.2]] * 2, atol=1e-7)


def test_repeat_blocks_nest_and_reverse_goes_back_to_the_start_of_its_block() -> None:
    there_and_back = parse_script("still 3; repeat 2 { forward + camera_left 2; left; reverse }")
    once = "forward + camera_left 2; left; right; back + camera_right 2;"
    assert act.equal(there_and_back, parse_script(f"still 3; {once} {once}"))


@pytest.mark.parametrize(
    ("text", "place", "seen"),
    [
        ("forward 40\n  fly 3", "line 2, column 3", "fly"),
        ("forward 0", "line 1, column 9", "'0'"),
        ("forward 1.5", "line 1, column 9", "1.5"),
        ("forward + forward 3", "line 1, column 11", "forward"),
        ("still + left", "line 1, column 9", "left"),
        ("camera_yaw=2 4", "line 1, column 12", "2"),
        ("camera_yaw 4", "line 1, column 12", "4"),
        ("camera_left + camera_yaw=0.5", "line 1, column 15", "camera_yaw"),
        ("repeat 3 { left", "line 1, column 16", "the end of the script"),
        ("left }", "line 1, column 6", "}"),
        ("left 3 right 3", "line 1, column 8", "right"),
        ("forward !", "line 1, column 9", "!"),
    ],
)
def test_errors_name_the_place_and_what_was_seen(text: str, place: str, seen: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse_script(text)
    assert place in caught.value.message and seen in caught.value.message
    assert caught.value.hint.startswith("Allowed here: ")


@pytest.mark.parametrize(
    "text",
    [
        "forward 999999999",
        "forward 99999999999999999999",
        "repeat 99999 { forward 99999 }",
        "repeat 9 {" * 6 + "left 9" + "}" * 6,
        "left; " + "reverse; " * 40,
        "repeat 2 {" * 400 + "}" * 400,
    ],
)
def test_scripts_that_would_explode_are_refused(text: str) -> None:
    with pytest.raises(ScriptError):
        parse_script(text)


def test_random_scripts_depend_on_the_seed_only() -> None:
    assert act.equal(random_script(7, 177), random_script(7, 177))
    assert not act.equal(random_script(7, 177), random_script(8, 177))
    assert len(random_script(7, 177)) == 177
    assert act.equal(load_script("random:7", frames=50), random_script(7, 50))


def test_shipped_scripts_load_by_name_and_by_path() -> None:
    assert {"walk", "lookaround", "revisit"} <= set(sample_scripts())
    for name in sample_scripts():
        assert len(load_script(name)) >= 97


def test_the_revisit_script_ends_where_it_began() -> None:
    actions = load_script("revisit")
    half = len(actions) // 2
    assert act.equal(actions[half:], actions[:half].reversed())


def test_a_missing_script_names_what_there_is() -> None:
    with pytest.raises(ScriptError) as caught:
        load_script("nowhere.script")
    assert "nowhere.script" in caught.value.message and "walk" in caught.value.hint


def test_a_broken_script_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.script"
    path.write_text("hop 3")
    with pytest.raises(ScriptError, match=r"broken\.script: line 1, column 1"):
        load_script(path)


@pytest.mark.parametrize(
    ("keyboard", "mouse"),
    [
        (np.zeros((3, 4), np.float32), np.zeros((3, 2), np.float32)),
        (np.zeros((3, 6), np.float32), np.zeros((2, 2), np.float32)),
        (np.full((3, 6), 0.5, np.float32), np.zeros((3, 2), np.float32)),
        (np.zeros((3, 6), np.float32), np.full((3, 2), np.nan, np.float32)),
    ],
)
def test_arrays_of_another_shape_or_range_are_refused(keyboard: Float32, mouse: Float32) -> None:
    with pytest.raises(ActionError):
        act.Actions(keyboard=keyboard, mouse=mouse)
