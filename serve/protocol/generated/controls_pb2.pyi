from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Event(_message.Message):
    __slots__ = ("event_id", "client_time_us", "controls", "script", "pause", "play", "reset", "rewind")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_TIME_US_FIELD_NUMBER: _ClassVar[int]
    CONTROLS_FIELD_NUMBER: _ClassVar[int]
    SCRIPT_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    PLAY_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    REWIND_FIELD_NUMBER: _ClassVar[int]
    event_id: int
    client_time_us: int
    controls: Controls
    script: Script
    pause: Pause
    play: Play
    reset: Reset
    rewind: Rewind
    def __init__(self, event_id: _Optional[int] = ..., client_time_us: _Optional[int] = ..., controls: _Optional[_Union[Controls, _Mapping]] = ..., script: _Optional[_Union[Script, _Mapping]] = ..., pause: _Optional[_Union[Pause, _Mapping]] = ..., play: _Optional[_Union[Play, _Mapping]] = ..., reset: _Optional[_Union[Reset, _Mapping]] = ..., rewind: _Optional[_Union[Rewind, _Mapping]] = ...) -> None: ...

class Controls(_message.Message):
    __slots__ = ("keyboard", "mouse", "camera", "prompt")
    KEYBOARD_FIELD_NUMBER: _ClassVar[int]
    MOUSE_FIELD_NUMBER: _ClassVar[int]
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    keyboard: Keyboard
    mouse: Mouse
    camera: CameraTarget
    prompt: Prompt
    def __init__(self, keyboard: _Optional[_Union[Keyboard, _Mapping]] = ..., mouse: _Optional[_Union[Mouse, _Mapping]] = ..., camera: _Optional[_Union[CameraTarget, _Mapping]] = ..., prompt: _Optional[_Union[Prompt, _Mapping]] = ...) -> None: ...

class Keyboard(_message.Message):
    __slots__ = ("forward", "back", "left", "right")
    FORWARD_FIELD_NUMBER: _ClassVar[int]
    BACK_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    forward: bool
    back: bool
    left: bool
    right: bool
    def __init__(self, forward: _Optional[bool] = ..., back: _Optional[bool] = ..., left: _Optional[bool] = ..., right: _Optional[bool] = ...) -> None: ...

class Mouse(_message.Message):
    __slots__ = ("pitch", "yaw", "pitch_motion", "yaw_motion")
    PITCH_FIELD_NUMBER: _ClassVar[int]
    YAW_FIELD_NUMBER: _ClassVar[int]
    PITCH_MOTION_FIELD_NUMBER: _ClassVar[int]
    YAW_MOTION_FIELD_NUMBER: _ClassVar[int]
    pitch: float
    yaw: float
    pitch_motion: float
    yaw_motion: float
    def __init__(self, pitch: _Optional[float] = ..., yaw: _Optional[float] = ..., pitch_motion: _Optional[float] = ..., yaw_motion: _Optional[float] = ...) -> None: ...

class CameraTarget(_message.Message):
    __slots__ = ("pose", "release", "look_only")
    POSE_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    LOOK_ONLY_FIELD_NUMBER: _ClassVar[int]
    pose: CameraPose
    release: Release
    look_only: bool
    def __init__(self, pose: _Optional[_Union[CameraPose, _Mapping]] = ..., release: _Optional[_Union[Release, _Mapping]] = ..., look_only: _Optional[bool] = ...) -> None: ...

class Release(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CameraPose(_message.Message):
    __slots__ = ("x", "y", "z", "pitch_degrees", "yaw_degrees")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    Z_FIELD_NUMBER: _ClassVar[int]
    PITCH_DEGREES_FIELD_NUMBER: _ClassVar[int]
    YAW_DEGREES_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    z: float
    pitch_degrees: float
    yaw_degrees: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ..., z: _Optional[float] = ..., pitch_degrees: _Optional[float] = ..., yaw_degrees: _Optional[float] = ...) -> None: ...

class Prompt(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class Script(_message.Message):
    __slots__ = ("frames", "pause_after")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    PAUSE_AFTER_FIELD_NUMBER: _ClassVar[int]
    frames: _containers.RepeatedCompositeFieldContainer[ActionFrame]
    pause_after: bool
    def __init__(self, frames: _Optional[_Iterable[_Union[ActionFrame, _Mapping]]] = ..., pause_after: _Optional[bool] = ...) -> None: ...

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
    def __init__(self, forward: _Optional[bool] = ..., back: _Optional[bool] = ..., left: _Optional[bool] = ..., right: _Optional[bool] = ..., camera_pitch: _Optional[float] = ..., camera_yaw: _Optional[float] = ...) -> None: ...

class Pause(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Play(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Reset(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Rewind(_message.Message):
    __slots__ = ("chunk", "branch")
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    chunk: int
    branch: int
    def __init__(self, chunk: _Optional[int] = ..., branch: _Optional[int] = ...) -> None: ...
