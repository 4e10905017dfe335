"""The benchmark's work in this process on one device: the local pipeline, which overlaps decoding with denoising."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from ...cluster.local_pipeline import ChunkActions, LocalPipeline
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
        try:
            self._pipeline = LocalPipeline(preset, device=device, piece_latents=PIECE_LATENTS, store_bytes=STORE_BYTES)
            self._pipeline.warm_up()
        except torch.OutOfMemoryError as error:
            raise _does_not_fit(preset, error) from error

    def play(self, name: str, actions: list[Actions], chunks: int, on_chunk: OnChunk) -> None:
        """See `Runner`. Raises DoesNotFit where memory is too small."""
        sessions = {f"{name}-{index}": index for index in range(len(actions))}
        image = start_image(self._pipeline.preset)
        for session, index in sessions.items():
            self._pipeline.start(session, image, prompt=PROMPT, seed=index, viewpoint=VIEWPOINT)
        try:
            for decoded in self._pipeline.play(_turns(sessions, actions, chunks)):
                on_chunk(
                    ChunkTimes(
                        session=sessions[decoded.session],
                        chunk=decoded.chunk,
                        planned_s=decoded.planned_s,
                        first_frame_s=decoded.first_frame_s,
                        last_frame_s=decoded.last_frame_s,
                        stages=decoded.stages,
                    )
                )
        except torch.OutOfMemoryError as error:
            raise _does_not_fit(self._pipeline.preset, error) from error

    def peak_memory_gb(self) -> float | None:
        """See `Runner`."""
        return peak_memory_gb()

    def close(self) -> None:
        """Nothing to end: the weights go with the process."""


def _turns(sessions: dict[str, int], actions: list[Actions], chunks: int) -> Iterator[ChunkActions]:
    for chunk in range(chunks):
        for session, index in sessions.items():
            rows = chunk_actions(actions[index], chunk)
            yield ChunkActions(session=session, keyboard=rows.keyboard, mouse=rows.mouse)


def _does_not_fit(preset: Preset, error: torch.OutOfMemoryError) -> DoesNotFit:
    return DoesNotFit(
        f"preset {preset.name!r} in {preset.precision} does not fit: {str(error).splitlines()[0]}",
        hint="Try --precision fp8 or int8, a decoder that is pruned more, or fewer sessions.",
    )
