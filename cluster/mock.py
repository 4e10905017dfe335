"""An engine that draws the actions into latents and a decoder that makes readable frames of them, without torch."""

from __future__ import annotations

import time
import zlib

import ml_dtypes
import numpy as np
import numpy.typing as npt

from ..errors import ConfigError
from ..model.clip import FIRST_CLIP_LATENTS, NEW_LATENTS, PAST_LATENTS, Array, ClipInputs, OnStep
from ..model.preset import Preset
from .engine import ChunkJob, ChunkResult
from .mock_frames import RECORD, draw_frame
from .pictures import Layout

FRAMES_PER_LATENT = 4
_LATENT_BYTES = FRAMES_PER_LATENT * RECORD.itemsize

MockState = tuple[bytes, ...]
"""The last latents of a stream, oldest first, at most as many as the decoder's reach."""


class MockEngine:
    """Writes branch, chunk, frame numbers, keys and poses of each frame into the latents, one byte a value."""

    def __init__(self, preset: Preset) -> None:
        """Takes as long for a chunk as the preset says. Raises ConfigError if its latents are too small."""
        self._shape = (preset.latent_channels, preset.latent_height, preset.latent_width)
        if (size := int(np.prod(self._shape))) < _LATENT_BYTES:
            raise ConfigError(
                f"a latent of {size} values cannot hold the mock's {_LATENT_BYTES}",
                hint="Use more latent channels or a larger video.",
            )
        self._num_steps = preset.sampling.steps
        self._step_time_s = preset.mock.chunk_time_s / self._num_steps

    def warm_up(self) -> None:
        """Nothing to do."""

    def step(self, job: ChunkJob, *, on_step: OnStep | None = None) -> ChunkResult:
        started = time.perf_counter()
        payload = _describe(job.clip)
        latents = np.zeros((len(payload), int(np.prod(self._shape))), ml_dtypes.bfloat16)
        latents[:, :_LATENT_BYTES] = payload
        timings = {"prepare": time.perf_counter() - started}
        for step in range(self._num_steps):
            started = time.perf_counter()
            time.sleep(self._step_time_s)
            timings[f"step{step}"] = time.perf_counter() - started
            if on_step is not None:
                on_step(step + 1, self._num_steps)
        grid = latents.reshape(len(payload), *self._shape)
        return ChunkResult(latents=np.ascontiguousarray(grid.swapaxes(0, 1)), timings=timings)


class MockDecoder:
    """Turns the mock engine's latents into frames that `mock_frames.read_frame` reads back.

    Each frame carries a checksum of the last latents, so that a stream whose state was lost or mixed up is noticed.
    """

    reach_latents = 2

    def __init__(self, preset: Preset) -> None:
        self._height, self._width = preset.video.height, preset.video.width

    def warm_up(self) -> None:
        """Nothing to do."""

    def decode(
        self, latents: Array, state: MockState | None, *, layout: Layout = Layout.RGB
    ) -> tuple[npt.NDArray[np.uint8], MockState]:
        history: MockState = state or ()
        frames = []
        for index in range(latents.shape[1]):
            payload = latents[:, index].ravel()[:_LATENT_BYTES].astype(np.uint8).tobytes()
            trace = zlib.crc32(b"".join((*history, payload))) & 0xFFFF
            records = np.frombuffer(payload, RECORD)
            if state is None and index == 0:
                records = records[-1:]
            frames += [draw_frame(record, trace, height=self._height, width=self._width) for record in records]
            history = (*history, payload)[-self.reach_latents :]
        return np.stack(frames), history


def _describe(clip: ClipInputs) -> npt.NDArray[np.uint8]:
    """(n, bytes) payload of the clip's n new latents: one RECORD for each of a latent's four frames."""
    is_first = clip.past is None
    num_latents = FIRST_CLIP_LATENTS if is_first else NEW_LATENTS
    records = np.zeros(num_latents * FRAMES_PER_LATENT, RECORD)
    # The first latent of a world stands for one frame, which sits in the last of its four places.
    start = FRAMES_PER_LATENT - 1 if is_first else 0
    shown = slice(0 if is_first else PAST_LATENTS * FRAMES_PER_LATENT, None)
    records["branch"], records["chunk"] = clip.branch, clip.chunk
    records["frame"][start:] = np.arange(len(records) - start)
    records["keys"][start:] = clip.keyboard[shown, :4].astype(np.uint8) @ np.array([1, 2, 4, 8], np.uint8)
    records["mouse"][start:] = np.rint(np.clip(clip.mouse[shown], -1, 1) * 100)
    records["pose"][start:] = np.rint(clip.poses[shown][:, [0, 1, 3, 4]] * 100)
    return records.view(np.uint8).reshape(num_latents, _LATENT_BYTES)
