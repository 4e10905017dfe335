from . import session_pb2 as _session_pb2
from . import controls_pb2 as _controls_pb2
from . import frames_pb2 as _frames_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Viewpoint(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VIEWPOINT_UNSPECIFIED: _ClassVar[Viewpoint]
    VIEWPOINT_FIRST_PERSON: _ClassVar[Viewpoint]
    VIEWPOINT_THIRD_PERSON: _ClassVar[Viewpoint]
VIEWPOINT_UNSPECIFIED: Viewpoint
VIEWPOINT_FIRST_PERSON: Viewpoint
VIEWPOINT_THIRD_PERSON: Viewpoint

class CreateRequest(_message.Message):
    __slots__ = ("sample", "image", "snapshot_id", "prompt", "seed", "preset", "viewpoint", "camera", "limits")
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    VIEWPOINT_FIELD_NUMBER: _ClassVar[int]
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    sample: str
    image: bytes
    snapshot_id: str
    prompt: str
    seed: int
    preset: str
    viewpoint: Viewpoint
    camera: _controls_pb2.CameraPose
    limits: SessionLimits
    def __init__(self, sample: _Optional[str] = ..., image: _Optional[bytes] = ..., snapshot_id: _Optional[str] = ..., prompt: _Optional[str] = ..., seed: _Optional[int] = ..., preset: _Optional[str] = ..., viewpoint: _Optional[_Union[Viewpoint, str]] = ..., camera: _Optional[_Union[_controls_pb2.CameraPose, _Mapping]] = ..., limits: _Optional[_Union[SessionLimits, _Mapping]] = ...) -> None: ...

class SessionLimits(_message.Message):
    __slots__ = ("play_s", "idle_s", "grace_s", "viewers")
    PLAY_S_FIELD_NUMBER: _ClassVar[int]
    IDLE_S_FIELD_NUMBER: _ClassVar[int]
    GRACE_S_FIELD_NUMBER: _ClassVar[int]
    VIEWERS_FIELD_NUMBER: _ClassVar[int]
    play_s: float
    idle_s: float
    grace_s: float
    viewers: int
    def __init__(self, play_s: _Optional[float] = ..., idle_s: _Optional[float] = ..., grace_s: _Optional[float] = ..., viewers: _Optional[int] = ...) -> None: ...

class Created(_message.Message):
    __slots__ = ("session", "token", "stream_url", "grpc_target")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    STREAM_URL_FIELD_NUMBER: _ClassVar[int]
    GRPC_TARGET_FIELD_NUMBER: _ClassVar[int]
    session: Session
    token: str
    stream_url: str
    grpc_target: str
    def __init__(self, session: _Optional[_Union[Session, _Mapping]] = ..., token: _Optional[str] = ..., stream_url: _Optional[str] = ..., grpc_target: _Optional[str] = ...) -> None: ...

class SessionRef(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("session_id", "state", "preset", "prompt", "seed", "viewpoint", "width", "height", "frame_rate", "trained", "has_player", "viewers", "branch", "chunk", "next_frame_id", "last_event_id")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PRESET_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    VIEWPOINT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    FRAME_RATE_FIELD_NUMBER: _ClassVar[int]
    TRAINED_FIELD_NUMBER: _ClassVar[int]
    HAS_PLAYER_FIELD_NUMBER: _ClassVar[int]
    VIEWERS_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    NEXT_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    LAST_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    state: _session_pb2.SessionState
    preset: str
    prompt: str
    seed: int
    viewpoint: Viewpoint
    width: int
    height: int
    frame_rate: float
    trained: bool
    has_player: bool
    viewers: int
    branch: int
    chunk: int
    next_frame_id: int
    last_event_id: int
    def __init__(self, session_id: _Optional[str] = ..., state: _Optional[_Union[_session_pb2.SessionState, str]] = ..., preset: _Optional[str] = ..., prompt: _Optional[str] = ..., seed: _Optional[int] = ..., viewpoint: _Optional[_Union[Viewpoint, str]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., frame_rate: _Optional[float] = ..., trained: _Optional[bool] = ..., has_player: _Optional[bool] = ..., viewers: _Optional[int] = ..., branch: _Optional[int] = ..., chunk: _Optional[int] = ..., next_frame_id: _Optional[int] = ..., last_event_id: _Optional[int] = ...) -> None: ...

class Closed(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TicketRequest(_message.Message):
    __slots__ = ("session_id", "role", "valid_s", "origins", "max_kbit_per_s")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    VALID_S_FIELD_NUMBER: _ClassVar[int]
    ORIGINS_FIELD_NUMBER: _ClassVar[int]
    MAX_KBIT_PER_S_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    role: _session_pb2.Role
    valid_s: int
    origins: _containers.RepeatedScalarFieldContainer[str]
    max_kbit_per_s: int
    def __init__(self, session_id: _Optional[str] = ..., role: _Optional[_Union[_session_pb2.Role, str]] = ..., valid_s: _Optional[int] = ..., origins: _Optional[_Iterable[str]] = ..., max_kbit_per_s: _Optional[int] = ...) -> None: ...

class Ticket(_message.Message):
    __slots__ = ("ticket", "stream_url", "grpc_target", "expires_at_s")
    TICKET_FIELD_NUMBER: _ClassVar[int]
    STREAM_URL_FIELD_NUMBER: _ClassVar[int]
    GRPC_TARGET_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_S_FIELD_NUMBER: _ClassVar[int]
    ticket: str
    stream_url: str
    grpc_target: str
    expires_at_s: int
    def __init__(self, ticket: _Optional[str] = ..., stream_url: _Optional[str] = ..., grpc_target: _Optional[str] = ..., expires_at_s: _Optional[int] = ...) -> None: ...

class SnapshotRequest(_message.Message):
    __slots__ = ("session_id", "branch", "chunk")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    branch: int
    chunk: int
    def __init__(self, session_id: _Optional[str] = ..., branch: _Optional[int] = ..., chunk: _Optional[int] = ...) -> None: ...

class Snapshot(_message.Message):
    __slots__ = ("snapshot_id", "branch", "chunk")
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    snapshot_id: str
    branch: int
    chunk: int
    def __init__(self, snapshot_id: _Optional[str] = ..., branch: _Optional[int] = ..., chunk: _Optional[int] = ...) -> None: ...

class ForkRequest(_message.Message):
    __slots__ = ("session_id", "branch", "chunk", "limits")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    branch: int
    chunk: int
    limits: SessionLimits
    def __init__(self, session_id: _Optional[str] = ..., branch: _Optional[int] = ..., chunk: _Optional[int] = ..., limits: _Optional[_Union[SessionLimits, _Mapping]] = ...) -> None: ...

class FilePart(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...
