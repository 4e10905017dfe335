from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Codec(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CODEC_UNSPECIFIED: _ClassVar[Codec]
    CODEC_JPEG: _ClassVar[Codec]
    CODEC_H264: _ClassVar[Codec]
    CODEC_RAW_RGB: _ClassVar[Codec]

class SessionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SESSION_STATE_UNSPECIFIED: _ClassVar[SessionState]
    SESSION_STATE_QUEUED: _ClassVar[SessionState]
    SESSION_STATE_WARMING_UP: _ClassVar[SessionState]
    SESSION_STATE_PLAYING: _ClassVar[SessionState]
    SESSION_STATE_RECOVERING: _ClassVar[SessionState]
    SESSION_STATE_ENDED: _ClassVar[SessionState]
CODEC_UNSPECIFIED: Codec
CODEC_JPEG: Codec
CODEC_H264: Codec
CODEC_RAW_RGB: Codec
SESSION_STATE_UNSPECIFIED: SessionState
SESSION_STATE_QUEUED: SessionState
SESSION_STATE_WARMING_UP: SessionState
SESSION_STATE_PLAYING: SessionState
SESSION_STATE_RECOVERING: SessionState
SESSION_STATE_ENDED: SessionState

class ClientMessage(_message.Message):
    __slots__ = ("hello", "controls", "script", "ack", "ping", "bye")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    CONTROLS_FIELD_NUMBER: _ClassVar[int]
    SCRIPT_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    PING_FIELD_NUMBER: _ClassVar[int]
    BYE_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    controls: Controls
    script: Script
    ack: FrameAck
    ping: Ping
    bye: Bye
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., controls: _Optional[_Union[Controls, _Mapping]] = ..., script: _Optional[_Union[Script, _Mapping]] = ..., ack: _Optional[_Union[FrameAck, _Mapping]] = ..., ping: _Optional[_Union[Ping, _Mapping]] = ..., bye: _Optional[_Union[Bye, _Mapping]] = ...) -> None: ...

class ServerMessage(_message.Message):
    __slots__ = ("welcome", "accepted", "applied", "frame", "status", "pong", "error", "bye")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PONG_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    BYE_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    accepted: Accepted
    applied: Applied
    frame: Frame
    status: Status
    pong: Pong
    error: Error
    bye: Bye
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., accepted: _Optional[_Union[Accepted, _Mapping]] = ..., applied: _Optional[_Union[Applied, _Mapping]] = ..., frame: _Optional[_Union[Frame, _Mapping]] = ..., status: _Optional[_Union[Status, _Mapping]] = ..., pong: _Optional[_Union[Pong, _Mapping]] = ..., error: _Optional[_Union[Error, _Mapping]] = ..., bye: _Optional[_Union[Bye, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("protocol_version", "token", "client")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    token: str
    client: str
    def __init__(self, protocol_version: _Optional[int] = ..., token: _Optional[str] = ..., client: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("protocol_version", "session_id", "preset", "width", "height", "frame_rate", "frames_per_chunk", "trained", "next_frame_id", "last_event_id")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FRAME_RATE_FIELD_NUMBER: _ClassVar[int]
    FRAMES_PER_CHUNK_FIELD_NUMBER: _ClassVar[int]
    TRAINED_FIELD_NUMBER: _ClassVar[int]
    NEXT_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    LAST_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    session_id: str
    preset: str
    width: int
    height: int
    frame_rate: float
    frames_per_chunk: int
    trained: bool
    next_frame_id: int
    last_event_id: int
    def __init__(self, protocol_version: _Optional[int] = ..., session_id: _Optional[str] = ..., preset: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., frame_rate: _Optional[float] = ..., frames_per_chunk: _Optional[int] = ..., trained: bool = ..., next_frame_id: _Optional[int] = ..., last_event_id: _Optional[int] = ...) -> None: ...

class Controls(_message.Message):
    __slots__ = ("event_id", "client_time_us", "forward", "back", "left", "right", "camera_pitch", "camera_yaw", "pitch_motion", "yaw_motion")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TIME_US_FIELD_NUMBER: _ClassVar[int]
    FORWARD_FIELD_NUMBER: _ClassVar[int]
    BACK_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    CAMERA_PITCH_FIELD_NUMBER: _ClassVar[int]
    CAMERA_YAW_FIELD_NUMBER: _ClassVar[int]
    PITCH_MOTION_FIELD_NUMBER: _ClassVar[int]
    YAW_MOTION_FIELD_NUMBER: _ClassVar[int]
    event_id: int
    client_time_us: int
    forward: bool
    back: bool
    left: bool
    right: bool
    camera_pitch: float
    camera_yaw: float
    pitch_motion: float
    yaw_motion: float
    def __init__(self, event_id: _Optional[int] = ..., client_time_us: _Optional[int] = ..., forward: bool = ..., back: bool = ..., left: bool = ..., right: bool = ..., camera_pitch: _Optional[float] = ..., camera_yaw: _Optional[float] = ..., pitch_motion: _Optional[float] = ..., yaw_motion: _Optional[float] = ...) -> None: ...

class Script(_message.Message):
    __slots__ = ("event_id", "client_time_us", "frames")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TIME_US_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    event_id: int
    client_time_us: int
    frames: _containers.RepeatedCompositeFieldContainer[ActionFrame]
    def __init__(self, event_id: _Optional[int] = ..., client_time_us: _Optional[int] = ..., frames: _Optional[_Iterable[_Union[ActionFrame, _Mapping]]] = ...) -> None: ...

class ActionFrame(_message.Message):
    __slots__ = ("forward", "back", "left", "right", "camera_pitch", "camera_yaw")
    FORWARD_FIELD_NUMBER: _ClassVar[int]
    BACK_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    CAMERA_PITCH_FIELD_NUMBER: _ClassVar[int]
    CAMERA_YAW_FIELD_NUMBER: _ClassVar[int]
    forward: bool
    back: bool
    left: bool
    right: bool
    camera_pitch: float
    camera_yaw: float
    def __init__(self, forward: bool = ..., back: bool = ..., left: bool = ..., right: bool = ..., camera_pitch: _Optional[float] = ..., camera_yaw: _Optional[float] = ...) -> None: ...

class FrameAck(_message.Message):
    __slots__ = ("frame_id", "buffered_ms")
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    BUFFERED_MS_FIELD_NUMBER: _ClassVar[int]
    frame_id: int
    buffered_ms: int
    def __init__(self, frame_id: _Optional[int] = ..., buffered_ms: _Optional[int] = ...) -> None: ...

class Ping(_message.Message):
    __slots__ = ("client_time_us",)
    CLIENT_TIME_US_FIELD_NUMBER: _ClassVar[int]
    client_time_us: int
    def __init__(self, client_time_us: _Optional[int] = ...) -> None: ...

class Pong(_message.Message):
    __slots__ = ("client_time_us",)
    CLIENT_TIME_US_FIELD_NUMBER: _ClassVar[int]
    client_time_us: int
    def __init__(self, client_time_us: _Optional[int] = ...) -> None: ...

class Bye(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ("event_id", "client_time_us")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TIME_US_FIELD_NUMBER: _ClassVar[int]
    event_id: int
    client_time_us: int
    def __init__(self, event_id: _Optional[int] = ..., client_time_us: _Optional[int] = ...) -> None: ...

class Applied(_message.Message):
    __slots__ = ("branch", "chunk", "events")
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    branch: int
    chunk: int
    events: _containers.RepeatedCompositeFieldContainer[AppliedEvent]
    def __init__(self, branch: _Optional[int] = ..., chunk: _Optional[int] = ..., events: _Optional[_Iterable[_Union[AppliedEvent, _Mapping]]] = ...) -> None: ...

class AppliedEvent(_message.Message):
    __slots__ = ("event_id", "frame_id")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    event_id: int
    frame_id: int
    def __init__(self, event_id: _Optional[int] = ..., frame_id: _Optional[int] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("frame_id", "branch", "chunk", "frame", "codec", "data", "key_frame", "presentation_time_us", "client_time_us", "action", "stages")
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    KEY_FRAME_FIELD_NUMBER: _ClassVar[int]
    PRESENTATION_TIME_US_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TIME_US_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    frame_id: int
    branch: int
    chunk: int
    frame: int
    codec: Codec
    data: bytes
    key_frame: bool
    presentation_time_us: int
    client_time_us: int
    action: ActionFrame
    stages: StageTimes
    def __init__(self, frame_id: _Optional[int] = ..., branch: _Optional[int] = ..., chunk: _Optional[int] = ..., frame: _Optional[int] = ..., codec: _Optional[_Union[Codec, str]] = ..., data: _Optional[bytes] = ..., key_frame: bool = ..., presentation_time_us: _Optional[int] = ..., client_time_us: _Optional[int] = ..., action: _Optional[_Union[ActionFrame, _Mapping]] = ..., stages: _Optional[_Union[StageTimes, _Mapping]] = ...) -> None: ...

class StageTimes(_message.Message):
    __slots__ = ("queue_ms", "plan_ms", "retrieve_ms", "step_ms", "commit_ms", "decode_ms", "encode_ms")
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    PLAN_MS_FIELD_NUMBER: _ClassVar[int]
    RETRIEVE_MS_FIELD_NUMBER: _ClassVar[int]
    STEP_MS_FIELD_NUMBER: _ClassVar[int]
    COMMIT_MS_FIELD_NUMBER: _ClassVar[int]
    DECODE_MS_FIELD_NUMBER: _ClassVar[int]
    ENCODE_MS_FIELD_NUMBER: _ClassVar[int]
    queue_ms: float
    plan_ms: float
    retrieve_ms: float
    step_ms: _containers.RepeatedScalarFieldContainer[float]
    commit_ms: float
    decode_ms: float
    encode_ms: float
    def __init__(self, queue_ms: _Optional[float] = ..., plan_ms: _Optional[float] = ..., retrieve_ms: _Optional[float] = ..., step_ms: _Optional[_Iterable[float]] = ..., commit_ms: _Optional[float] = ..., decode_ms: _Optional[float] = ..., encode_ms: _Optional[float] = ...) -> None: ...

class Status(_message.Message):
    __slots__ = ("state", "queue_position", "branch", "chunk", "step", "num_steps")
    STATE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    NUM_STEPS_FIELD_NUMBER: _ClassVar[int]
    state: SessionState
    queue_position: int
    branch: int
    chunk: int
    step: int
    num_steps: int
    def __init__(self, state: _Optional[_Union[SessionState, str]] = ..., queue_position: _Optional[int] = ..., branch: _Optional[int] = ..., chunk: _Optional[int] = ..., step: _Optional[int] = ..., num_steps: _Optional[int] = ...) -> None: ...

class Error(_message.Message):
    __slots__ = ("code", "message", "hint", "retryable", "world_lost")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HINT_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    WORLD_LOST_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    hint: str
    retryable: bool
    world_lost: bool
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., hint: _Optional[str] = ..., retryable: bool = ..., world_lost: bool = ...) -> None: ...
