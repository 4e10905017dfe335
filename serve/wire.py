"""Messages of the stream protocol on their way in and out: bytes or JSON, version, welcome, status, errors."""

from __future__ import annotations

from google.protobuf import json_format
from google.protobuf.message import DecodeError

from ..cluster.attendance import Role
from ..cluster.messages import Phase, Progress, SessionInfo
from ..errors import MessageInvalid, VersionMismatch, WorldloomError
from ..model.clip import FIRST_CLIP_FRAMES, NEW_FRAMES
from ..model.poses import intrinsics_of
from ..model.preset import Preset
from .inputs import MAX_PENDING_EVENTS
from .protocol.generated import session_pb2 as pb
from .wire_events import MAX_SCRIPT_FRAMES

PROTOCOL_VERSION = 2
OLDEST_VERSION = 2
MAX_JSON_DEPTH = 16

STATES: dict[Phase, pb.SessionState] = {
    Phase.QUEUED: pb.SESSION_STATE_QUEUED,
    Phase.WARMING_UP: pb.SESSION_STATE_WARMING_UP,
    Phase.PLAYING: pb.SESSION_STATE_PLAYING,
    Phase.PAUSED: pb.SESSION_STATE_PAUSED,
    Phase.RECOVERING: pb.SESSION_STATE_RECOVERING,
    Phase.ENDED: pb.SESSION_STATE_ENDED,
}


def parse(data: bytes | str) -> pb.ClientMessage:
    """A client's message, from bytes or from its JSON. Raises MessageInvalid unless it is one, with a body."""
    try:
        message = _from_json(data) if isinstance(data, str) else pb.ClientMessage.FromString(data)
    except (DecodeError, json_format.ParseError) as error:
        raise MessageInvalid(
            f"{len(data)} {'characters' if isinstance(data, str) else 'bytes'} are no ClientMessage",
            hint="Use the same session.proto as the server; text is read as protobuf's JSON mapping.",
        ) from error
    if message.WhichOneof("body") is None:
        raise MessageInvalid("a ClientMessage has no body that this server knows", hint="Set one of its fields.")
    return message


def _from_json(text: str) -> pb.ClientMessage:
    message: pb.ClientMessage = json_format.Parse(text, pb.ClientMessage(), max_recursion_depth=MAX_JSON_DEPTH)
    return message


def to_json(message: pb.ServerMessage) -> str:
    """The JSON mapping, with the field names of the .proto files; 64-bit integers are strings and bytes base64."""
    text: str = json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None)
    return text


def check_version(hello: pb.Hello) -> None:
    """Raises VersionMismatch unless the client speaks this protocol."""
    if not OLDEST_VERSION <= hello.protocol_version <= PROTOCOL_VERSION:
        raise VersionMismatch(
            f"the client speaks protocol version {hello.protocol_version}, the server {PROTOCOL_VERSION}",
            hint="Install the client of the same release as the server.",
        )


def welcome(info: SessionInfo, preset: Preset, *, role: Role, last_event_id: int) -> pb.Welcome:
    """The answer to Hello. What depends on the gateway's settings and on the connection is the gateway's to add."""
    height, width = preset.video.height, preset.video.width
    fx, fy, cx, cy = intrinsics_of(height, width).tolist()
    return pb.Welcome(
        protocol_version=PROTOCOL_VERSION,
        session_id=info.session,
        role=pb.ROLE_PLAYER if role is Role.PLAYER else pb.ROLE_VIEWER,
        preset=info.preset,
        trained=preset.trained,
        frame_rate=preset.video.frame_rate,
        first_chunk_frames=FIRST_CLIP_FRAMES,
        frames_per_chunk=NEW_FRAMES,
        intrinsics=pb.CameraIntrinsics(fx=fx, fy=fy, cx=cx, cy=cy, width=width, height=height),
        last_event_id=max(last_event_id, info.last_event_id),
        applied_event_id=info.last_event_id,
        limits=pb.StreamLimits(
            pending_events=MAX_PENDING_EVENTS,
            prompt_chars=preset.limits.prompt_chars,
            script_frames=MAX_SCRIPT_FRAMES,
        ),
    )


def status_of(progress: Progress, *, viewers: int = 0) -> pb.ServerMessage:
    """How far the session is, and how many watch."""
    return pb.ServerMessage(
        status=pb.Status(
            state=STATES[progress.phase],
            queue_position=progress.queue_position,
            branch=progress.branch,
            chunk=progress.chunk,
            step=progress.step,
            num_steps=progress.num_steps,
            viewers=viewers,
        )
    )


def bye(reason: str, *, reconnect: bool = False) -> pb.ServerMessage:
    """The last message of a connection; whether its client shall come again."""
    return pb.ServerMessage(bye=pb.Bye(reason=reason, reconnect=reconnect))


def error_of(error: WorldloomError, *, event_id: int = 0, hello: pb.Hello | None = None) -> pb.ServerMessage:
    """What went wrong, in the words that are meant for users; of which event, or of whose Hello."""
    message = pb.Error(
        code=error.code,
        message=error.message,
        hint=error.hint,
        retryable=error.retryable,
        world_lost=error.world_lost,
        event_id=event_id,
    )
    if isinstance(error, VersionMismatch):
        message.version_mismatch.CopyFrom(
            pb.VersionMismatch(
                client_version=hello.protocol_version if hello else 0,
                oldest_supported=OLDEST_VERSION,
                newest_supported=PROTOCOL_VERSION,
            )
        )
    return pb.ServerMessage(error=message)
