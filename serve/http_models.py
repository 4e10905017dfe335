"""What HTTP answers, for the OpenAPI page and whoever writes a client from it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from ..cluster.messages import SessionInfo
from ..cluster.verbs import CreatedSession
from ..model.clip import NEW_FRAMES
from ..model.preset import Preset


class PresetOut(BaseModel):
    """What a service runs."""

    preset: str
    description: str
    width: int
    height: int
    frame_rate: float
    frames_per_chunk: int
    """Of all chunks but a world's first."""
    num_steps: int
    """Denoising steps of a chunk."""
    prompt_chars: int
    """The longest prompt."""
    trained: bool
    """False: the weights are seeded noise."""

    @classmethod
    def of(cls, preset: Preset) -> PresetOut:
        return cls(**_preset_fields(preset))


class SessionOut(PresetOut):
    """A session, and how far its world is."""

    session_id: str
    state: Literal["queued", "playing", "paused", "recovering", "ended"]
    prompt: str
    """In force."""
    seed: int
    viewpoint: str
    has_player: bool
    viewers: int
    branch: int
    """The one that grows."""
    chunk: int
    """Chunks in it."""
    next_frame_id: int
    last_event_id: int

    @classmethod
    def of_session(cls, info: SessionInfo, preset: Preset) -> SessionOut:
        return cls(**_session_fields(info, preset))


class CreatedOut(SessionOut):
    """A new session. Whoever has its token owns it."""

    token: str
    stream_url: str
    """WebSocket."""
    grpc_target: str
    """Empty: no gRPC here."""

    @classmethod
    def of_created(cls, created: CreatedSession, preset: Preset, addresses: dict[str, str]) -> CreatedOut:
        return cls(**_session_fields(created.info, preset) | {"token": created.token} | addresses)


class TicketOut(BaseModel):
    """Lets one player or viewer in, once."""

    ticket: str
    stream_url: str
    grpc_target: str
    expires_at_s: int
    """Since the Unix epoch."""


class SnapshotOut(BaseModel):
    """A place that worlds can start from."""

    snapshot_id: str
    branch: int
    chunk: int
    """Chunks before it."""


class ErrorBody(BaseModel):
    """What went wrong."""

    code: str
    """Stable."""
    message: str
    hint: str
    retryable: bool
    """The same may work later."""
    world_lost: bool


class ErrorOut(BaseModel):
    """Every answer from 400 on."""

    error: ErrorBody


class SampleOut(BaseModel):
    """A start image that comes with the service."""

    name: str
    prompt: str
    image_url: str


class SamplesOut(BaseModel):
    samples: list[SampleOut]


class PresetsOut(BaseModel):
    presets: list[PresetOut]


class HealthOut(BaseModel):
    """Whether sessions are admitted."""

    status: Literal["ready", "warming"]
    groups: int
    """Worker groups that are ready."""
    sessions: int
    capacity: int


def inlined(model: type[BaseModel]) -> dict[str, Any]:
    """A model's JSON schema with what it refers to in place, for requests that the web framework does not read."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})

    def inline(node: Any) -> Any:
        if isinstance(node, list):
            return [inline(item) for item in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            return inline(parts[node["$ref"].rpartition("/")[2]])
        return {name: inline(value) for name, value in node.items()}

    found: dict[str, Any] = inline(schema)
    return found


def _preset_fields(preset: Preset) -> dict[str, Any]:
    return {
        "preset": preset.name,
        "description": preset.description,
        "width": preset.video.width,
        "height": preset.video.height,
        "frame_rate": preset.video.frame_rate,
        "frames_per_chunk": NEW_FRAMES,
        "num_steps": preset.sampling.steps,
        "prompt_chars": preset.limits.prompt_chars,
        "trained": preset.trained,
    }


def _session_fields(info: SessionInfo, preset: Preset) -> dict[str, Any]:
    return {
        **_preset_fields(preset),
        "session_id": info.session,
        "state": info.phase.value,
        "prompt": info.prompt,
        "seed": info.seed,
        "viewpoint": info.viewpoint,
        "has_player": info.has_player,
        "viewers": info.viewers,
        "branch": info.branch,
        "chunk": info.chunk,
        "next_frame_id": info.next_frame_id,
        "last_event_id": info.last_event_id,
    }
