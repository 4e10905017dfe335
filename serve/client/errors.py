"""What can go wrong between a client and a service.

    WorldError
    ├── Unreachable       nobody answers there, or not any more
    ├── SessionEnded      the world is over
    ├── ProtocolError     what answers speaks something else
    └── CodecMissing      a frame that this installation cannot decode

What a service reports is a WorldError, or SessionEnded, with the service's own stable code.
"""

from __future__ import annotations

from .protocol import session_pb2 as pb


class WorldError(Exception):
    """`code` is stable; `message` says what was wrong, `hint` what to do about it."""

    code: str = "internal"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: str | None = None,
        is_retryable: bool = False,
        is_world_lost: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.code
        self.is_retryable = is_retryable
        """The same may work later."""
        self.is_world_lost = is_world_lost
        """No retry brings this world back."""


class Unreachable(WorldError):
    code = "service_error"

    def __init__(self, url: str, reason: BaseException | str) -> None:
        """`reason` is what the attempt ended by."""
        super().__init__(
            f"no answer from {url}: {str(reason) or type(reason).__name__}",
            hint="Start one with 'worldloom serve', or check the URL.",
            is_retryable=True,
        )


class SessionEnded(WorldError):
    code = "session_ended"


class ProtocolError(WorldError):
    code = "message_invalid"


class CodecMissing(WorldError):
    code = "codec_missing"


def error_of(reported: pb.Error) -> WorldError:
    """What a service reports."""
    kind = SessionEnded if reported.code == SessionEnded.code else WorldError
    return kind(
        reported.message,
        hint=reported.hint,
        code=reported.code or WorldError.code,
        is_retryable=reported.retryable,
        is_world_lost=reported.world_lost,
    )
