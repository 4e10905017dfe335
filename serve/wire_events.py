"""Events of the stream protocol as the values that the cluster plans with."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..cluster.controls import KEYBOARD_COLUMNS
from ..cluster.events import CameraGoal, Controls, Event, Pause, Play, Rewind, Script
from ..errors import ActionError, MessageInvalid, PromptTooLong
from .protocol.generated import session_pb2 as pb

MAX_SCRIPT_FRAMES = 24_000
"""Ten minutes at 40 frames a second."""
MAX_MOTION = 24.0
MAX_DISTANCE = 1e7
"""Of a camera goal from the start, in units: 100 km."""
MAX_ID = 2**63 - 1
"""Ids and times: what every language has a signed integer for."""


def event_of(message: pb.Event, *, prompt_chars: int) -> Event:
    """What the player asks for.

    Raises ActionError when it is out of range, PromptTooLong, MessageInvalid when it holds nothing to do.
    """
    if not 1 <= message.event_id <= MAX_ID or message.client_time_us > MAX_ID:
        raise ActionError(
            f"event_id is {message.event_id}, client_time_us {message.client_time_us}",
            hint="Count events from 1, and keep both below 2^63.",
        )
    action = message.WhichOneof("action")
    if action == "controls":
        return _controls(message, prompt_chars)
    if action is None:
        raise MessageInvalid("the event has no action that this server knows", hint="Set one of its fields.")
    return _READERS[action](message)


def _controls(message: pb.Event, prompt_chars: int) -> Controls:
    tracks = message.controls
    keys, mouse = tracks.keyboard, tracks.mouse
    if tracks.HasField("prompt") and len(tracks.prompt.text) > prompt_chars:
        raise PromptTooLong(
            f"the prompt has {len(tracks.prompt.text)} characters", hint=f"Send at most {prompt_chars}."
        )
    for name, limit in (("pitch", 1.0), ("yaw", 1.0), ("pitch_motion", MAX_MOTION), ("yaw_motion", MAX_MOTION)):
        check_range(f"controls.mouse.{name}", getattr(mouse, name), limit)
    return Controls(
        event_id=message.event_id,
        client_time_us=message.client_time_us,
        keys=(keys.forward, keys.back, keys.left, keys.right) if tracks.HasField("keyboard") else None,
        look=(mouse.pitch, mouse.yaw) if tracks.HasField("mouse") else None,
        motion=(mouse.pitch_motion, mouse.yaw_motion),
        goal=_goal(tracks.camera) if tracks.HasField("camera") else None,
        prompt=tracks.prompt.text if tracks.HasField("prompt") else None,
    )


def _goal(target: pb.CameraTarget) -> CameraGoal:
    if target.WhichOneof("target") != "pose":
        return CameraGoal()
    pose = target.pose
    for name in ("x", "y", "z", "pitch_degrees", "yaw_degrees"):
        check_range(f"controls.camera.pose.{name}", getattr(pose, name), MAX_DISTANCE)
    return CameraGoal(pose=(pose.x, pose.y, pose.z, pose.pitch_degrees, pose.yaw_degrees), look_only=target.look_only)


def _script(message: pb.Event) -> Script:
    frames = message.script.frames
    if not 1 <= len(frames) <= MAX_SCRIPT_FRAMES:
        raise ActionError(f"a script has {len(frames)} frames", hint=f"Send 1 to {MAX_SCRIPT_FRAMES} at a time.")
    keyboard = np.zeros((len(frames), KEYBOARD_COLUMNS), np.float32)
    keyboard[:, :4] = [(frame.forward, frame.back, frame.left, frame.right) for frame in frames]
    mouse = np.array([(frame.camera_pitch, frame.camera_yaw) for frame in frames], np.float32)
    wrong = np.flatnonzero(~(np.abs(mouse) <= 1).all(axis=1))
    if len(wrong):
        check_range(f"a camera angle of script.frames[{wrong[0]}]", float(np.abs(mouse[wrong[0]]).max()), 1.0)
    return Script(
        event_id=message.event_id,
        client_time_us=message.client_time_us,
        keyboard=keyboard,
        mouse=mouse,
        pause_after=message.script.pause_after,
    )


def _rewind(message: pb.Event) -> Rewind:
    rewind = message.rewind
    return Rewind(
        event_id=message.event_id,
        client_time_us=message.client_time_us,
        chunk=rewind.chunk,
        branch=rewind.branch if rewind.HasField("branch") else None,
    )


_READERS: dict[str, Callable[[pb.Event], Event]] = {
    "script": _script,
    "pause": lambda message: Pause(event_id=message.event_id, client_time_us=message.client_time_us),
    "play": lambda message: Play(event_id=message.event_id, client_time_us=message.client_time_us),
    "reset": lambda message: Rewind(event_id=message.event_id, client_time_us=message.client_time_us),
    "rewind": _rewind,
}


def check_range(name: str, value: float, limit: float) -> None:
    """Raises ActionError unless the value is in [-limit, limit]."""
    if not (math.isfinite(value) and abs(value) <= limit):
        raise ActionError(f"{name} is {value:g}", hint=f"Give a number from {-limit:g} to {limit:g}.")
