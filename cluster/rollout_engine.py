"""The real engine and decoder: one device, one process, no group.

Both can be waited for, as `Engine` and `Decoder` want it, or only launched: a GPU then works on while the host plans.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..model.arrays import to_array, to_tensor
from ..model.clip import Array, OnStep
from ..model.fast_vae.decoder import FastDecoder
from ..model.load import load_rollout, resolve_device
from ..model.planes import rgb_to_i420
from ..model.preset import Preset
from ..model.rehearsal import still_clips
from ..model.rollout import Rollout, video_to_pixels
from ..model.stages import Stages
from ..model.transfer import HostCopy, to_device
from ..model.vae import Decoder, DecoderState
from ..model.weights import load_decoder
from ..parallel.bands import BandDecoder, Bands
from ..parallel.ranks import Ranks
from .engine import ChunkJob, ChunkResult
from .pictures import Layout

LATENTS_DTYPE = torch.bfloat16
"""Of latents between processes and in the store, whatever a model computes in."""
PIECE_LATENTS = 2
"""Latents that a longer span is decoded by: more take memory, fewer take time."""
WARM_UP_LATENTS = (PIECE_LATENTS, PIECE_LATENTS, 1)
PixelsOf = Callable[[Tensor, DecoderState | None], tuple[Tensor, DecoderState]]
"""Latents (C, n, h, w) and a stream's state to RGB pixels (F, H, W, 3) uint8 and the next state."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LaunchedChunk:
    """A chunk that the device may still be working on."""

    latents: Tensor | None
    """New latents (C, 15 or 10, h, w), bfloat16 on the device, for the stream that they were launched on; None where
    another rank makes them."""
    arrive: Callable[[], Tensor]
    """Waits for the same on the host."""
    stages: Stages

    def wait(self) -> ChunkResult:
        """The chunk, once it is on the host."""
        return ChunkResult(latents=to_array(self.arrive()), timings=self.stages.seconds)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LaunchedFrames:
    """Frames of one piece of a stream that the device may still be working on."""

    state: DecoderState
    """After the piece."""
    copy: HostCopy
    stages: Stages

    def wait(self) -> npt.NDArray[np.uint8]:
        """RGB frames (F, H, W, 3), or in the layout that was asked for, once they are on the host."""
        return to_array(self.copy.wait())


class Launcher(Protocol):
    """Sets the denoising of chunks going."""

    def launch(self, job: ChunkJob, *, on_step: OnStep | None = None) -> LaunchedChunk: ...


class RolloutEngine:
    """Denoises with the networks of a preset."""

    def __init__(self, preset: Preset, device: str = "auto", *, rollout: Rollout | None = None) -> None:
        """Loads the weights, unless there is a `rollout` that has them; raises ConfigError or CheckpointError when they
        cannot be."""
        self._preset = preset
        self._rollout = rollout or load_rollout(preset, resolve_device(device))

    def warm_up(self) -> None:
        """Run a first and a later clip of nothing: kernels are chosen, memory is allocated."""
        for clip in still_clips(self._preset):
            self._rollout.denoise(clip).stages.wait()

    def step(self, job: ChunkJob, *, on_step: OnStep | None = None) -> ChunkResult:
        """See `Engine.step`. Latents are bfloat16."""
        return self.launch(job, on_step=on_step).wait()

    @torch.inference_mode()
    def launch(self, job: ChunkJob, *, on_step: OnStep | None = None) -> LaunchedChunk:
        """As `step`, without waiting for the device unless `on_step` is to be told of steps that are done."""
        result = self._rollout.denoise(job.clip, on_step=on_step)
        latents = result.latents.to(LATENTS_DTYPE)
        return LaunchedChunk(latents=latents, arrive=HostCopy(latents).wait, stages=result.stages)


class VaeDecoder:
    """Decodes with a preset's decoder. Frames have the same bits wherever a stream is cut in the same places; on a CPU,
    wherever it is cut."""

    def __init__(self, preset: Preset, device: str = "auto", *, ranks: Ranks | None = None) -> None:
        """Loads the weights; raises ConfigError or CheckpointError when they cannot be. With `ranks`, which all make
        the same calls, each decodes a band of the picture, and the first has the frames, the others none."""
        self._preset = preset
        self._device = resolve_device(device)
        decoder = load_decoder(preset, self._device)
        self.reach_latents = decoder.reach_latents
        if ranks is None:
            self._pixels_of = _pixels_of(decoder)
        else:
            self._pixels_of = BandDecoder(FastDecoder(decoder), Bands.of(preset.latent_height, ranks)).decode

    def warm_up(self) -> None:
        """Decode a stream's first piece and others, of the sizes that a chunk is cut into."""
        preset, state = self._preset, None
        for count in WARM_UP_LATENTS:
            shape = (preset.latent_channels, count, preset.latent_height, preset.latent_width)
            _, state = self.decode(np.zeros(shape, np.float32), state)

    def decode(
        self, latents: Array, state: DecoderState | None, *, layout: Layout = Layout.RGB
    ) -> tuple[npt.NDArray[np.uint8], DecoderState]:
        """See `Decoder.decode`. The state stays on the decoder's device; long spans are decoded in pieces. Only a GPU
        lays frames out in another way: on a CPU, encoders do it faster."""
        frames = []
        for piece in torch.split(to_device(to_tensor(latents), self._device), PIECE_LATENTS, dim=1):
            launched = self.launch(piece, state, layout=layout)
            state = launched.state
            frames.append(launched.wait())
        assert state is not None, "there are latents to decode"
        return np.concatenate(frames), state

    @torch.inference_mode()
    def launch(self, latents: Tensor, state: DecoderState | None, *, layout: Layout = Layout.RGB) -> LaunchedFrames:
        """As `decode`, of latents (C, n, h, w) on the decoder's device, on the current stream and without waiting."""
        stages = Stages(self._device)
        with stages.measure("decode"):
            pixels, state = self._pixels_of(latents.float(), state)
            if layout is Layout.I420 and pixels.is_cuda:
                pixels = rgb_to_i420(pixels)
        with stages.measure("copy"):
            copy = HostCopy(pixels)
        return LaunchedFrames(state=state, copy=copy, stages=stages)


def _pixels_of(decoder: Decoder) -> PixelsOf:
    """The decoder's fastest form for its device and dtype."""
    weight = decoder.conv2.weight
    if (weight.device.type, weight.dtype) == ("cuda", torch.bfloat16):
        return FastDecoder(decoder).decode
    if (weight.device.type, weight.dtype) == ("cpu", torch.float32):
        return _one_by_one(FastDecoder(decoder))

    def decode(latents: Tensor, state: DecoderState | None) -> tuple[Tensor, DecoderState]:
        video, state = decoder.decode(latents[None], state)
        return video_to_pixels(video), state

    return decode


def _one_by_one(decoder: FastDecoder) -> PixelsOf:
    """In pieces of one latent, whatever comes: a stream has the same bits however it is cut."""

    def decode(latents: Tensor, state: DecoderState | None) -> tuple[Tensor, DecoderState]:
        frames = []
        for latent in torch.split(latents, 1, dim=1):
            pixels, state = decoder.decode(latent, state)
            frames.append(pixels)
        assert state is not None, "there are latents to decode"
        return torch.cat(frames), state

    return decode
