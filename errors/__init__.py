"""The errors a user can meet.

    WorldloomError
    ├── ConfigError              a preset, flag or environment that cannot work
    │   ├── PresetUnknown
    │   └── DoesNotFit           needs more memory or GPUs than there are
    ├── CheckpointError          weights that are missing, damaged or of another shape
    │   ├── NotReleased          the publisher has not released these weights
    │   └── DownloadError        (retryable)
    ├── InputError               what a client sent
    │   ├── RequestTooLarge
    │   ├── NotAnImage
    │   ├── ImageTooLarge
    │   ├── ActionError          wrong shape or range
    │   ├── ScriptError          an action script that does not parse
    │   ├── PromptTooLong
    │   ├── MessageInvalid
    │   └── VersionMismatch
    ├── SessionError
    │   ├── SessionUnknown
    │   ├── SessionEnded
    │   ├── NotAuthorized
    │   ├── PlayerTaken
    │   ├── ChunkFailed          each worker group that tries it dies; the world is kept for a while
    │   └── WorldLost            its latents are gone, and nothing brings them back
    ├── StoreError
    │   ├── StaleEpoch           a writer that has been replaced
    │   ├── CommitConflict       another content, or a gap, at this place of the history
    │   └── SnapshotInvalid
    └── ServiceError             (retryable)
        ├── Overloaded
        ├── WorkerLost
        │   └── RanksLost        with what they were doing
        └── WrongGateway         the session's stream is somewhere else by now

Every error has a stable `code`, says what was wrong, and has a `hint` that says what to do.
"""

from __future__ import annotations

from typing import Any, ClassVar


class WorldloomError(Exception):
    """Base of all errors that are meant for users: `message` says what was wrong, `hint` what to do."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    world_lost: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        # Ray and multiprocessing pickle errors; the default would drop the keyword-only hint.
        return _rebuild, (type(self), self.message, self.hint)


def _rebuild(kind: type[WorldloomError], message: str, hint: str) -> WorldloomError:
    return kind(message, hint=hint)


class ConfigError(WorldloomError):
    code = "config_invalid"


class PresetUnknown(ConfigError):
    code = "preset_unknown"


class DoesNotFit(ConfigError):
    code = "does_not_fit"


class CheckpointError(WorldloomError):
    code = "checkpoint_invalid"


class NotReleased(CheckpointError):
    code = "not_released"


class DownloadError(CheckpointError):
    code = "download_failed"
    retryable = True


class InputError(WorldloomError):
    code = "input_invalid"


class RequestTooLarge(InputError):
    code = "request_too_large"


class NotAnImage(InputError):
    code = "not_an_image"


class ImageTooLarge(InputError):
    code = "image_too_large"


class ActionError(InputError):
    code = "action_invalid"


class ScriptError(InputError):
    code = "script_invalid"


class PromptTooLong(InputError):
    code = "prompt_too_long"


class MessageInvalid(InputError):
    code = "message_invalid"


class VersionMismatch(InputError):
    code = "version_mismatch"


class SessionError(WorldloomError):
    code = "session_error"


class SessionUnknown(SessionError):
    code = "session_unknown"


class SessionEnded(SessionError):
    code = "session_ended"


class NotAuthorized(SessionError):
    code = "not_authorized"


class PlayerTaken(SessionError):
    code = "player_taken"


class ChunkFailed(SessionError):
    code = "chunk_failed"


class WorldLost(SessionError):
    code = "world_lost"
    world_lost = True


class StoreError(WorldloomError):
    code = "store_error"


class StaleEpoch(StoreError):
    code = "stale_epoch"
    retryable = True


class CommitConflict(StoreError):
    code = "commit_conflict"


class SnapshotInvalid(StoreError):
    code = "snapshot_invalid"


class ServiceError(WorldloomError):
    code = "service_error"
    retryable = True


class Overloaded(ServiceError):
    code = "overloaded"


class WorkerLost(ServiceError):
    code = "worker_lost"


class RanksLost(WorkerLost):
    code = "ranks_lost"


class WrongGateway(ServiceError):
    code = "wrong_gateway"
