"""Messages of worlds.proto: the same checks as over HTTP, and sessions as clients see them."""

from __future__ import annotations

import asyncio
import io
import math

import pytest
from PIL import Image
from worldloom.cluster.attendance import Role
from worldloom.cluster.limits import SessionLimits
from worldloom.cluster.messages import Phase, SessionInfo, SnapshotPlace
from worldloom.cluster.verbs import FromSnapshot, NewWorld
from worldloom.errors import InputError, NotAnImage, PresetUnknown, PromptTooLong
from worldloom.model.preset import load_preset
from worldloom.serve.protocol.generated import controls_pb2, session_pb2
from worldloom.serve.protocol.generated import worlds_pb2 as pb
from worldloom.serve.samples import list_samples
from worldloom.serve.wire_worlds import limits_of, role_of, session_of, snapshot_of, world_of

PRESET = load_preset("mock")


def world(**fields: object) -> NewWorld | FromSnapshot:
    return asyncio.run(world_of(pb.CreateRequest(**fields), PRESET))  # type: ignore[arg-type]


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (60, 40), "navy").save(file, "PNG")
    return file.getvalue()


def test_an_empty_request_takes_the_first_sample() -> None:
    asked = world()
    assert isinstance(asked, NewWorld)
    assert (asked.prompt, asked.viewpoint, asked.camera) == (list_samples()[0].prompt, "first_person", (0.0,) * 5)


def test_a_full_request_is_taken_as_asked() -> None:
    asked = world(
        image=png(),
        prompt="a hall",
        seed=2**63 - 1,
        preset="mock",
        viewpoint=pb.VIEWPOINT_THIRD_PERSON,
        camera=controls_pb2.CameraPose(x=1, y=-2, z=3, pitch_degrees=4, yaw_degrees=-5),
        limits=pb.SessionLimits(play_s=60, viewers=2),
    )
    assert isinstance(asked, NewWorld) and (asked.image == (0, 0, 128)).all()
    assert (asked.prompt, asked.seed, asked.viewpoint) == ("a hall", 2**63 - 1, "third_person")
    assert asked.camera == (1, -2, 3, 4, -5) and asked.limits == SessionLimits(play_s=60, viewers=2)


def test_a_snapshot_brings_all_but_a_prompt() -> None:
    assert world(snapshot_id="p", prompt="night") == FromSnapshot(snapshot="p", prompt="night")
    assert world(snapshot_id="p") == FromSnapshot(snapshot="p")
    with pytest.raises(InputError, match="seed"):
        world(snapshot_id="p", seed=0)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"seed": 2**63}, InputError),
        ({"viewpoint": 9}, InputError),
        ({"sample": "nowhere"}, InputError),
        ({"image": b"GIF"}, NotAnImage),
        ({"image": b""}, NotAnImage),
        ({"preset": "other"}, PresetUnknown),
        ({"prompt": "x" * 2001}, PromptTooLong),
        ({"camera": controls_pb2.CameraPose(x=math.nan)}, InputError),
        ({"camera": controls_pb2.CameraPose(pitch_degrees=91)}, InputError),
        ({"limits": pb.SessionLimits(idle_s=-1)}, InputError),
        ({"limits": pb.SessionLimits(idle_s=math.inf)}, InputError),
    ],
)
def test_wrong_requests_get_typed_errors(fields: dict[str, object], error: type[InputError]) -> None:
    with pytest.raises(error):
        world(**fields)


def test_limits_and_roles_are_checked() -> None:
    assert limits_of(pb.SessionLimits()) == SessionLimits()
    with pytest.raises(InputError, match="play_s"):
        limits_of(pb.SessionLimits(play_s=math.nan)).within(SessionLimits(play_s=9))
    assert role_of(session_pb2.ROLE_VIEWER) is Role.VIEWER
    with pytest.raises(InputError):
        role_of(session_pb2.ROLE_UNSPECIFIED)


@pytest.mark.parametrize("phase", Phase)
def test_a_session_is_told_as_it_is(phase: Phase) -> None:
    info = SessionInfo(
        session="s",
        preset="mock",
        prompt="here",
        seed=3,
        viewpoint="third_person",
        phase=phase,
        group=None,
        epoch=2,
        has_player=True,
        created_at=1.0,
        viewers=2,
        branch=1,
        chunk=4,
        next_frame_id=177,
        last_event_id=9,
    )
    told = session_of(info, PRESET)
    assert session_pb2.SessionState.Name(told.state) == f"SESSION_STATE_{phase.name}"
    assert (told.viewpoint, told.width, told.viewers, told.next_frame_id) == (pb.VIEWPOINT_THIRD_PERSON, 224, 2, 177)
    assert (told.branch, told.chunk, told.last_event_id, told.has_player) == (1, 4, 9, True)
    assert snapshot_of(SnapshotPlace(snapshot="p", branch=1, chunk=2)) == pb.Snapshot(
        snapshot_id="p", branch=1, chunk=2
    )
