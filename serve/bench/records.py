"""What a benchmark run leaves behind: one flat JSON object a file. Importable without torch and Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from ...errors import ConfigError
from ...model.precision import Precision
from ...model.preset import DecoderChoice
from ...parallel.planner import Placement

RESULTS = Path(__file__).parents[2] / "ops" / "bench" / "results"
"""The records of this checkout; not there where the package is installed without one."""

Positive = Annotated[float, Field(gt=0)]
Seconds = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class _Provenance(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    device: str
    versions: dict[str, str]
    commit: str
    """What was measured; ends in '-dirty' where the checkout had changes."""
    source: Literal["measured", "simulated"]


class ModelRecord(_Provenance):
    """What all runs of a model have in common."""

    preset: str
    gpus: Annotated[int, Field(ge=0)]
    """0: computed on the CPU."""
    sessions: Count
    height: Count
    width: Count
    steps: Count
    precision: Precision
    decoder: DecoderChoice
    placement: Placement
    """single: all of the model on one device; several GPUs have sessions of their own. replicated: all ranks share each
    step. pipelined: high-noise and low-noise experts have ranks of their own."""
    fps: Positive
    """Frames a second of one session; of the slowest one where there are several."""
    fps_total: Positive
    """Sum over the sessions."""

    @model_validator(mode="after")
    def _total_is_no_less_than_its_parts(self) -> Self:
        # Both are rounded.
        if self.fps_total < self.fps * self.sessions * 0.999:
            raise ValueError(f"fps_total {self.fps_total} is less than {self.sessions} sessions of {self.fps}")
        return self


class EngineRecord(ModelRecord):
    """A run of the engine's whole path without a network: from actions to RGB frames in host memory."""

    stages: dict[str, Seconds]
    """Median seconds a chunk of each stage after the first chunk, 'chunk' from one chunk's last frame to the next one's
    in the same session, and 'chunk_p95'. Stages overlap: they need not add up to 'chunk'."""
    first_frame_s: Positive
    """From the first plan to the first frame, with all warmed up before."""
    peak_memory_gb: Positive | None
    """10⁹ bytes that PyTorch held on its fullest GPU at most; None on the CPU."""
    rank_memory_gb: tuple[Positive, ...] = ()
    """Of each rank's GPU, where there are several."""
    decoder_ranks: Count = 1
    """Ranks that decode each picture together, a band of it each."""
    exposed_step_s: Seconds | None = None
    """What the median denoising step takes more than one in which ranks send each other no tokens and heads: the
    communication that nothing hides. None where nothing is sent."""


class ServedRecord(ModelRecord):
    """A run of the whole service, as a client on the same machine saw it."""

    frame_rate: Positive
    """Frames a second at which the preset is meant to be played."""
    codec: str
    """Of the frames that the client received."""
    seconds: Positive
    """How long it played: once as fast as frames came, for `fps`, `frames`, `late_frames` and `steps_s`, once at the
    preset's frame rate, for the times from action to frame."""
    frames: Count
    late_frames: Annotated[int, Field(ge=0)]
    """Frames that came after their moment in a player that shows them at the preset's frame rate."""
    steps_s: Seconds
    """Median seconds of all denoising steps of a chunk, after the first one."""
    action_to_frame_p50_s: Positive
    """From sending a change of controls until the first frame that it shaped is shown, at the preset's frame rate."""
    action_to_frame_p95_s: Positive
    create_to_frame_text_p50_s: Positive
    """From asking for a session by prompt to its first frame."""
    create_to_frame_text_p95_s: Positive
    create_to_frame_image_p50_s: Positive
    """Likewise with an uploaded image."""
    create_to_frame_image_p95_s: Positive
    create_to_clip_p50_s: Positive
    """From asking for a session with an uploaded image to the last frame of its first clip."""
    create_to_clip_p95_s: Positive


class GatewayLoad(BaseModel):
    """So many sessions through one gateway at once, each with its player."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    sessions: Count
    overhead_p50_s: Seconds
    """From a decoder's push of a frame to its arrival at the player, on one machine."""
    overhead_p95_s: Seconds
    overhead_p99_s: Seconds
    loss: Annotated[float, Field(ge=0, le=1)]
    """Share of the frames that did not arrive."""


class GatewayRecord(_Provenance):
    """How many sessions one gateway carries, with those who push and those who watch on the same machine."""

    frame_rate: Positive
    frame_bytes: Count
    """Of each frame."""
    seconds: Positive
    """How long each load was held."""
    limit_sessions: Annotated[int, Field(ge=0)]
    """The largest load of which no frame was lost, and 99 in 100 were not later than one piece of play."""
    loads: Annotated[tuple[GatewayLoad, ...], Field(min_length=1)]
    """All that were tried, by their sessions."""


Record = EngineRecord | ServedRecord | GatewayRecord
_ANY: TypeAdapter[Record] = TypeAdapter(Record)


def read_record(path: Path) -> Record:
    """The record in a file, of whichever kind its fields are. Raises ConfigError if it is none."""
    try:
        return _ANY.validate_json(path.read_bytes())
    except ValidationError as error:
        raise ConfigError(f"{path} is no benchmark record: {error}", hint="Make it with 'worldloom bench'.") from error


def read_records(folder: Path) -> dict[str, Record]:
    """All records of a folder by file name without `.json`, sorted."""
    return {path.stem: read_record(path) for path in sorted(folder.glob("*.json"))}


def write_record(record: Record, path: Path) -> None:
    """Write one file; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
