"""The benchmark's work in this process on one device: the local pipeline, which overlaps decoding with denoising."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from ...cluster.local_pipeline import ChunkActions, LocalPipeline
from ...cluster.shared_pipeline import PipelineParts, parts_alone
from ...errors import DoesNotFit
from ...model.preset import Preset
from ..actions import Actions
from .figures import ChunkTimes, OnChunk
from .machine import peak_memory_gb
from .setting import PIECE_LATENTS, PROMPT, STORE_BYTES, VIEWPOINT, start_image
from .walk import chunk_actions


class PipelineRunner:
    """See `Runner`: sessions give a chunk each in turn."""

    def __init__(self, preset: Preset, device: str) -> None:
        """Loads and warms up. Raises ConfigError, CheckpointError, or DoesNotFit where memory is too small."""
        self._pipeline = warm_pipeline(preset, lambda: parts_alone(preset, device))

    def play(self, name: str, actions: list[Actions], chunks: int, on_chunk: OnChunk) -> None:
        """See `Runner`. Raises DoesNotFit where memory is too small."""
        for times, _ in play_pipeline(self._pipeline, name, dict(enumerate(actions)), chunks):
            on_chunk(times)

    def peak_memory_gb(self) -> float | None:
        """See `Runner`."""
        return peak_memory_gb()

    def sharing(self, chunks: Sequence[ChunkTimes]) -> None:
        """See `Runner`."""

    def close(self) -> None:
        """Nothing to end: the weights go with the process."""


def warm_pipeline(preset: Preset, load: Callable[[], PipelineParts]) -> LocalPipeline:
    """A pipeline that has been played on. Raises what `load` does, and DoesNotFit where memory is too small."""
    with _fitting(preset):
        pipeline = LocalPipeline(preset, parts=load(), piece_latents=PIECE_LATENTS, store_bytes=STORE_BYTES)
        pipeline.warm_up()
    return pipeline


def play_pipeline(
    pipeline: LocalPipeline, name: str, actions: Mapping[int, Actions], chunks: int
) -> Iterator[tuple[ChunkTimes, bool]]:
    """Each chunk of a new world for each of `actions`, by the sessions' numbers, and whether its frames are here.

    Raises DoesNotFit where memory is too small.
    """
    sessions = {f"{name}-{index}": index for index in actions}
    image = start_image(pipeline.preset)
    for session, index in sessions.items():
        pipeline.start(session, image, prompt=PROMPT, seed=index, viewpoint=VIEWPOINT)
    with _fitting(pipeline.preset):
        for decoded in pipeline.play(_turns(sessions, actions, chunks)):
            times = ChunkTimes(
                session=sessions[decoded.session],
                chunk=decoded.chunk,
                planned_s=decoded.planned_s,
                first_frame_s=decoded.first_frame_s,
                last_frame_s=decoded.last_frame_s,
                stages=decoded.stages,
            )
            yield times, any(len(frames) > 0 for frames in decoded.frames)
    for session in sessions:
        pipeline.end(session)


def _turns(sessions: Mapping[str, int], actions: Mapping[int, Actions], chunks: int) -> Iterator[ChunkActions]:
    for chunk in range(chunks):
        for session, index in sessions.items():
            rows = chunk_actions(actions[index], chunk)
            yield ChunkActions(session=session, keyboard=rows.keyboard, mouse=rows.mouse)


@contextmanager
def _fitting(preset: Preset) -> Iterator[None]:
    """Raises DoesNotFit where memory runs out inside."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise _does_not_fit(preset, error) from error


def _does_not_fit(preset: Preset, error: torch.OutOfMemoryError) -> DoesNotFit:
    return DoesNotFit(
        f"preset {preset.name!r} in {preset.precision} does not fit: {str(error).splitlines()[0]}",
        hint="Try --precision fp8 or int8, a decoder that is pruned more, or fewer sessions.",
    )
