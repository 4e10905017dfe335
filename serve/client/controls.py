"""What a player asks for, as messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from .protocol import session_pb2 as pb


class Action(Protocol):
    """Anything that says what is held during one frame, as `Held` does."""

    @property
    def forward(self) -> bool: ...

    @property
    def back(self) -> bool: ...

    @property
    def left(self) -> bool: ...

    @property
    def right(self) -> bool: ...

    @property
    def camera_pitch(self) -> float: ...

    @property
    def camera_yaw(self) -> float: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What is held during one frame. Camera angles are per frame, in units of 15 degrees, in [-1, 1]: positive pitch
    looks down, positive yaw turns right."""

    forward: bool = False
    back: bool = False
    left: bool = False
    right: bool = False
    camera_pitch: float = 0.0
    camera_yaw: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Pose:
    """Place and view of a camera: x ahead of the first frame, y to its right, z up, in centimetres. Positive pitch
    looks down, positive yaw turns right."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.0
    pitch_degrees: float = 0.0
    yaw_degrees: float = 0.0


def script_of(rows: Iterable[Action], *, pause_after: bool = False) -> pb.Event:
    """Exact actions of the next frames; `pause_after` as in `World.play`."""
    frames = [
        pb.ActionFrame(
            forward=row.forward,
            back=row.back,
            left=row.left,
            right=row.right,
            camera_pitch=row.camera_pitch,
            camera_yaw=row.camera_yaw,
        )
        for row in rows
    ]
    return pb.Event(script=pb.Script(frames=frames, pause_after=pause_after))


def controls_of(held: Action, *, pitch_motion: float, yaw_motion: float) -> pb.Event:
    """Keyboard and mouse as they are held from now on, and motion that is spent once."""
    keyboard = pb.Keyboard(forward=held.forward, back=held.back, left=held.left, right=held.right)
    mouse = pb.Mouse(pitch=held.camera_pitch, yaw=held.camera_yaw, pitch_motion=pitch_motion, yaw_motion=yaw_motion)
    return pb.Event(controls=pb.Controls(keyboard=keyboard, mouse=mouse))


def goal_of(pose: Pose | None, *, look_only: bool) -> pb.Event:
    """Where the camera is to go; None lets it go."""
    if pose is None:
        return pb.Event(controls=pb.Controls(camera=pb.CameraTarget(release=pb.Release())))
    return pb.Event(controls=pb.Controls(camera=pb.CameraTarget(pose=camera_of(pose), look_only=look_only)))


def camera_of(pose: Pose) -> pb.CameraPose:
    """The pose as a message."""
    return pb.CameraPose(x=pose.x, y=pose.y, z=pose.z, pitch_degrees=pose.pitch_degrees, yaw_degrees=pose.yaw_degrees)


def held_from(action: pb.ActionFrame) -> Held:
    """What the world was told for one frame."""
    return Held(
        forward=action.forward,
        back=action.back,
        left=action.left,
        right=action.right,
        camera_pitch=action.camera_pitch,
        camera_yaw=action.camera_yaw,
    )


def pose_from(camera: pb.CameraPose) -> Pose:
    """Where one frame is seen from."""
    return Pose(x=camera.x, y=camera.y, z=camera.z, pitch_degrees=camera.pitch_degrees, yaw_degrees=camera.yaw_degrees)
