"""The protocol's messages and the cluster's values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worldloom.cluster.events import CameraGoal, Controls, Pause, Play, Rewind, Script
from worldloom.cluster.messages import Phase, Progress
from worldloom.errors import ActionError, MessageInvalid, PromptTooLong, VersionMismatch, WorldLost
from worldloom.serve import wire
from worldloom.serve.protocol.generated import session_pb2 as pb
from worldloom.serve.wire_events import MAX_SCRIPT_FRAMES, event_of

PROMPT_CHARS = 100


def event(**action: object) -> pb.Event:
    return pb.Event(event_id=3, client_time_us=4, **action)  # type: ignore[arg-type]


def read(message: pb.Event) -> object:
    return event_of(message, prompt_chars=PROMPT_CHARS)


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60)))
def test_anything_is_a_message_with_a_body_or_invalid(data: bytes | str) -> None:
    try:
        message = wire.parse(data)
    except MessageInvalid:
        return
    assert message.WhichOneof("body") is not None


def test_json_and_bytes_say_the_same() -> None:
    text = '{"event": {"event_id": "3", "controls": {"keyboard": {"forward": true}, "mouse": {"yaw": 0.5}}}}'
    message = wire.parse(text)
    assert wire.parse(message.SerializeToString()) == message
    assert message.event.controls.mouse.yaw == 0.5
    reply = pb.ServerMessage(frame=pb.Frame(frame_id=2**40, data=b"\x00\xff", key_frame=True))
    assert wire.to_json(reply) == '{"frame": {"frame_id": "1099511627776", "key_frame": true, "data": "AP8="}}'


@pytest.mark.parametrize("text", ["[" * 5000, '{"event":' * 5000, '{"hello": {"protocol_version": 1e400}}', "NaN"])
def test_hostile_json_is_invalid(text: str) -> None:
    with pytest.raises(MessageInvalid):
        wire.parse(text)


def test_controls_keep_their_tracks_and_leave_out_the_others() -> None:
    keys = event(controls=pb.Controls(keyboard=pb.Keyboard(back=True, right=True)))
    assert read(keys) == Controls(event_id=3, client_time_us=4, keys=(False, True, False, True))
    mouse = event(controls=pb.Controls(mouse=pb.Mouse(pitch=-0.5, yaw=1, pitch_motion=24)))
    assert read(mouse) == Controls(event_id=3, client_time_us=4, look=(-0.5, 1), motion=(24, 0))
    prompt = event(controls=pb.Controls(prompt=pb.Prompt(text="")))
    assert read(prompt) == Controls(event_id=3, client_time_us=4, prompt="")
    pose = pb.CameraPose(x=1, y=-2, z=0, pitch_degrees=4, yaw_degrees=-90)
    goal = event(controls=pb.Controls(camera=pb.CameraTarget(pose=pose, look_only=True)))
    assert read(goal) == Controls(
        event_id=3, client_time_us=4, goal=CameraGoal(pose=(1, -2, 0, 4, -90), look_only=True)
    )
    released = event(controls=pb.Controls(camera=pb.CameraTarget(release=pb.Release())))
    assert read(released) == Controls(event_id=3, client_time_us=4, goal=CameraGoal())


def test_turns_of_time_are_read() -> None:
    assert read(event(pause=pb.Pause())) == Pause(event_id=3, client_time_us=4)
    assert read(event(play=pb.Play())) == Play(event_id=3, client_time_us=4)
    assert read(event(reset=pb.Reset())) == Rewind(event_id=3, client_time_us=4, chunk=0)
    assert read(event(rewind=pb.Rewind(chunk=7))) == Rewind(event_id=3, client_time_us=4, chunk=7)
    assert read(event(rewind=pb.Rewind(chunk=7, branch=0))) == Rewind(event_id=3, client_time_us=4, chunk=7, branch=0)


def test_a_script_becomes_rows() -> None:
    frames = [pb.ActionFrame(forward=True, camera_yaw=0.5), pb.ActionFrame(right=True, camera_pitch=-1)]
    script = read(event(script=pb.Script(frames=frames, pause_after=True)))
    assert isinstance(script, Script) and script.pause_after
    np.testing.assert_array_equal(script.keyboard, [[1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0]])
    np.testing.assert_array_equal(script.mouse, [[0, 0.5], [-1, 0]])


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (pb.Event(play=pb.Play()), ActionError),
        (pb.Event(event_id=2**63, play=pb.Play()), ActionError),
        (pb.Event(event_id=1, client_time_us=2**64 - 1, play=pb.Play()), ActionError),
        (event(), MessageInvalid),
        (event(controls=pb.Controls(mouse=pb.Mouse(pitch=1.01))), ActionError),
        (event(controls=pb.Controls(mouse=pb.Mouse(yaw_motion=float("inf")))), ActionError),
        (event(controls=pb.Controls(camera=pb.CameraTarget(pose=pb.CameraPose(x=float("nan"))))), ActionError),
        (event(controls=pb.Controls(prompt=pb.Prompt(text="x" * 101))), PromptTooLong),
        (event(script=pb.Script()), ActionError),
        (event(script=pb.Script(frames=[pb.ActionFrame(camera_yaw=float("nan"))])), ActionError),
        (event(script=pb.Script(frames=[pb.ActionFrame()] * (MAX_SCRIPT_FRAMES + 1))), ActionError),
    ],
)
def test_events_out_of_range_are_refused(message: pb.Event, error: type[Exception]) -> None:
    with pytest.raises(error):
        read(message)


def test_every_phase_and_error_has_its_message() -> None:
    states = {wire.status_of(Progress(phase=phase)).status.state for phase in Phase}
    assert len(states) == len(Phase) and pb.SESSION_STATE_UNSPECIFIED not in states
    error = wire.error_of(WorldLost("gone", hint="start anew"), event_id=7).error
    assert (error.code, error.message, error.hint, error.world_lost) == ("world_lost", "gone", "start anew", True)
    assert error.event_id == 7


def test_another_version_is_told_which_ones_would_do() -> None:
    hello = pb.Hello(protocol_version=wire.PROTOCOL_VERSION + 1)
    with pytest.raises(VersionMismatch) as caught:
        wire.check_version(hello)
    mismatch = wire.error_of(caught.value, hello=hello).error.version_mismatch
    assert mismatch.client_version == wire.PROTOCOL_VERSION + 1
    assert mismatch.oldest_supported <= mismatch.newest_supported == wire.PROTOCOL_VERSION
