"""The rollout of one session: a planned clip to its new latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .arrays import to_array, to_tensor
from .camera import camera_map
from .clip import Array, ClipInputs, OnStep
from .denoise import ClipTensors, ExpertFor, denoise
from .noise import NoiseAhead
from .preset import SamplingConfig
from .stages import Stages
from .transfer import to_device
from .transformer import WorldTransformer

PROMPT_CACHE_SIZE = 16
"""Prompts whose text states are kept: at most 4 MB each with umT5-XXL."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RolloutParts:
    """The networks of a world model, each behind the one call that a rollout needs."""

    expert_for: Callable[[int, str], WorldTransformer]
    """The transformer for a timestep in [0, 1000) and a viewpoint."""
    encode_text: Callable[[str], Tensor]
    """A prompt to its text states (L, text_dim), unpadded rows only."""
    encode_image: Callable[[Tensor], Tensor]
    """One frame (1, 3, 1, H, W) in [-1, 1] to its normalised latent (1, C, 1, h, w)."""
    device: torch.device
    dtype: torch.dtype
    """Of the transformers."""
    camera_cache: bool = True
    """See `WorldTransformer.prepare`."""
    take_part: Callable[[ClipTensors], ClipTensors] = lambda clip: clip
    """The part of the picture that this process denoises, where several share the work."""
    join_parts: Callable[[Tensor], Tensor] = lambda latents: latents
    """The new latents of this part to those of the whole picture, (1, C, N, h, w)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RolloutResult:
    """A clip's outcome, which a GPU may still be working on: on the current stream it can be used at once."""

    latents: Tensor
    """New latents (C, 15 or 10, h, w), float32 on the rollout's device."""
    stages: Stages

    @property
    def timings(self) -> dict[str, float]:
        """Seconds that each stage took; waits until they are done."""
        return self.stages.seconds


class Rollout:
    """Denoises clips of any session: what it keeps between clips are caches that follow from the weights."""

    def __init__(self, sampling: SamplingConfig, parts: RolloutParts) -> None:
        self.sampling = sampling
        self.parts = parts
        self._encode_text = lru_cache(maxsize=PROMPT_CACHE_SIZE)(parts.encode_text)
        self._noise = NoiseAhead()

    @torch.inference_mode()
    def denoise(self, clip: ClipInputs, *, on_step: OnStep | None = None) -> RolloutResult:
        """The latents that a clip adds to its world: 15 of a first clip, with the image's at the front, else 10.

        Returns as soon as all is launched, unless `on_step` is to be told of steps that are done.
        """
        stages = Stages(self.parts.device)
        with stages.measure("prepare"):
            tensors = self.tensors_of(clip)
            part = self.parts.take_part(tensors)
        new = denoise(
            part,
            self.experts_of(clip),
            num_steps=self.sampling.steps,
            shift=self.sampling.shift,
            guidance=self.sampling.guidance,
            camera_cache=self.parts.camera_cache,
            stages=stages,
            on_step=on_step,
        )
        return RolloutResult(latents=with_image(clip, tensors, self.parts.join_parts(new)), stages=stages)

    def experts_of(self, clip: ClipInputs) -> ExpertFor:
        """The transformer of each timestep, for the clip's viewpoint."""
        return lambda timestep: self.parts.expert_for(timestep, clip.viewpoint)

    def tensors_of(self, clip: ClipInputs) -> ClipTensors:
        """The clip as the network sees it, on the rollout's device but for the noise."""
        clean = self._clean_latents(clip)
        channels, num_clean, *grid = clean.shape[1:]
        num_new = clip.predict_range[1] - clip.predict_range[0] - num_clean
        negative_prompt = self.sampling.negative_prompt
        return clip_tensors(
            clip,
            noise=self._noise.take((1, channels, num_new, *grid), seed=clip.seed, branch=clip.branch, chunk=clip.chunk),
            clean=clean,
            context=self._encode_text(clip.prompt),
            null_context=self._encode_text(negative_prompt) if self.sampling.guidance > 1 else None,
            device=self.parts.device,
            dtype=self.parts.dtype,
        )

    def _clean_latents(self, clip: ClipInputs) -> Tensor:
        """(1, C, 1 or 4, h, w): the encoded image or the past."""
        if clip.past is not None:
            return to_device(to_tensor(clip.past), self.parts.device)[None].float()
        assert clip.image is not None, "plan_clip puts an image into every first clip"
        pixels = to_device(to_tensor(clip.image), self.parts.device)
        return self.parts.encode_image(pixels_to_video(pixels)).float()


def with_image(clip: ClipInputs, tensors: ClipTensors, new: Tensor) -> Tensor:
    """What a clip adds to its world, (C, 15 or 10, h, w): its new latents (1, C, N, h, w), in a first one after the
    image's."""
    return torch.cat([tensors.clean.to(new), new], dim=2)[0] if clip.past is None else new[0]


def clip_tensors(
    clip: ClipInputs,
    *,
    noise: Tensor,
    clean: Tensor,
    context: Tensor,
    null_context: Tensor | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> ClipTensors:
    """What the network sees of a planned clip, with noise, clean latents and text states given; see ClipTensors.

    The camera map is made in `dtype`, on the grid of `clean`. What comes from the clip goes to `device`.
    """
    memory, device = clip.memory, torch.device(device)

    def placed(array: Array) -> Tensor:
        return to_device(to_tensor(array), device)

    return ClipTensors(
        noise=noise,
        clean=clean,
        context=context,
        null_context=null_context,
        plucker=camera_map(clip, grid=(clean.shape[3], clean.shape[4]), device=device, dtype=dtype),
        keyboard=placed(clip.keyboard)[None],
        mouse=placed(clip.mouse)[None],
        predict_range=clip.predict_range,
        memory=None if memory is None else placed(memory.latents)[None].float(),
        memory_latent_idx=None if memory is None else placed(memory.latent_idx),
    )


def image_to_video(image: npt.NDArray[np.uint8]) -> Tensor:
    """An RGB image (H, W, 3) as a video of one frame, (1, 3, 1, H, W) in [-1, 1]."""
    return pixels_to_video(to_tensor(image))


def pixels_to_video(pixels: Tensor) -> Tensor:
    """RGB pixels (H, W, 3) uint8 as a video of one frame, (1, 3, 1, H, W) in [-1, 1], on their device."""
    return pixels.permute(2, 0, 1)[None, :, None].float() / 127.5 - 1


def video_to_frames(video: Tensor) -> npt.NDArray[np.uint8]:
    """A video (1, 3, F, H, W) in [-1, 1] as RGB frames (F, H, W, 3)."""
    return to_array(video_to_pixels(video))


def video_to_pixels(video: Tensor) -> Tensor:
    """A video (1, 3, F, H, W) in [-1, 1] as RGB pixels (F, H, W, 3) uint8, on its device."""
    frames = ((video[0].float() + 1) * 127.5).round_().clamp_(0, 255).to(torch.uint8)
    return frames.permute(1, 2, 3, 0).contiguous()
