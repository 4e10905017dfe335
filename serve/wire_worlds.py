"""Messages of worlds.proto as the values that the verbs take, and back."""

from __future__ import annotations

from google.protobuf import json_format
from pydantic import ValidationError

from ..cluster.attendance import Role
from ..cluster.limits import SessionLimits
from ..cluster.messages import SessionInfo, SnapshotPlace
from ..cluster.verbs import FromSnapshot, NewWorld
from ..errors import InputError
from ..model.preset import Preset
from .protocol.generated import session_pb2, worlds_pb2
from .session_requests import NewSession, invalid, start_of
from .wire import STATES

_VIEWPOINTS = {
    "first_person": worlds_pb2.VIEWPOINT_FIRST_PERSON,
    "third_person": worlds_pb2.VIEWPOINT_THIRD_PERSON,
}
_ROLES = {session_pb2.ROLE_PLAYER: Role.PLAYER, session_pb2.ROLE_VIEWER: Role.VIEWER}


async def world_of(request: worlds_pb2.CreateRequest, preset: Preset) -> NewWorld | FromSnapshot:
    """What is to be created, checked as over HTTP. Raises InputError and its kinds, and PresetUnknown."""
    image = request.image if request.HasField("image") else None
    rest = worlds_pb2.CreateRequest()
    rest.CopyFrom(request)
    rest.ClearField("image")
    fields = json_format.MessageToDict(rest, preserving_proto_field_name=True)
    if "viewpoint" in fields:
        # A number that this protocol has no name for stays one.
        fields["viewpoint"] = str(fields["viewpoint"]).removeprefix("VIEWPOINT_").lower()
    try:
        asked = NewSession.model_validate(fields)
    except ValidationError as error:
        raise invalid(error) from error
    return await start_of(asked if image is None else asked.model_copy(update={"image": image}), preset)


def limits_of(limits: worlds_pb2.SessionLimits) -> SessionLimits:
    """What is asked for."""
    return SessionLimits(play_s=limits.play_s, idle_s=limits.idle_s, grace_s=limits.grace_s, viewers=limits.viewers)


def role_of(role: session_pb2.Role) -> Role:
    """Raises InputError where none is given."""
    if role not in _ROLES:
        raise InputError("the ticket has no role", hint="Ask for ROLE_PLAYER or ROLE_VIEWER.")
    return _ROLES[role]


def session_of(info: SessionInfo, preset: Preset) -> worlds_pb2.Session:
    """A session as its owner sees it."""
    return worlds_pb2.Session(
        session_id=info.session,
        state=STATES[info.phase],
        preset=info.preset,
        prompt=info.prompt,
        seed=info.seed,
        viewpoint=_VIEWPOINTS[info.viewpoint],
        width=preset.video.width,
        height=preset.video.height,
        frame_rate=preset.video.frame_rate,
        trained=preset.trained,
        has_player=info.has_player,
        viewers=info.viewers,
        branch=info.branch,
        chunk=info.chunk,
        next_frame_id=info.next_frame_id,
        last_event_id=info.last_event_id,
    )


def snapshot_of(place: SnapshotPlace) -> worlds_pb2.Snapshot:
    """A place that worlds can start from."""
    return worlds_pb2.Snapshot(snapshot_id=place.snapshot, branch=place.branch, chunk=place.chunk)
