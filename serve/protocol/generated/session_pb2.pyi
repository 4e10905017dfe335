from . import controls_pb2 as _controls_pb2
from . import frames_pb2 as _frames_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union
from .controls_pb2 import Event as Event
from .controls_pb2 import Controls as Controls
from .controls_pb2 import Keyboard as Keyboard
from .controls_pb2 import Mouse as Mouse
from .controls_pb2 import CameraTarget as CameraTarget
from .controls_pb2 import Release as Release
from .controls_pb2 import CameraPose as CameraPose
from .controls_pb2 import Prompt as Prompt
from .controls_pb2 import Script as Script
from .controls_pb2 import ActionFrame as ActionFrame
from .controls_pb2 import Pause as Pause
from .controls_pb2 import Play as Play
from .controls_pb2 import Reset as Reset
from .controls_pb2 import Rewind as Rewind
from .frames_pb2 import VideoFormat as VideoFormat
from .frames_pb2 import Frame as Frame
from .frames_pb2 import WorldPosition as WorldPosition
from .frames_pb2 import StageTimes as StageTimes
from .frames_pb2 import Codec as Codec

DESCRIPTOR: _descriptor.FileDescriptor
CODEC_UNSPECIFIED: _frames_pb2.Codec
CODEC_JPEG: _frames_pb2.Codec
CODEC_H264: _frames_pb2.Codec
CODEC_RAW_RGB: _frames_pb2.Codec

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_PLAYER: _ClassVar[Role]
    ROLE_VIEWER: _ClassVar[Role]

class SessionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_STATE_UNSPECIFIED: _ClassVar[SessionState]
    SESSION_STATE_QUEUED: _ClassVar[SessionState]
    SESSION_STATE_WARMING_UP: _ClassVar[SessionState]
    SESSION_STATE_PLAYING: _ClassVar[SessionState]
    SESSION_STATE_RECOVERING: _ClassVar[SessionState]
    SESSION_STATE_ENDED: _ClassVar[SessionState]
    SESSION_STATE_PAUSED: _ClassVar[SessionState]
ROLE_UNSPECIFIED: Role
ROLE_PLAYER: Role
ROLE_VIEWER: Role
SESSION_STATE_UNSPECIFIED: SessionState
SESSION_STATE_QUEUED: SessionState
SESSION_STATE_WARMING_UP: SessionState
SESSION_STATE_PLAYING: SessionState
SESSION_STATE_RECOVERING: SessionState
SESSION_STATE_ENDED: SessionState
SESSION_STATE_PAUSED: SessionState

class ClientMessage(_message.Message):
    __slots__ = ("hello", "event", "report", "heartbeat", "bye")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    BYE_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    event: _controls_pb2.Event
    report: BufferReport
    heartbeat: Heartbeat
    bye: Bye
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., event: _Optional[_Union[_controls_pb2.Event, _Mapping]] = ..., report: _Optional[_Union[BufferReport, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., bye: _Optional[_Union[Bye, _Mapping]] = ...) -> None: ...

class ServerMessage(_message.Message):
    __slots__ = ("welcome", "accepted", "applied", "frame", "status", "heartbeat", "error", "bye", "format", "branched")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    BYE_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    BRANCHED_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    accepted: Accepted
    applied: Applied
    frame: _frames_pb2.Frame
    status: Status
    heartbeat: Heartbeat
    error: Error
    bye: Bye
    format: _frames_pb2.VideoFormat
    branched: Branched
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., accepted: _Optional[_Union[Accepted, _Mapping]] = ..., applied: _Optional[_Union[Applied, _Mapping]] = ..., frame: _Optional[_Union[_frames_pb2.Frame, _Mapping]] = ..., status: _Optional[_Union[Status, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., bye: _Optional[_Union[Bye, _Mapping]] = ..., format: _Optional[_Union[_frames_pb2.VideoFormat, _Mapping]] = ..., branched: _Optional[_Union[Branched, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("protocol_version", "client", "token", "ticket", "resume_token", "next_frame_id", "video")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    NEXT_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    client: str
    token: str
    ticket: str
    resume_token: str
    next_frame_id: int
    video: VideoRequest
    def __init__(self, protocol_version: _Optional[int] = ..., client: _Optional[str] = ..., token: _Optional[str] = ..., ticket: _Optional[str] = ..., resume_token: _Optional[str] = ..., next_frame_id: _Optional[int] = ..., video: _Optional[_Union[VideoRequest, _Mapping]] = ...) -> None: ...

class VideoRequest(_message.Message):
    __slots__ = ("codecs", "max_width", "max_height", "max_kbit_per_s")
    CODECS_FIELD_NUMBER: _ClassVar[int]
    MAX_WIDTH_FIELD_NUMBER: _ClassVar[int]
    MAX_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    MAX_KBIT_PER_S_FIELD_NUMBER: _ClassVar[int]
    codecs: _containers.RepeatedScalarFieldContainer[_frames_pb2.Codec]
    max_width: int
    max_height: int
    max_kbit_per_s: int
    def __init__(self, codecs: _Optional[_Iterable[_Union[_frames_pb2.Codec, str]]] = ..., max_width: _Optional[int] = ..., max_height: _Optional[int] = ..., max_kbit_per_s: _Optional[int] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("protocol_version", "session_id", "role", "preset", "trained", "frame_rate", "first_chunk_frames", "frames_per_chunk", "format", "intrinsics", "next_frame_id", "last_event_id", "applied_event_id", "resume_token", "grace_s", "heartbeat_s", "limits")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    TRAINED_FIELD_NUMBER: _ClassVar[int]
    FRAME_RATE_FIELD_NUMBER: _ClassVar[int]
    FIRST_CHUNK_FRAMES_FIELD_NUMBER: _ClassVar[int]
    FRAMES_PER_CHUNK_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    INTRINSICS_FIELD_NUMBER: _ClassVar[int]
    NEXT_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    LAST_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    APPLIED_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    GRACE_S_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_S_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    session_id: str
    role: Role
    preset: str
    trained: bool
    frame_rate: float
    first_chunk_frames: int
    frames_per_chunk: int
    format: _frames_pb2.VideoFormat
    intrinsics: CameraIntrinsics
    next_frame_id: int
    last_event_id: int
    applied_event_id: int
    resume_token: str
    grace_s: float
    heartbeat_s: float
    limits: StreamLimits
    def __init__(self, protocol_version: _Optional[int] = ..., session_id: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., preset: _Optional[str] = ..., trained: _Optional[bool] = ..., frame_rate: _Optional[float] = ..., first_chunk_frames: _Optional[int] = ..., frames_per_chunk: _Optional[int] = ..., format: _Optional[_Union[_frames_pb2.VideoFormat, _Mapping]] = ..., intrinsics: _Optional[_Union[CameraIntrinsics, _Mapping]] = ..., next_frame_id: _Optional[int] = ..., last_event_id: _Optional[int] = ..., applied_event_id: _Optional[int] = ..., resume_token: _Optional[str] = ..., grace_s: _Optional[float] = ..., heartbeat_s: _Optional[float] = ..., limits: _Optional[_Union[StreamLimits, _Mapping]] = ...) -> None: ...

class CameraIntrinsics(_message.Message):
    __slots__ = ("fx", "fy", "cx", "cy", "width", "height")
    FX_FIELD_NUMBER: _ClassVar[int]
    FY_FIELD_NUMBER: _ClassVar[int]
    CX_FIELD_NUMBER: _ClassVar[int]
    CY_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    def __init__(self, fx: _Optional[float] = ..., fy: _Optional[float] = ..., cx: _Optional[float] = ..., cy: _Optional[float] = ..., width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class StreamLimits(_message.Message):
    __slots__ = ("message_bytes", "messages_per_s", "pending_events", "prompt_chars", "script_frames")
    MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_PER_S_FIELD_NUMBER: _ClassVar[int]
    PENDING_EVENTS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_CHARS_FIELD_NUMBER: _ClassVar[int]
    SCRIPT_FRAMES_FIELD_NUMBER: _ClassVar[int]
    message_bytes: int
    messages_per_s: float
    pending_events: int
    prompt_chars: int
    script_frames: int
    def __init__(self, message_bytes: _Optional[int] = ..., messages_per_s: _Optional[float] = ..., pending_events: _Optional[int] = ..., prompt_chars: _Optional[int] = ..., script_frames: _Optional[int] = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ("event_id", "client_time_us")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TIME_US_FIELD_NUMBER: _ClassVar[int]
    event_id: int
    client_time_us: int
    def __init__(self, event_id: _Optional[int] = ..., client_time_us: _Optional[int] = ...) -> None: ...

class Applied(_message.Message):
    __slots__ = ("branch", "chunk", "first_frame_id", "num_frames", "events", "remembered")
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    FIRST_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    NUM_FRAMES_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    REMEMBERED_FIELD_NUMBER: _ClassVar[int]
    branch: int
    chunk: int
    first_frame_id: int
    num_frames: int
    events: _containers.RepeatedCompositeFieldContainer[AppliedEvent]
    remembered: _containers.RepeatedCompositeFieldContainer[RememberedView]
    def __init__(self, branch: _Optional[int] = ..., chunk: _Optional[int] = ..., first_frame_id: _Optional[int] = ..., num_frames: _Optional[int] = ..., events: _Optional[_Iterable[_Union[AppliedEvent, _Mapping]]] = ..., remembered: _Optional[_Iterable[_Union[RememberedView, _Mapping]]] = ...) -> None: ...

class AppliedEvent(_message.Message):
    __slots__ = ("event_id", "frame_id")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    event_id: int
    frame_id: int
    def __init__(self, event_id: _Optional[int] = ..., frame_id: _Optional[int] = ...) -> None: ...

class RememberedView(_message.Message):
    __slots__ = ("frame", "camera", "overlap")
    FRAME_FIELD_NUMBER: _ClassVar[int]
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    frame: int
    camera: _controls_pb2.CameraPose
    overlap: float
    def __init__(self, frame: _Optional[int] = ..., camera: _Optional[_Union[_controls_pb2.CameraPose, _Mapping]] = ..., overlap: _Optional[float] = ...) -> None: ...

class Branched(_message.Message):
    __slots__ = ("branch", "parent", "chunk", "next_frame_id")
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    NEXT_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    branch: int
    parent: int
    chunk: int
    next_frame_id: int
    def __init__(self, branch: _Optional[int] = ..., parent: _Optional[int] = ..., chunk: _Optional[int] = ..., next_frame_id: _Optional[int] = ...) -> None: ...

class Status(_message.Message):
    __slots__ = ("state", "queue_position", "branch", "chunk", "step", "num_steps", "viewers")
    STATE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    NUM_STEPS_FIELD_NUMBER: _ClassVar[int]
    VIEWERS_FIELD_NUMBER: _ClassVar[int]
    state: SessionState
    queue_position: int
    branch: int
    chunk: int
    step: int
    num_steps: int
    viewers: int
    def __init__(self, state: _Optional[_Union[SessionState, str]] = ..., queue_position: _Optional[int] = ..., branch: _Optional[int] = ..., chunk: _Optional[int] = ..., step: _Optional[int] = ..., num_steps: _Optional[int] = ..., viewers: _Optional[int] = ...) -> None: ...

class BufferReport(_message.Message):
    __slots__ = ("next_frame_id", "buffered_ms", "stalled_ms", "round_trip_ms")
    NEXT_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    BUFFERED_MS_FIELD_NUMBER: _ClassVar[int]
    STALLED_MS_FIELD_NUMBER: _ClassVar[int]
    ROUND_TRIP_MS_FIELD_NUMBER: _ClassVar[int]
    next_frame_id: int
    buffered_ms: int
    stalled_ms: int
    round_trip_ms: int
    def __init__(self, next_frame_id: _Optional[int] = ..., buffered_ms: _Optional[int] = ..., stalled_ms: _Optional[int] = ..., round_trip_ms: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("client_time_us",)
    CLIENT_TIME_US_FIELD_NUMBER: _ClassVar[int]
    client_time_us: int
    def __init__(self, client_time_us: _Optional[int] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "message", "hint", "retryable", "world_lost", "event_id", "version_mismatch")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    WORLD_LOST_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_MISMATCH_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    hint: str
    retryable: bool
    world_lost: bool
    event_id: int
    version_mismatch: VersionMismatch
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ..., retryable: _Optional[bool] = ..., world_lost: _Optional[bool] = ..., event_id: _Optional[int] = ..., version_mismatch: _Optional[_Union[VersionMismatch, _Mapping]] = ...) -> None: ...

class VersionMismatch(_message.Message):
    __slots__ = ("client_version", "oldest_supported", "newest_supported")
    CLIENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    OLDEST_SUPPORTED_FIELD_NUMBER: _ClassVar[int]
    NEWEST_SUPPORTED_FIELD_NUMBER: _ClassVar[int]
    client_version: int
    oldest_supported: int
    newest_supported: int
    def __init__(self, client_version: _Optional[int] = ..., oldest_supported: _Optional[int] = ..., newest_supported: _Optional[int] = ...) -> None: ...

class Bye(_message.Message):
    __slots__ = ("reason", "reconnect")
    REASON_FIELD_NUMBER: _ClassVar[int]
    RECONNECT_FIELD_NUMBER: _ClassVar[int]
    reason: str
    reconnect: bool
    def __init__(self, reason: _Optional[str] = ..., reconnect: _Optional[bool] = ...) -> None: ...
