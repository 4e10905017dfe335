"""The protocol's messages and the cluster's values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worldloom.cluster.controls import Controls, Script
from worldloom.cluster.messages import Phase, Progress
from worldloom.errors import ActionError, MessageInvalid, WorldLost
from worldloom.serve import wire
from worldloom.serve.protocol import session_pb2 as pb


@given(st.binary(max_size=60))
def test_any_bytes_are_a_message_with_a_body_or_invalid(data: bytes) -> None:
    try:
        message = wire.parse(data)
    except MessageInvalid:
        return
    assert message.WhichOneof("body") is not None


def test_controls_keep_their_keys_and_numbers() -> None:
    message = pb.Controls(
        event_id=3, client_time_us=4, back=True, right=True, camera_pitch=-0.5, camera_yaw=1, pitch_motion=24
    )
    event = wire.event_of(message)
    assert event == Controls(
        event_id=3,
        client_time_us=4,
        keys=(False, True, False, True),
        camera_pitch=-0.5,
        camera_yaw=1,
        pitch_motion=24,
    )


def test_a_script_becomes_rows() -> None:
    frames = [pb.ActionFrame(forward=True, camera_yaw=0.5), pb.ActionFrame(right=True, camera_pitch=-1)]
    event = wire.event_of(pb.Script(event_id=1, frames=frames))
    assert isinstance(event, Script)
    np.testing.assert_array_equal(event.keyboard, [[1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0]])
    np.testing.assert_array_equal(event.mouse, [[0, 0.5], [-1, 0]])


@pytest.mark.parametrize(
    "message",
    [
        pb.Controls(forward=True),
        pb.Controls(event_id=1, camera_pitch=1.01),
        pb.Controls(event_id=1, yaw_motion=float("inf")),
        pb.Script(event_id=1),
        pb.Script(event_id=1, frames=[pb.ActionFrame(camera_yaw=float("nan"))]),
        pb.Script(event_id=1, frames=[pb.ActionFrame()] * (wire.MAX_SCRIPT_FRAMES + 1)),
    ],
)
def test_actions_out_of_range_are_refused(message: pb.Controls | pb.Script) -> None:
    with pytest.raises(ActionError):
        wire.event_of(message)


def test_every_phase_and_error_has_its_message() -> None:
    states = {wire.status_of(Progress(phase=phase)).status.state for phase in Phase}
    assert len(states) == len(Phase) and pb.SESSION_STATE_UNSPECIFIED not in states
    error = wire.error_of(WorldLost("gone", hint="start anew")).error
    assert (error.code, error.message, error.hint, error.world_lost) == ("world_lost", "gone", "start anew", True)
