"""What the processes of the service tell each other. Values only; importable without torch and Ray."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

from ..errors import WorldloomError
from ..memory.records import ChunkRecord
from ..model.clip import WorldState
from .events import ORIGIN, ControlState, Event, Keys, Pose
from .limits import SERVICE_LIMITS, SessionLimits


class Phase(Enum):
    """What a session is doing."""

    QUEUED = "queued"
    WARMING_UP = "warming_up"
    PLAYING = "playing"
    PAUSED = "paused"
    RECOVERING = "recovering"
    ENDED = "ended"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SessionSpec:
    """What a world starts from."""

    session: str
    preset: str
    image: npt.NDArray[np.uint8]
    """(H, W, 3) RGB at the preset's size."""
    prompt: str
    seed: int
    viewpoint: str
    """'first_person' or 'third_person'."""
    token_hash: str
    """SHA-256 of the player's token, in hex: the token itself is kept nowhere."""
    created_at: float
    """Seconds since the Unix epoch."""
    origin: Pose = ORIGIN
    """Where the first frame is seen from, in the game's own coordinates."""
    limits: SessionLimits = SERVICE_LIMITS
    """In force."""

    first_frame_id: int = 0
    """Of the session's own frames: those below came with its world."""

    def record(self, *, epoch: int = 0) -> SessionRecord:
        """The spec without its image."""
        return SessionRecord(
            session=self.session,
            preset=self.preset,
            prompt=self.prompt,
            seed=self.seed,
            viewpoint=self.viewpoint,
            token_hash=self.token_hash,
            created_at=self.created_at,
            epoch=epoch,
            limits=self.limits,
        )


class CopyKind(Enum):
    """What a copied world was."""

    SESSION = "session"
    """Another session, which goes on beside it."""
    SNAPSHOT = "snapshot"
    IMPORT = "import"
    """A file, which the new session takes over with all its branches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionCopy:
    """A session that goes on from a world that the store has, with nothing held."""

    session: str
    kind: CopyKind
    source: str
    branch: int | None = None
    """None: the one that grows."""
    chunk: int | None = None
    """Chunks to keep; None: all."""
    prompt: str | None = None
    """What the world is from here on; None: as before."""
    token_hash: str
    created_at: float
    limits: SessionLimits = SERVICE_LIMITS

    def record(self) -> SessionRecord:
        """What is known before the world has been copied."""
        return SessionRecord(
            session=self.session,
            preset="",
            prompt="",
            seed=0,
            viewpoint="",
            token_hash=self.token_hash,
            created_at=self.created_at,
            epoch=0,
            limits=self.limits,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotPlace:
    """A place that worlds can start from."""

    snapshot: str
    branch: int
    chunk: int
    """Chunks before it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldPlace:
    """How far a world is."""

    prompt: str
    """In force."""
    branch: int
    """The one that grows."""
    chunk: int
    """Chunks in it."""
    next_frame_id: int
    last_event_id: int
    """The newest event that the store knows of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionRecord:
    """What the directory has to know of a session, and the store keeps."""

    session: str
    preset: str
    prompt: str
    seed: int
    viewpoint: str
    token_hash: str
    created_at: float
    epoch: int
    """Owners so far."""
    limits: SessionLimits = SERVICE_LIMITS
    """In force."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionInfo:
    """A session, as the directory sees it."""

    session: str
    preset: str
    prompt: str
    seed: int
    viewpoint: str
    phase: Phase
    group: str | None
    """The worker group that owns it."""
    epoch: int
    """Counts owners."""
    has_player: bool
    created_at: float
    last_event_id: int = 0
    """The newest event that a committed chunk has taken."""
    limits: SessionLimits = SERVICE_LIMITS
    """In force."""
    viewers: int = 0
    branch: int = 0
    """The one that grows."""
    chunk: int = 0
    """Chunks in it."""
    next_frame_id: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupBeat:
    """A worker group's sign of life."""

    group: str
    capacity: int
    """Sessions it admits."""
    epochs: dict[str, int]
    """Session → epoch, of the sessions that it owns."""
    is_warm: bool = True
    """Whether it takes sessions; else its ranks still load."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterHealth:
    """Whether sessions can be admitted."""

    groups: int
    """Worker groups that are warm and alive."""
    capacity: int
    """Sessions they admit together."""
    sessions: int
    failure: WorldloomError | None = None
    """Why a group or a decoder could not start."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageTimes:
    """Seconds that the stages of one chunk took. Decode and encode count one piece."""

    queue_s: float = 0.0
    """Waiting for the worker group's other sessions."""
    plan_s: float = 0.0
    retrieve_s: float = 0.0
    steps_s: tuple[float, ...] = ()
    commit_s: float = 0.0
    decode_s: float = 0.0
    encode_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CommittedChunk:
    """A chunk that has happened."""

    record: ChunkRecord
    commit_s: float
    """Seconds that its commit took."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SavedWorld:
    """Where a session's next owner goes on."""

    spec: SessionSpec
    state: WorldState
    prompt: str
    """In force."""
    next_frame_id: int
    controls: ControlState
    turned: BranchNote | None = None
    """How a branch came to be that has no chunk of its own yet."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class InputBatch:
    """What a player sent and no chunk has taken yet."""

    is_due: bool
    """Whether the next chunk is to be planned now; else there is no player, or enough to play."""
    events: tuple[Event, ...] = ()


class Codec(Enum):
    """How a frame's data is encoded; see frames.proto."""

    JPEG = "jpeg"
    H264 = "h264"
    RAW_RGB = "raw"


@dataclass(frozen=True, kw_only=True, slots=True)
class RememberedView:
    """A past frame that a chunk was shown by the world's memory."""

    frame: int
    """Counted from the branch's start."""
    pose: Pose
    overlap: float
    """Share of the queried view that it sees, in [0, 1]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkNote:
    """What a client is told of a committed chunk before its first frame."""

    branch: int
    chunk: int
    first_frame_id: int
    num_frames: int
    applied: tuple[tuple[int, int], ...]
    """(event id, id of the first frame it shaped)."""
    remembered: tuple[RememberedView, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FramePacket:
    """One encoded frame."""

    frame_id: int
    branch: int
    chunk: int
    frame: int
    """Within the chunk."""
    data: bytes
    client_time_us: int
    keys: Keys
    """What the world was told for this frame."""
    camera_pitch: float
    camera_yaw: float
    pose: Pose
    """Where it is seen from."""
    codec: Codec = Codec.JPEG
    key_frame: bool = True
    """Whether a decoder can begin here."""
    stages: StageTimes | None = None
    """On the first frame of each piece."""
    note: ChunkNote | None = None
    """On the first frame of each chunk."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchNote:
    """A world goes on from an earlier place."""

    branch: int
    parent: int
    chunk: int
    """The first one that will be new."""
    next_frame_id: int
    """Frame ids below this are of the old branch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamPlace:
    """Where a session's stream is to be followed from, and the right to do so."""

    stream: str
    """Nobody else may send frames, until another one is begun or frames are wanted again that have been sent."""
    next_frame_id: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a session is."""

    phase: Phase
    branch: int = 0
    chunk: int = 0
    """The chunk that is being made."""
    step: int = 0
    num_steps: int = 0
    queue_position: int = 0
    """Place in the line of those that wait for room, from 1; 0: waits for none."""
