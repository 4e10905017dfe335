"""The real engine and decoder: one device, one process, no group."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from ..model.arrays import to_array, to_tensor
from ..model.clip import Array, OnStep
from ..model.load import load_rollout, resolve_device
from ..model.preset import Preset
from ..model.rehearsal import still_clips
from ..model.rollout import video_to_frames
from ..model.vae import DecoderState
from ..model.weights import load_decoder
from .engine import ChunkJob, ChunkResult

LATENTS_DTYPE = torch.bfloat16
"""Of latents between processes and in the store, whatever a model computes in."""


class RolloutEngine:
    """Denoises with the networks of a preset."""

    def __init__(self, preset: Preset, device: str = "auto") -> None:
        """Loads the weights; raises ConfigError or CheckpointError when they cannot be."""
        self._preset = preset
        self._rollout = load_rollout(preset, resolve_device(device))

    def warm_up(self) -> None:
        """Run a first and a later clip of nothing: kernels are chosen, memory is allocated."""
        for clip in still_clips(self._preset):
            self._rollout.denoise(clip)

    def step(self, job: ChunkJob, *, on_step: OnStep | None = None) -> ChunkResult:
        """See `Engine.step`. Latents are bfloat16."""
        result = self._rollout.denoise(job.clip, on_step=on_step)
        return ChunkResult(latents=to_array(result.latents.to(LATENTS_DTYPE)), timings=result.timings)


class VaeDecoder:
    """Decodes with a preset's decoder, latent by latent: frames have the same bits however a stream is split."""

    def __init__(self, preset: Preset, device: str = "auto") -> None:
        """Loads the weights; raises ConfigError or CheckpointError when they cannot be."""
        self._preset = preset
        self._device = resolve_device(device)
        self._decoder = load_decoder(preset, self._device)
        self.reach_latents = self._decoder.reach_latents

    def warm_up(self) -> None:
        """Decode a stream's first latent and another one."""
        shape = (self._preset.latent_channels, 2, self._preset.latent_height, self._preset.latent_width)
        self.decode(np.zeros(shape, np.float32), None)

    @torch.inference_mode()
    def decode(self, latents: Array, state: DecoderState | None) -> tuple[npt.NDArray[np.uint8], DecoderState]:
        """See `Decoder.decode`. The state stays on the decoder's device."""
        video, state = self._decoder.decode(to_tensor(latents)[None].to(self._device, torch.float32), state)
        return video_to_frames(video), state
