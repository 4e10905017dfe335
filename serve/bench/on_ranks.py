"""The benchmark's work on several ranks, each of which is a process that plays the same worlds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ...cluster.shared_engine import layout_on
from ...cluster.shared_pipeline import PipelineParts, parts_alone, parts_on_ranks
from ...errors import ConfigError
from ...model.preset import Preset
from ...model.transformer import WorldTransformer
from ...parallel.apply import without_messages
from ...parallel.planner import Layout, Placement
from ...parallel.ranks import Ranks, join_launched
from ..actions import Actions
from .figures import STEPS, ChunkTimes, OnChunk, stage_medians
from .pipeline import play_pipeline, warm_pipeline
from .sharing import Sharing
from .walk import frames_of, there_and_back

if TYPE_CHECKING:
    from .run import BenchConfig

TIMEOUT_S = 900.0
"""How long ranks wait for each other: the first may read its weights for minutes."""
SILENT_CHUNKS = 6
"""Played without messages, to see what they cost; the first is not counted."""


class RanksRunner:
    """See `Runner`: this process is one of several ranks, and only the first hears of chunks, when all are played."""

    def __init__(
        self, preset: Preset, ranks: Ranks, placement: Placement | None, sessions: int, *, bands: bool = False
    ) -> None:
        """Loads and warms up. Raises ConfigError, CheckpointError or DoesNotFit."""
        self._ranks = ranks
        self._preset = preset
        self._bands = bands
        self._experts: Iterable[WorldTransformer] = ()
        self._layout: Layout | None = None
        """None where each rank has sessions of its own."""
        if placement is Placement.SINGLE:
            _check_enough(sessions, ranks)
        else:
            self._layout = layout_on(preset, ranks, placement=placement, sessions=sessions)
        self._pipeline = warm_pipeline(preset, self._load)
        ranks.wait()

    def play(self, name: str, actions: list[Actions], chunks: int, on_chunk: OnChunk) -> None:
        """See `Runner`. Raises DoesNotFit where memory is too small."""
        for times in self._played(name, actions, chunks):
            on_chunk(times)

    def peak_memory_gb(self) -> float | None:
        """See `Runner`."""
        return max(self._memory_gb(), default=None)

    def sharing(self, chunks: Sequence[ChunkTimes]) -> Sharing | None:
        """See `Runner`. Plays some chunks without messages."""
        if self._layout is None:
            return Sharing(placement=Placement.SINGLE, rank_memory_gb=self._memory_gb(), exposed_step_s=None)
        with without_messages(self._experts):
            silent = self._played(f"silent-{len(chunks)}", [there_and_back(0, frames_of(SILENT_CHUNKS))], SILENT_CHUNKS)
        exposed_s = (_steps_s(chunks) - _steps_s(silent)) / self._preset.sampling.steps
        return Sharing(
            placement=self._layout.placement,
            rank_memory_gb=self._memory_gb(),
            exposed_step_s=max(0.0, exposed_s),
            decoder_ranks=len(self._layout.last_ranks) if self._bands else 1,
        )

    def close(self) -> None:
        """Nothing to end: the weights go with the process."""

    def _load(self) -> PipelineParts:
        if self._layout is None:
            return parts_alone(self._preset, str(self._ranks.device))
        parts = parts_on_ranks(self._preset, self._ranks, self._layout, bands=self._bands)
        self._experts = parts.experts.values()
        return parts

    def _played(self, name: str, actions: list[Actions], chunks: int) -> list[ChunkTimes]:
        """The chunks of all sessions, the same on all ranks."""
        seen: list[ChunkTimes] = []
        shown: set[tuple[int, int]] = set()
        mine = {
            index: walk for index, walk in enumerate(actions)
            if self._layout is not None or index % self._ranks.size == self._ranks.rank
        }  # fmt: skip
        self._ranks.wait()
        for times, has_frames in play_pipeline(self._pipeline, name, mine, chunks):
            seen.append(times)
            if has_frames:
                shown.add((times.session, times.chunk))
        return merge_times(self._ranks.gather_objects((seen, shown)))

    def _memory_gb(self) -> tuple[float, ...]:
        """Of each rank; nothing on the CPU."""
        if self._ranks.device.type != "cuda":
            return ()
        peak = torch.cuda.max_memory_reserved(self._ranks.device) / 1e9
        return tuple(round(value, 2) for value in self._ranks.gather_objects(peak))


def merge_times(ranks: Sequence[tuple[list[ChunkTimes], set[tuple[int, int]]]]) -> list[ChunkTimes]:
    """Each chunk once, in the order of frames on the host, from what the ranks have seen and of what they have frames.

    A stage takes what it takes on the slowest rank, planning begins with the first, and frames come where they are.
    """
    seen: defaultdict[tuple[int, int], list[ChunkTimes]] = defaultdict(list)
    shown: dict[tuple[int, int], ChunkTimes] = {}
    for chunks, with_frames in ranks:
        for times in chunks:
            key = times.session, times.chunk
            seen[key].append(times)
            if key in with_frames:
                shown[key] = times
    merged = [
        replace(shown[key], planned_s=min(times.planned_s for times in all_seen), stages=_slowest(all_seen))
        for key, all_seen in seen.items()
    ]
    return sorted(merged, key=lambda times: (times.last_frame_s, times.session))


@contextmanager
def launched_ranks(config: BenchConfig) -> Iterator[Ranks]:
    """The ranks that torchrun has started, which must be as many as are asked for. Raises ConfigError."""
    with join_launched(config.device, timeout_s=TIMEOUT_S) as ranks:
        if ranks.size != config.gpus:
            raise ConfigError(
                f"{config.gpus} GPUs are asked for, torchrun has started {ranks.size} ranks",
                hint=f"Give --gpus {ranks.size}, or start {config.gpus} ranks.",
            )
        yield ranks


def is_launched() -> bool:
    """Whether torchrun has started this process."""
    return "WORLD_SIZE" in os.environ


def launch(gpus: int, arguments: Sequence[str]) -> int:
    """Run `worldloom bench` with these arguments on so many ranks of this machine. Returns the exit status."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={gpus}"]
    return subprocess.run([*torchrun, "-m", "worldloom.serve.bench", *arguments], check=False).returncode


def _steps_s(chunks: Sequence[ChunkTimes]) -> float:
    """Seconds of a later chunk's denoising steps."""
    return stage_medians([times for times in chunks if times.chunk > 0])[STEPS]


def _slowest(chunks: Sequence[ChunkTimes]) -> dict[str, float]:
    names = dict.fromkeys(name for times in chunks for name in times.stages)
    return {name: max(times.stages.get(name, 0.0) for times in chunks) for name in names}


def _check_enough(sessions: int, ranks: Ranks) -> None:
    if sessions < ranks.size:
        raise ConfigError(
            f"{sessions} sessions on {ranks.size} GPUs that work each for itself leave some without work",
            hint=f"Use --sessions {ranks.size} or more, or another placement.",
        )
