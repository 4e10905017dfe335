"""One run of the engine's whole path: warm up, play, measure, and what comes out as a record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ...cluster.lay_out import Wish
from ...model.preset import Preset
from ...parallel.planner import Placement
from ..actions import Actions
from .figures import ChunkTimes, OnChunk, figures_of
from .machine import limit_memory, where_it_ran
from .power import PowerMeter, summarize
from .records import EngineRecord
from .setting import what_ran
from .sharing import Sharing
from .trace import write_trace
from .walk import frames_of, there_and_back

if TYPE_CHECKING:
    from ...parallel.ranks import Ranks

SEED = 11
TRACED_CHUNKS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchConfig:
    """What is run, and how long."""

    preset: Preset
    chunks: int
    """Of each session, at least two."""
    sessions: int = 1
    device: str = "auto"
    """Torch device in this process; Ray chooses its own."""
    gpus: int = 1
    """Ranks, each on a GPU; more than one are processes that torchrun has started, or actors."""
    placement: Placement | None = None
    """Of several ranks; None leaves it to the planner."""
    bands: bool = False
    """Whether several ranks decode each frame together."""
    through_ray: bool = False
    profile: Path | None = None
    """Where a trace goes, of chunks played after the measured ones."""
    memory_limit_gb: float | None = None
    commit: str | None = None
    """What is measured, where it is no git checkout."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchRun:
    """A record, and what else was seen."""

    record: EngineRecord
    chunks: list[ChunkTimes]
    power: str
    """Power, clocks, temperature and memory in use; empty where no NVIDIA tool tells."""


class Runner(Protocol):
    """Plays worlds on something that is loaded and warm."""

    def play(self, name: str, actions: list[Actions], chunks: int, on_chunk: OnChunk) -> None:
        """Play `chunks` chunks of a new world for each of `actions`, all side by side; their names begin with `name`.
        `on_chunk` hears of each chunk whose frames are in host memory."""
        ...

    def peak_memory_gb(self) -> float | None:
        """10⁹ bytes of GPU memory that were held at most; None where no GPU is used."""
        ...

    def sharing(self, chunks: Sequence[ChunkTimes]) -> Sharing | None:
        """What sharing the work that made these chunks cost; None on one rank."""
        ...

    def close(self) -> None:
        """End what the runner started."""
        ...


def run_bench(config: BenchConfig, on_chunk: OnChunk, *, ranks: Ranks | None = None) -> BenchRun:
    """Load, warm up, play and measure. `on_chunk` hears of each chunk whose frames are in host memory.

    Where `ranks` share the work they all call this, and have the same result. Raises ConfigError, CheckpointError or
    DoesNotFit.
    """
    (run,) = run_benches(config, (config.sessions,), on_chunk, ranks=ranks)
    return run


def run_benches(
    config: BenchConfig, sessions: Sequence[int], on_chunk: OnChunk, *, ranks: Ranks | None = None
) -> Iterator[BenchRun]:
    """As `run_bench`, once for each number of sessions, of what is loaded once. Each run is there before the next one
    begins; memory counts from the start."""
    device = _device_of(config) if ranks is None else str(ranks.device)
    if config.memory_limit_gb is not None:
        limit_memory(device, config.memory_limit_gb)
    runner = _load_runner(replace(config, sessions=max(sessions)), device, ranks)
    try:
        for count in sessions:
            yield _measured(replace(config, sessions=count), runner, device, on_chunk)
        if config.profile is not None:
            with write_trace(config.profile):
                runner.play("traced", _walks(1, TRACED_CHUNKS), TRACED_CHUNKS, lambda times: None)
    finally:
        runner.close()


def _measured(config: BenchConfig, runner: Runner, device: str, on_chunk: OnChunk) -> BenchRun:
    chunks: list[ChunkTimes] = []

    def collect(times: ChunkTimes) -> None:
        chunks.append(times)
        on_chunk(times)

    with PowerMeter() as meter:
        runner.play(f"measured-{config.sessions}", _walks(config.sessions, config.chunks), config.chunks, collect)
    peak_gb = runner.peak_memory_gb()
    sharing = runner.sharing(chunks)
    record = _record(config, chunks, device, peak_gb, sharing)
    return BenchRun(record=record, chunks=chunks, power=summarize(meter.samples))


def _walks(sessions: int, chunks: int) -> list[Actions]:
    return [there_and_back(SEED + 1000 * session, frames_of(chunks)) for session in range(sessions)]


def _device_of(config: BenchConfig) -> str:
    if config.preset.engine == "mock" or (config.preset.num_gpus == 0 and config.through_ray):
        return "cpu"
    from ...model.load import resolve_device

    return str(resolve_device(config.device))


def _load_runner(config: BenchConfig, device: str, ranks: Ranks | None) -> Runner:
    # Ray and torch take seconds to import, and a machine may lack the one that is not asked for.
    if ranks is not None:
        from .on_ranks import RanksRunner

        return RanksRunner(config.preset, ranks, config.placement, config.sessions, bands=config.bands)
    if config.through_ray:
        from .actors import RayBackend
        from .driver import BackendRunner

        wish = Wish(gpus=config.gpus, groups=1, placement=config.placement, sessions=config.sessions)
        return BackendRunner(config.preset, RayBackend.load(config.preset, wish))
    if config.preset.engine == "mock":
        from .driver import BackendRunner
        from .threads import ThreadBackend

        return BackendRunner(config.preset, ThreadBackend(config.preset))
    from .pipeline import PipelineRunner

    return PipelineRunner(config.preset, device)


def _record(
    config: BenchConfig, chunks: list[ChunkTimes], device: str, peak_gb: float | None, sharing: Sharing | None
) -> EngineRecord:
    figures = figures_of(chunks)
    ran = what_ran(config.preset, gpus=0 if device == "cpu" else config.gpus, sessions=config.sessions)
    if sharing is not None:
        ran |= asdict(sharing)
    return EngineRecord(
        **ran,
        **where_it_ran(device, commit=config.commit),
        source="measured",
        fps=round(figures.fps, 3),
        fps_total=round(figures.fps_total, 3),
        stages={name: round(seconds, 5) for name, seconds in figures.stages.items()},
        first_frame_s=round(figures.first_frame_s, 5),
        peak_memory_gb=None if peak_gb is None else round(peak_gb, 2),
    )
