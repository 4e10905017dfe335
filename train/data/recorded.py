"""Recorded video with camera files: a folder of videos beside npz or RealEstate10K text, cut into windows.

For `walk.mp4` the cameras are `walk.npz` (`extrinsics_c2w` (F, 4, 4) and `intrinsics` (F, 3, 3), (3, 3), (F, 4) or
(4,) as fx, fy, cx, cy in pixels) or `walk.txt` (RealEstate10K: a first line with the address, then per frame a time
stamp, fx fy cx cy as shares of the size, two zeros and the 3×4 world-to-camera matrix). Both have the usual axes:
x right, y down, z forward, right-handed. `walk.json`, if there, holds {"prompts": […]}.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from ...errors import InputError
from ...model.poses import METRES_PER_UNIT
from .infer import infer_actions, poses_of, walking_scale
from .sample import Sample
from .shards import OnBad
from .video import decode_video, fit

Float64 = npt.NDArray[np.float64]

VIDEO_SUFFIXES: Final = (".mp4", ".mov", ".mkv", ".webm", ".avi")
TO_MODEL_AXES: Final = np.asarray([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Right-down-forward to the model's forward-right-up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowConfig:
    """How recordings become samples."""

    frames: int = 161
    height: int = 128
    width: int = 224
    stride: int = 1
    """Every stride-th frame of the recording is used, so that its motion suits the model's step."""
    frames_per_second: float = 40.0
    metric: bool = False
    """Whether translations are metres already; else each recording is scaled to the model's walking speed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cameras:
    """Cameras of a recording, right-down-forward axes."""

    camera_to_world: Float64
    """(F, 4, 4)."""
    intrinsics: Float64
    """(F, 4) fx, fy, cx, cy as shares of width and height."""


def read_recordings(folder: Path, config: WindowConfig, on_bad: OnBad) -> Iterator[Sample]:
    """Windows of all recordings in a folder, by name; whatever cannot be used is told to `on_bad` and skipped."""
    videos = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
    if not videos:
        raise InputError(f"{folder} has no video ({', '.join(VIDEO_SUFFIXES)})", hint="give a folder of recordings")
    for path in videos:
        try:
            yield from _windows(path, config, on_bad)
        except InputError as error:
            on_bad(path.name, error.message)


def read_cameras(video: Path, size: tuple[int, int]) -> Cameras:
    """Cameras beside a video of (height, width). Raises InputError when there are none or they are damaged."""
    npz, text = video.with_suffix(".npz"), video.with_suffix(".txt")
    if npz.exists():
        return _read_npz(npz, size)
    if text.exists():
        return _read_realestate(text)
    raise InputError(f"{video.name} has neither {npz.name} nor {text.name} beside it")


def _read_npz(path: Path, size: tuple[int, int]) -> Cameras:
    try:
        with np.load(path, allow_pickle=False) as file:
            matrices = np.asarray(file["extrinsics_c2w"], np.float64)
            intrinsics = np.asarray(file["intrinsics"], np.float64)
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise InputError(f"{path.name} is no npz with extrinsics_c2w and intrinsics: {error}") from error
    if matrices.ndim == 3 and matrices.shape[1:] == (3, 4):
        matrices = np.concatenate([matrices, np.broadcast_to([[0.0, 0, 0, 1]], (len(matrices), 1, 4))], 1)
    if matrices.ndim != 3 or matrices.shape[1:] != (4, 4):
        raise InputError(f"{path.name}: extrinsics_c2w has shape {matrices.shape}, not (F, 4, 4)")
    if intrinsics.shape[-2:] == (3, 3):
        intrinsics = np.stack([intrinsics[..., i, j] for i, j in ((0, 0), (1, 1), (0, 2), (1, 2))], -1)
    if intrinsics.shape not in ((4,), (len(matrices), 4)):
        raise InputError(f"{path.name}: intrinsics of shape {intrinsics.shape} do not fit {len(matrices)} frames")
    height, width = size
    shares = np.broadcast_to(intrinsics / [width, height, width, height], (len(matrices), 4))
    return Cameras(camera_to_world=matrices, intrinsics=shares)


def _read_realestate(path: Path) -> Cameras:
    try:
        lines = path.read_text().splitlines()
        rows = np.asarray([[float(word) for word in line.split()] for line in lines[1:] if line.strip()])
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name} is no RealEstate10K text: {error}") from error
    if rows.ndim != 2 or rows.shape[1] != 19:
        raise InputError(f"{path.name} has lines of shape {rows.shape}, not 19 numbers a frame")
    world_to_camera = np.tile(np.eye(4), (len(rows), 1, 1))
    world_to_camera[:, :3] = rows[:, 7:].reshape(-1, 3, 4)
    if np.any(np.abs(np.linalg.det(world_to_camera[:, :3, :3])) < 0.5):
        raise InputError(f"{path.name} holds a matrix that is no rotation")
    camera_to_world = np.linalg.inv(world_to_camera).astype(np.float64)
    return Cameras(camera_to_world=camera_to_world, intrinsics=rows[:, 1:5])


def to_model_extrinsics(camera_to_world: Float64) -> Float64:
    """(F, 4, 4) in the model's axes, the first camera at the origin looking along x, scale kept."""
    relative = np.linalg.inv(camera_to_world[0]) @ camera_to_world
    extrinsics = np.tile(np.eye(4), (len(relative), 1, 1))
    extrinsics[:, :3, :3] = TO_MODEL_AXES @ relative[:, :3, :3]
    extrinsics[:, :3, 3] = relative[:, :3, 3] @ TO_MODEL_AXES.T
    return extrinsics


def _windows(video: Path, config: WindowConfig, on_bad: OnBad) -> Iterator[Sample]:
    frames = decode_video(video, name=video.name)
    cameras = read_cameras(video, frames.shape[1:3])
    if len(cameras.camera_to_world) != len(frames):
        raise InputError(f"{video.name} has {len(frames)} frames but {len(cameras.camera_to_world)} cameras")
    prompts = read_prompts(video)
    frames, matrices = frames[:: config.stride], cameras.camera_to_world[:: config.stride]
    intrinsics = cameras.intrinsics[:: config.stride]
    if len(frames) < config.frames:
        raise InputError(f"{video.name} has {len(frames)} frames at stride {config.stride}, fewer than {config.frames}")
    if not np.isfinite(matrices).all():
        raise InputError(f"{video.name} has cameras that are not finite")
    whole = to_model_extrinsics(matrices)
    # One scale for the whole recording, so that its windows agree.
    scale = 1.0 if config.metric else walking_scale(whole[:, :3, 3]) * METRES_PER_UNIT
    for number, start in enumerate(range(0, len(frames) - config.frames + 1, config.frames)):
        window = slice(start, start + config.frames)
        extrinsics = to_model_extrinsics(matrices[window])
        extrinsics[:, :3, 3] *= scale
        name = f"{video.name} window {number}"
        try:
            actions = infer_actions(poses_of(extrinsics))
        except InputError as error:
            on_bad(name, error.message)
            continue
        yield Sample(
            key=f"{safe_key(video.stem)}-{number:04d}",
            frames=fit(frames[window], config.height, config.width),
            poses=actions.poses,
            extrinsics=extrinsics.astype(np.float32),
            intrinsics=(intrinsics[start] * np.tile([config.width, config.height], 2)).astype(np.float32),
            keyboard=actions.keyboard,
            mouse=actions.mouse,
            prompts=prompts,
            frames_per_second=config.frames_per_second,
            source="recorded",
            meta={
                "file": video.name,
                "first_frame": start * config.stride,
                "scale": scale,
                "position_error_steps": actions.position_error,
                "angle_error_deg": actions.angle_error_deg,
            },
        )


def read_prompts(video: Path) -> tuple[str, ...]:
    """Prompts from the JSON beside a video, none without one. Raises InputError on a damaged file."""
    path = video.with_suffix(".json")
    if not path.exists():
        return ()
    try:
        found = json.loads(path.read_text())["prompts"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path.name} is no JSON object with prompts: {error}") from error
    return tuple(str(prompt) for prompt in found)


def safe_key(name: str) -> str:
    """A file's name as a sample key."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in name)
