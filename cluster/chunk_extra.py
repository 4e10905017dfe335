"""What the service keeps with a chunk besides what the store understands, as bytes that pickle nothing."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..model.clip import Int64
from .events import NOTHING_HELD, CameraGoal, Controls, ControlState, Held, Pace, Script
from .messages import RememberedView, StageTimes


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ChunkExtra:
    """Goes into `ChunkRecord.extra`."""

    client_times_us: Int64
    """(F,) time stamp of the newest event that shaped each frame; 0 if none."""
    applied: tuple[tuple[int, int], ...]
    """(event id, id of the first frame that it shaped)."""
    stages: StageTimes
    """Up to denoising."""
    controls: ControlState
    """What the next plan starts from."""
    remembered: tuple[RememberedView, ...] = ()
    """What the chunk was shown of the past."""


def pack_extra(extra: ChunkExtra) -> bytes:
    """An .npz file: the numbers as arrays, the rest as JSON."""
    state = extra.controls
    header = {
        "applied": extra.applied,
        "stages": asdict(extra.stages),
        "last_event_id": state.last_event_id,
        "held": asdict(state.held),
        "waiting": [asdict(controls) for controls in state.waiting],
        "scripts": [(one.event_id, one.client_time_us, one.pause_after, one.started) for one in state.scripts],
        "pace": state.pace.value,
        "remembered": [asdict(view) for view in extra.remembered],
    }
    arrays: dict[str, Any] = {"client_times_us": extra.client_times_us}
    for index, script in enumerate(state.scripts):
        arrays[f"keyboard{index}"], arrays[f"mouse{index}"] = script.keyboard, script.mouse
    file = io.BytesIO()
    np.savez_compressed(file, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)
    return file.getvalue()


def bare_extra(frames: int, controls: ControlState = NOTHING_HELD) -> ChunkExtra:
    """Of a chunk that no client has asked for, or of none at all."""
    return ChunkExtra(client_times_us=np.zeros(frames, np.int64), applied=(), stages=StageTimes(), controls=controls)


def unpack_extra(data: bytes) -> ChunkExtra:
    """What `pack_extra` packed."""
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        header = json.loads(arrays["header"].tobytes())
        scripts = tuple(
            Script(
                event_id=event_id,
                client_time_us=client_time_us,
                keyboard=arrays[f"keyboard{index}"],
                mouse=arrays[f"mouse{index}"],
                pause_after=pause_after,
                started=started,
            )
            for index, (event_id, client_time_us, pause_after, started) in enumerate(header["scripts"])
        )
        client_times_us = arrays["client_times_us"]
    stages = header["stages"] | {"steps_s": tuple(header["stages"]["steps_s"])}
    return ChunkExtra(
        client_times_us=client_times_us,
        applied=tuple((event_id, frame_id) for event_id, frame_id in header["applied"]),
        stages=StageTimes(**stages),
        controls=ControlState(
            last_event_id=header["last_event_id"],
            held=Held(**_tracks(header["held"])),
            waiting=tuple(Controls(**_tracks(fields)) for fields in header["waiting"]),
            scripts=scripts,
            pace=Pace(header["pace"]),
        ),
        remembered=tuple(RememberedView(**fields | {"pose": tuple(fields["pose"])}) for fields in header["remembered"]),
    )


def _tracks(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON has lists for tuples, and mappings for dataclasses."""
    tuples = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    goal = fields["goal"]
    if goal is None:
        return tuples
    pose = goal["pose"]
    return tuples | {"goal": CameraGoal(**goal | {"pose": None if pose is None else tuple(pose)})}
