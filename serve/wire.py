"""Messages of the stream protocol to and from the values that the cluster uses."""

from __future__ import annotations

import math

import numpy as np
from google.protobuf.message import DecodeError

from ..cluster.controls import KEYBOARD_COLUMNS, Controls, Event, Script
from ..cluster.messages import FramePacket, Phase, Progress, SessionInfo, StageTimes
from ..errors import ActionError, MessageInvalid, VersionMismatch, WorldloomError
from ..model.clip import NEW_FRAMES
from ..model.preset import Preset
from .protocol import session_pb2 as pb

PROTOCOL_VERSION = 1
MAX_SCRIPT_FRAMES = 24_000
"""Ten minutes at 40 frames a second."""
MAX_MOTION = 24.0

_STATES = {
    Phase.QUEUED: pb.SESSION_STATE_QUEUED,
    Phase.PLAYING: pb.SESSION_STATE_PLAYING,
    Phase.RECOVERING: pb.SESSION_STATE_RECOVERING,
    Phase.ENDED: pb.SESSION_STATE_ENDED,
}


def parse(data: bytes | str) -> pb.ClientMessage:
    """A client's message. Raises MessageInvalid unless it is one, with a body."""
    if isinstance(data, str):
        raise MessageInvalid("got a text message", hint="Send binary messages: one ClientMessage each.")
    try:
        message = pb.ClientMessage.FromString(data)
    except DecodeError as error:
        raise MessageInvalid(
            f"{len(data)} bytes are no ClientMessage", hint="Use the same session.proto as the server."
        ) from error
    if message.WhichOneof("body") is None:
        raise MessageInvalid("a ClientMessage has no body that this server knows", hint="Set one of its fields.")
    return message


def check_version(hello: pb.Hello) -> None:
    """Raises VersionMismatch unless the client speaks this protocol."""
    if hello.protocol_version != PROTOCOL_VERSION:
        raise VersionMismatch(
            f"the client speaks protocol version {hello.protocol_version}, the server {PROTOCOL_VERSION}",
            hint="Install the client of the same release as the server.",
        )


def event_of(message: pb.Controls | pb.Script) -> Event:
    """What the player asks for. Raises ActionError when it is out of range."""
    if message.event_id == 0:
        raise ActionError("event_id is 0", hint="Count events from 1.")
    return _controls(message) if isinstance(message, pb.Controls) else _script(message)


def _controls(message: pb.Controls) -> Controls:
    for name, limit in (
        ("camera_pitch", 1.0),
        ("camera_yaw", 1.0),
        ("pitch_motion", MAX_MOTION),
        ("yaw_motion", MAX_MOTION),
    ):
        _check_range(f"controls.{name}", getattr(message, name), limit)
    return Controls(
        event_id=message.event_id,
        client_time_us=message.client_time_us,
        keys=(message.forward, message.back, message.left, message.right),
        camera_pitch=message.camera_pitch,
        camera_yaw=message.camera_yaw,
        pitch_motion=message.pitch_motion,
        yaw_motion=message.yaw_motion,
    )


def _script(message: pb.Script) -> Script:
    frames = message.frames
    if not 1 <= len(frames) <= MAX_SCRIPT_FRAMES:
        raise ActionError(f"a script has {len(frames)} frames", hint=f"Send 1 to {MAX_SCRIPT_FRAMES} at a time.")
    keyboard = np.zeros((len(frames), KEYBOARD_COLUMNS), np.float32)
    keyboard[:, :4] = [(frame.forward, frame.back, frame.left, frame.right) for frame in frames]
    mouse = np.array([(frame.camera_pitch, frame.camera_yaw) for frame in frames], np.float32)
    wrong = np.flatnonzero(~(np.abs(mouse) <= 1).all(axis=1))
    if len(wrong):
        _check_range(f"a camera angle of script.frames[{wrong[0]}]", float(np.abs(mouse[wrong[0]]).max()), 1.0)
    return Script(event_id=message.event_id, client_time_us=message.client_time_us, keyboard=keyboard, mouse=mouse)


def _check_range(name: str, value: float, limit: float) -> None:
    if not (math.isfinite(value) and abs(value) <= limit):
        raise ActionError(f"{name} is {value:g}", hint=f"Give a number from {-limit:g} to {limit:g}.")


def welcome(info: SessionInfo, preset: Preset, next_frame_id: int) -> pb.ServerMessage:
    """The answer to Hello."""
    return pb.ServerMessage(
        welcome=pb.Welcome(
            protocol_version=PROTOCOL_VERSION,
            session_id=info.session,
            preset=info.preset,
            width=preset.video.width,
            height=preset.video.height,
            frame_rate=preset.video.frame_rate,
            frames_per_chunk=NEW_FRAMES,
            trained=preset.trained,
            next_frame_id=next_frame_id,
        )
    )


def frame_of(packet: FramePacket, frame_rate: float) -> pb.ServerMessage:
    """One frame, ready to be sent."""
    forward, back, left, right = packet.keys
    frame = pb.Frame(
        frame_id=packet.frame_id,
        branch=packet.branch,
        chunk=packet.chunk,
        frame=packet.frame,
        codec=pb.CODEC_JPEG,
        data=packet.data,
        key_frame=True,
        presentation_time_us=round(packet.frame_id * 1_000_000 / frame_rate),
        client_time_us=packet.client_time_us,
        action=pb.ActionFrame(
            forward=forward,
            back=back,
            left=left,
            right=right,
            camera_pitch=packet.camera_pitch,
            camera_yaw=packet.camera_yaw,
        ),
    )
    if packet.stages is not None:
        frame.stages.CopyFrom(_stages(packet.stages))
    return pb.ServerMessage(frame=frame)


def applied_of(packet: FramePacket) -> pb.ServerMessage:
    """The events that a chunk took, from its first frame."""
    events = [pb.AppliedEvent(event_id=event, frame_id=frame) for event, frame in packet.applied or ()]
    return pb.ServerMessage(applied=pb.Applied(branch=packet.branch, chunk=packet.chunk, events=events))


def status_of(progress: Progress) -> pb.ServerMessage:
    """How far the session is."""
    return pb.ServerMessage(
        status=pb.Status(
            state=_STATES[progress.phase],
            branch=progress.branch,
            chunk=progress.chunk,
            step=progress.step,
            num_steps=progress.num_steps,
        )
    )


def error_of(error: WorldloomError) -> pb.ServerMessage:
    """What went wrong, in the words that are meant for users."""
    return pb.ServerMessage(
        error=pb.Error(
            code=error.code,
            message=error.message,
            hint=error.hint,
            retryable=error.retryable,
            world_lost=error.world_lost,
        )
    )


def _stages(times: StageTimes) -> pb.StageTimes:
    return pb.StageTimes(
        queue_ms=times.queue_s * 1e3,
        plan_ms=times.plan_s * 1e3,
        retrieve_ms=times.retrieve_s * 1e3,
        step_ms=[step * 1e3 for step in times.steps_s],
        commit_ms=times.commit_s * 1e3,
        decode_ms=times.decode_s * 1e3,
        encode_ms=times.encode_s * 1e3,
    )
