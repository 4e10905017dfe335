"""What the ranks of the tests of shared pipelines do."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from worldloom.cluster.engine import ChunkJob, ChunkResult
from worldloom.cluster.local_pipeline import ChunkActions, DecodedChunk, LocalPipeline
from worldloom.cluster.shared_engine import make_shared_engine
from worldloom.cluster.shared_pipeline import parts_on_ranks
from worldloom.model.preset import Preset
from worldloom.parallel.planner import Layout
from worldloom.parallel.ranks import Ranks

Shown = tuple[str, int, str | None]
"""Session, chunk, and a digest of the frames; None where another rank has them."""


def play_shared(
    ranks: Ranks, preset: Preset, layout: Layout, sessions: Sequence[str], bands: bool = False
) -> list[Shown]:
    """A first and a later chunk of each session, in turns, as one of several ranks."""
    return play(LocalPipeline(preset, parts=parts_on_ranks(preset, ranks, layout, bands=bands)), sessions)


def step_shared(ranks: Ranks, preset: Preset, layout: Layout, job: ChunkJob) -> tuple[bool, ChunkResult]:
    """Whether this rank gives the latents of a chunk away, and what it has of them: as in a worker group."""
    engine = make_shared_engine(preset, ranks, layout)
    engine.warm_up(preset)
    return engine.answers, engine.launcher.launch(job).wait()


def play(pipeline: LocalPipeline, sessions: Sequence[str]) -> list[Shown]:
    """The same on this pipeline."""
    video = pipeline.preset.video
    for index, session in enumerate(sessions):
        pipeline.start(session, np.full((video.height, video.width, 3), 60 * index, np.uint8), seed=index)
    return [_shown(made) for made in pipeline.play(_walk(session, chunk) for chunk in range(2) for session in sessions)]


def _walk(session: str, chunk: int) -> ChunkActions:
    rows = 57 if chunk == 0 else 40
    keyboard, mouse = np.zeros((rows, 6), np.float32), np.full((rows, 2), 0.01 * len(session), np.float32)
    keyboard[:, 0] = 1
    return ChunkActions(session=session, keyboard=keyboard, mouse=mouse)


def _shown(made: DecodedChunk) -> Shown:
    frames = [part.tobytes() for part in made.frames if len(part)]
    return made.session, made.chunk, hashlib.sha256(b"".join(frames)).hexdigest() if frames else None
