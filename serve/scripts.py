"""Action scripts: a small text format that says, frame by frame, what a player holds.

A script is a list of steps, separated by `;` or line ends. `#` starts a comment that ends with its line.

    forward 40                      # hold W for 40 frames
    right + camera_right 20         # several at once
    camera_yaw=0.2 + forward 10     # an angle a frame, in units of 15 degrees, in [-1, 1]
    camera_pitch=-1.5deg 8          # the same in degrees; positive looks down
    still 10                        # hold nothing
    repeat 3 { left 12; right 12 }  # a block, three times
    reverse                         # all steps of this block so far, backwards, with opposite keys

Keys are `forward`, `back`, `left`, `right`, `camera_up`, `camera_down`, `camera_left` and `camera_right`; a camera key
is an angle of 0.1 (1.5 degrees) a frame. A step without a number lasts one frame. `reverse` leads back along the way
that led here, to the place where the block began.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ..errors import ScriptError
from .actions import KEYS, Actions, Held, concatenate, fitted
from .script_parser import ANGLES, CAMERA_KEYS, parse_script

__all__ = ["format_script", "load_script", "parse_script", "random_script", "sample_scripts"]

SAMPLES_DIR = Path(__file__).parent / "samples"


def format_script(actions: Actions) -> str:
    """A script, one step a line, that parses to exactly these actions."""
    lines = []
    start = 0
    for stop in [*_changes(actions), len(actions)]:
        if stop > start:
            lines.append(f"{_format_held(actions.row(start))} {stop - start}")
        start = stop
    return "\n".join(lines) + "\n"


def random_script(seed: int, frames: int) -> Actions:
    """A walk of exactly `frames` frames, the same for the same seed: mostly forward, with turns, strafes and looks."""
    rng = np.random.default_rng(seed)
    moves = ("forward", "forward", "forward", "left", "right", "back", None)
    turns = ("camera_left", "camera_right", "camera_up", "camera_down", None, None, None)
    parts: list[Actions] = []
    made = 0
    while made < frames:
        move, turn = moves[rng.integers(len(moves))], turns[rng.integers(len(turns))]
        length = int(rng.integers(8, 33))
        parts.append(parse_script(f"{' + '.join(filter(None, (move, turn))) or 'still'} {length}"))
        made += length
    return fitted(concatenate(parts), frames)


def sample_scripts() -> list[str]:
    """Names of the scripts that come with the package."""
    return sorted(path.stem for path in SAMPLES_DIR.glob("*.script"))


def load_script(source: str | Path, *, frames: int = 177) -> Actions:
    """Actions from a script file, a shipped script's name, or 'random:SEED', which makes `frames` frames."""
    seed = re.fullmatch(r"random:(\d+)", str(source))
    if seed:
        return random_script(int(seed[1]), frames)
    path = Path(source)
    if not path.is_file() and str(source) in sample_scripts():
        path = SAMPLES_DIR / f"{source}.script"
    try:
        return parse_script(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ScriptError(
            f"cannot read the script {str(source)!r}: {error}",
            hint=f"Give a text file, 'random:SEED', or one of: {', '.join(sample_scripts())}.",
        ) from error
    except ScriptError as error:
        raise ScriptError(f"{path}: {error.message}", hint=error.hint) from error


def _changes(actions: Actions) -> list[int]:
    """The frames whose action differs from that of the frame before."""
    rows = np.concatenate([actions.keyboard, actions.mouse], axis=1)
    return [int(frame) + 1 for frame in np.flatnonzero((rows[1:] != rows[:-1]).any(axis=1))]


def _format_held(held: Held) -> str:
    parts = [key for key in KEYS if getattr(held, key)]
    for angle in ANGLES:
        value = np.float32(getattr(held, angle))
        names = [name for name, key in CAMERA_KEYS.items() if key[0] == angle and np.float32(key[1]) == value]
        if value:
            parts.append(names[0] if names else f"{angle}={np.format_float_positional(value, trim='-')}")
    return " + ".join(parts) or "still"
