"""Does the view move as it was told to? Eight actions from one place, in a first clip and in a later one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from operator import add

import numpy as np
import torch
from torch import Tensor

from ...model.clip import FIRST_CLIP_FRAMES, NEW_FRAMES
from ...model.poses import Float32
from .moves import CAMERA_KEY, Moves, hold, there_and_back
from .player import OnChunk, Play, Player, step_together
from .pose_match import angle_between, find_pose, look, metres_between, mismatch
from .report import Aim, Picture, Report, Row, Table, Tally, Value, mean_of, number
from .scenes import Scene

MOVING = 16
"""Frames an action lasts: 24 degrees or 2 m, after which most of the start image is still in view."""
MEASURED = MOVING + 4
"""Frame after the start of the action that is looked at."""
STILL = "still"
CLIPS = ("first clip", "later clip")

ACTIONS: dict[str, Moves] = {
    "W": hold("W", frames=MOVING),
    "S": hold("S", frames=MOVING),
    "A": hold("A", frames=MOVING),
    "D": hold("D", frames=MOVING),
    "turn left": hold(yaw=-CAMERA_KEY, frames=MOVING),
    "turn right": hold(yaw=CAMERA_KEY, frames=MOVING),
    "look up": hold(pitch=-CAMERA_KEY, frames=MOVING),
    "look down": hold(pitch=CAMERA_KEY, frames=MOVING),
}
_MATCH_SHRINK = 2
_ROTATION_AIM_DEG = 5.0
_GUESSED_SHARES = np.array([1.0, 0.5, 1.5], np.float32)
"""Parts of each asked motion from which the search for the true one starts."""


def star() -> Moves:
    """Every action and back again from one place: a scene in which this touches nothing fits all trials."""
    return reduce(add, (there_and_back(moves) for moves in ACTIONS.values()))


def total_chunks(worlds: int, actions: Sequence[str] = tuple(ACTIONS)) -> int:
    """Chunks that `measure` plays."""
    return (1 + len(CLIPS) * len(actions)) * worlds


def asked_poses() -> dict[str, Float32]:
    """(5,) model pose in which each action ends, and that of standing still."""
    poses = {action: moves.filled(MEASURED + 1).poses()[-1] for action, moves in ACTIONS.items()}
    return {**poses, STILL: np.zeros(5, np.float32)}


def measure(
    player: Player[Play], scenes: Sequence[Scene], on_chunk: OnChunk, actions: Sequence[str] = tuple(ACTIONS)
) -> Report:
    """Tries the actions in every scene, made for `star()`, from the first frame and after a clip of stillness."""
    trials, matches = Tally("clip", "action"), Tally("asked")
    pictures: dict[str, Picture] = {}
    asked = asked_poses()
    for scene, views in zip(scenes, _try_all(player, scenes, actions, on_chunk), strict=True):
        judge = _Judge(scene, asked)
        for (clip, action), view in views.items():
            match = judge.best_match(view)
            errors = _errors(judge.pose_of(view), asked[action])
            trials.add(clip, action, **errors, hit=float(match == action))
            matches.add(action, **{other: float(match == other) for other in asked})
        truths = scene.truth(np.stack([asked[action] for action in actions])).numpy()
        made = [torch.stack([views[clip, action] for action in actions]).numpy() for clip in CLIPS]
        pictures[f"control-{scene.seed}"] = [truths, *made]
    by_action = trials.rows()
    summary = _summary(by_action)
    return Report(
        title="Control",
        settings={"worlds": [scene.seed for scene in scenes], "moving_frames": MOVING, "measured_frame": MEASURED},
        tables=[
            _table("All actions", ("clip",), summary),
            _table("Each action", ("clip", "action"), by_action),
            _confusion(matches),
        ],
        aims=[_aim(row) for row in summary],
        pictures=pictures,
    )


def _try_all(
    player: Player[Play], scenes: Sequence[Scene], actions: Sequence[str], on_chunk: OnChunk
) -> list[dict[tuple[str, str], Tensor]]:
    """In each scene, the view (H, W, 3) after each action, in a first clip and in the clip after a still one."""
    views: list[dict[tuple[str, str], Tensor]] = [{} for _ in scenes]
    begun = [player.begin(scene) for scene in scenes]
    still = [hold(frames=FIRST_CLIP_FRAMES)] * len(scenes)
    rested = [play for _, play in step_together(player, begun, still, on_chunk)]
    for clip, plays, length in zip(CLIPS, (begun, rested), (FIRST_CLIP_FRAMES, NEW_FRAMES), strict=True):
        for action in actions:
            moves = [ACTIONS[action].filled(length)] * len(scenes)
            for seen, (frames, _) in zip(views, step_together(player, plays, moves, on_chunk), strict=True):
                seen[clip, action] = frames[MEASURED]
    return views


class _Judge:
    """Compares views of one scene with the true ones of all asked motions, which are rendered once."""

    def __init__(self, scene: Scene, asked: dict[str, Float32]) -> None:
        ends = np.stack(list(asked.values()))
        self._scene = scene
        self._names = list(asked)
        self._guesses = np.concatenate([ends * share for share in _GUESSED_SHARES])
        self._ends, self._guess_looks = (look(scene, poses, _MATCH_SHRINK) for poses in (ends, self._guesses))

    def best_match(self, view: Tensor) -> str:
        """The action after which the true view is most like this one."""
        return self._names[int(mismatch(view, self._ends).argmin())]

    def pose_of(self, view: Tensor) -> Float32:
        """(5,) model pose that the view seems to be taken from."""
        return find_pose(self._scene, view, self._guesses[int(mismatch(view, self._guess_looks).argmin())])


def _errors(found: Float32, asked: Float32) -> dict[str, float]:
    """Rotation in degrees, translation in metres and, where one is asked for, relative to the distance asked."""
    distance = metres_between(asked, np.zeros(5, np.float32))
    astray = metres_between(found, asked)
    return {
        "rotation_deg": angle_between(found, asked),
        "translation_m": astray,
        "translation_relative": astray / distance if distance > 0 else math.nan,
    }


def _aim(summary: Row) -> Aim:
    what = f"rotation error in a {summary['clip']}, degrees"
    return Aim(what=what, value=number(summary["rotation_deg"]), limit=_ROTATION_AIM_DEG, at_most=True)


_FIGURES = ("rotation_deg", "translation_m", "translation_relative", "hit")


def _summary(rows: Sequence[Row]) -> list[Row]:
    """Means over the actions of each clip."""
    summary: list[Row] = []
    for clip in CLIPS:
        own = [row for row in rows if row["clip"] == clip]
        means: dict[str, Value] = {key: mean_of([number(row[key]) for row in own]) for key in _FIGURES}
        summary.append({"clip": clip, **means})
    return summary


def _table(title: str, keys: Sequence[str], rows: Sequence[Row]) -> Table:
    columns = {
        **{key: key for key in keys}, "rotation_deg": "rotation error, °", "translation_m": "translation error, m",
        "translation_relative": "translation error / asked", "hit": "asked action matches best",
    }  # fmt: skip
    return Table(title=title, columns=columns, rows=rows)


def _confusion(hits: Tally) -> Table:
    columns = {"asked": "asked ↓, best match →", **{action: action for action in (*ACTIONS, STILL)}}
    return Table(title="Confusion: share of trials, both clips", columns=columns, rows=hits.rows())
