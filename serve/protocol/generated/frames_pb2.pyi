from . import controls_pb2 as _controls_pb2
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
CODEC_UNSPECIFIED: Codec
CODEC_JPEG: Codec
CODEC_H264: Codec
CODEC_RAW_RGB: Codec

class VideoFormat(_message.Message):
    __slots__ = ("codec", "width", "height", "codec_string")
    CODEC_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    CODEC_STRING_FIELD_NUMBER: _ClassVar[int]
    codec: Codec
    width: int
    height: int
    codec_string: str
    def __init__(self, codec: _Optional[_Union[Codec, str]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., codec_string: _Optional[str] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("frame_id", "position", "presentation_time_us", "codec", "key_frame", "data", "client_time_us", "action", "camera", "stages")
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    PRESENTATION_TIME_US_FIELD_NUMBER: _ClassVar[int]
    CODEC_FIELD_NUMBER: _ClassVar[int]
    KEY_FRAME_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TIME_US_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    frame_id: int
    position: WorldPosition
    presentation_time_us: int
    codec: Codec
    key_frame: bool
    data: bytes
    client_time_us: int
    action: _controls_pb2.ActionFrame
    camera: _controls_pb2.CameraPose
    stages: StageTimes
    def __init__(self, frame_id: _Optional[int] = ..., position: _Optional[_Union[WorldPosition, _Mapping]] = ..., presentation_time_us: _Optional[int] = ..., codec: _Optional[_Union[Codec, str]] = ..., key_frame: _Optional[bool] = ..., data: _Optional[bytes] = ..., client_time_us: _Optional[int] = ..., action: _Optional[_Union[_controls_pb2.ActionFrame, _Mapping]] = ..., camera: _Optional[_Union[_controls_pb2.CameraPose, _Mapping]] = ..., stages: _Optional[_Union[StageTimes, _Mapping]] = ...) -> None: ...

class WorldPosition(_message.Message):
    __slots__ = ("branch", "chunk", "frame")
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    branch: int
    chunk: int
    frame: int
    def __init__(self, branch: _Optional[int] = ..., chunk: _Optional[int] = ..., frame: _Optional[int] = ...) -> None: ...

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
