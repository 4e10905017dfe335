"""Engine captures (Unreal and the like): a video with one row of pose and input a frame, aligned by ticks.

Beside `take1.mp4` lies `take1.csv` or `take1.jsonl` with one row a frame and the columns
`tick, x, y, z, pitch, yaw, w, s, a, d`, and optionally `roll, mouse_pitch, mouse_yaw`. Lengths are the engine's
centimetres, angles degrees with positive pitch looking **up** and yaw from x towards y, as Unreal has them; keys are
0 or 1. `take1.json`, if there, holds {"prompts": […]}.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ...model.poses import DEGREES_PER_MOUSE_UNIT, STEP, extrinsics_of, integrate_poses, intrinsics_of
from .drift import measure_drift, picture_motion, pose_motion
from .infer import wrap
from .recorded import VIDEO_SUFFIXES, WindowConfig, read_prompts, safe_key
from .sample import Sample
from .shards import OnBad
from .video import decode_video, fit

Float64 = npt.NDArray[np.float64]

REQUIRED: Final = ("tick", "x", "y", "z", "pitch", "yaw", "w", "s", "a", "d")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """A capture's table, F rows."""

    ticks: Float64
    """(F,)."""
    poses: Float64
    """(F, 5) in the model's sense: positive pitch looks down."""
    keyboard: npt.NDArray[np.float32]
    """(F, 6)."""


def read_captures(
    folder: Path, config: WindowConfig, on_bad: OnBad, *, tolerance_frames: float = 1.5
) -> Iterator[Sample]:
    """Windows of all captures in a folder, by name. Each capture whose picture and poses drift apart by more than the
    tolerance, and each that cannot be read, is told to `on_bad` and skipped."""
    videos = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
    if not videos:
        raise InputError(f"{folder} has no video ({', '.join(VIDEO_SUFFIXES)})", hint="give a folder of captures")
    for path in videos:
        try:
            yield from _windows(path, config, tolerance_frames)
        except InputError as error:
            on_bad(path.name, error.message)


def read_rows(video: Path) -> Rows:
    """The table beside a video. Raises InputError when it is missing, damaged, or skips ticks."""
    table, lines = video.with_suffix(".csv"), video.with_suffix(".jsonl")
    try:
        if table.exists():
            with table.open(newline="") as file:
                rows: list[dict[str, Any]] = list(csv.DictReader(file))
        elif lines.exists():
            rows = [json.loads(line) for line in lines.read_text().splitlines() if line.strip()]
        else:
            raise InputError(f"{video.name} has neither {table.name} nor {lines.name} beside it")
        values = {name: np.asarray([float(row[name]) for row in rows]) for name in REQUIRED}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{video.stem}: the table lacks {error} or is damaged", hint=f"columns: {REQUIRED}") from error
    if len(rows) < 2 or not all(np.isfinite(column).all() for column in values.values()):
        raise InputError(f"{video.stem}: the table has {len(rows)} rows, or numbers that are not finite")
    ticks = values["tick"]
    steps = np.diff(ticks)
    if (steps <= 0).any() or (steps != steps[0]).any():
        at = int(np.nonzero((steps <= 0) | (steps != steps[0]))[0][0])
        raise InputError(
            f"{video.stem}: ticks go from {ticks[at]:g} to {ticks[at + 1]:g} at row {at + 1}, not in even steps"
        )
    poses = np.stack([values["x"], values["y"], values["z"], -values["pitch"], values["yaw"]], -1)
    keys = np.stack([values[name] for name in "wsad"], -1)
    keyboard = np.concatenate([keys > 0.5, np.zeros((len(keys), 2), bool)], -1).astype(np.float32)
    return Rows(ticks=ticks, poses=poses, keyboard=keyboard)


def _windows(video: Path, config: WindowConfig, tolerance_frames: float) -> Iterator[Sample]:
    rows, frames = read_rows(video), decode_video(video, name=video.name)
    if abs(len(frames) - len(rows.ticks)) > tolerance_frames:
        raise InputError(f"{video.name} has {len(frames)} frames but {len(rows.ticks)} ticks")
    count = min(len(frames), len(rows.ticks))
    report = measure_drift(picture_motion(frames[:count]), pose_motion(rows.poses[:count]))
    if report.is_certain and not report.is_aligned(tolerance_frames):
        raise InputError(
            f"{video.name} drifts: its picture is {report.offset_frames:+.1f} frames late at the start and "
            f"{report.offset_frames + report.drift_frames:+.1f} at the end (correlation {report.correlation:.2f})"
        )
    used = slice(0, count, config.stride)
    frames, poses, keyboard = frames[used], rows.poses[used], rows.keyboard[used]
    if len(frames) < config.frames:
        raise InputError(f"{video.name} has {len(frames)} frames at stride {config.stride}, fewer than {config.frames}")
    prompts = read_prompts(video)
    for number, start in enumerate(range(0, len(frames) - config.frames + 1, config.frames)):
        window = slice(start, start + config.frames)
        local = to_origin(poses[window])
        mouse = mouse_between(local)
        given = integrate_poses(keyboard[window], mouse)
        yield Sample(
            key=f"{safe_key(video.stem)}-{number:04d}",
            frames=fit(frames[window], config.height, config.width),
            poses=local.astype(np.float32),
            extrinsics=extrinsics_of(local).astype(np.float32),
            intrinsics=intrinsics_of(config.height, config.width).astype(np.float32),
            keyboard=keyboard[window],
            mouse=mouse,
            prompts=prompts,
            frames_per_second=config.frames_per_second,
            source="capture",
            meta={
                "file": video.name,
                "first_tick": float(rows.ticks[start * config.stride]),
                "drift_frames": report.drift_frames,
                "offset_frames": report.offset_frames,
                "drift_correlation": report.correlation,
                "position_error_steps": float(np.linalg.norm(given[:, :2] - local[:, :2], axis=1).max() / STEP),
            },
        )


def to_origin(poses: Float64) -> Float64:
    """Poses (F, 5) moved so that the first stands at the origin with yaw 0; pitch and height differences stay."""
    turn = np.deg2rad(-poses[0, 4])
    offset = poses[:, :3] - poses[0, :3]
    x = offset[:, 0] * np.cos(turn) - offset[:, 1] * np.sin(turn)
    y = offset[:, 0] * np.sin(turn) + offset[:, 1] * np.cos(turn)
    yaw = wrap(poses[:, 4] - poses[0, 4])
    return np.stack([x, y, offset[:, 2], poses[:, 3], yaw], -1)


def mouse_between(poses: Float64) -> npt.NDArray[np.float32]:
    """(F, 2) mouse that turns each pose's view into the next one's; the last row is 0."""
    mouse = np.zeros((len(poses), 2), np.float32)
    mouse[:-1] = wrap(np.diff(poses[:, 3:], axis=0)) / DEGREES_PER_MOUSE_UNIT
    return mouse
