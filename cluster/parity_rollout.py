"""The rollout case of `parity`: whole worlds with given noise, image latent and text states."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..memory.records import ChunkRecord
from ..memory.view import retrieve_from
from ..model.arrays import to_array, to_tensor
from ..model.camera import PATCH, camera_map
from ..model.clip import (
    FIRST_CLIP_FRAMES,
    NEW_FRAMES,
    ClipInputs,
    advance,
    initial_state,
    plan_clip,
)
from ..model.denoise import denoise
from ..model.poses import extrinsics_of, integrate_poses, intrinsics_of
from ..model.rollout import clip_tensors
from ..model.transformer import WorldTransformer
from .history import memory_of, record_of

LatentsOf = Callable[[ClipInputs], Tensor]
"""A planned clip to its new latents (C, n, h, w)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """One way of sampling; the case has its noise as `<name>.noise0`, `<name>.noise1`, …"""

    name: str
    num_steps: int
    guidance: float


VARIANTS = (
    Variant(name="distilled", num_steps=3, guidance=1.0),
    Variant(name="base", num_steps=4, guidance=5.0),
)
CAMERA_MAP_CHUNK = 1
"""The clip whose camera map is written."""


def run_rollout(tensors: Mapping[str, Tensor], transformer: WorldTransformer) -> dict[str, Tensor]:
    """Poses, cameras, memory choices and new latents of a rollout case; raises InputError where its sizes disagree."""
    keyboard = tensors["keyboard"]
    if len(keyboard) < FIRST_CLIP_FRAMES:
        raise InputError(f"a rollout of {len(keyboard)} frames", hint=f"the first clip alone has {FIRST_CLIP_FRAMES}")
    num_clips = 1 + (len(keyboard) - FIRST_CLIP_FRAMES) // NEW_FRAMES
    outputs = _geometry(tensors)
    for clip, _ in _play(tensors, num_clips, lambda clip: _no_latents(tensors, clip)):
        outputs |= _choices(clip, tensors)
    for variant in VARIANTS:
        count = _count_noises(tensors, variant)
        if count > num_clips:
            raise InputError(f"{variant.name} has noise for {count} clips, the actions last for {num_clips}")
        for clip, latents in _play(tensors, count, _sampler(tensors, variant, transformer)):
            outputs[f"{variant.name}.chunk{clip.chunk}.latents"] = latents[None]
    return outputs


def _geometry(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    poses = integrate_poses(tensors["keyboard"].numpy(), tensors["mouse"].numpy())
    height, width = (PATCH * size for size in tensors["image_latent"].shape[3:])
    return {
        "poses": to_tensor(poses),
        "extrinsics": to_tensor(extrinsics_of(poses)),
        "intrinsics": to_tensor(intrinsics_of(height, width)),
    }


def _choices(clip: ClipInputs, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    outputs = {"predict_latent_idx": torch.tensor(clip.predict_range)}
    if clip.memory is not None:
        outputs["memory_frame_idx_raw"] = to_tensor(clip.memory.frame_idx_raw)
        outputs["memory_frame_idx"] = to_tensor(clip.memory.frame_idx)
        outputs["memory_latent_idx"] = to_tensor(clip.memory.latent_idx)
        outputs["memory_overlap"] = to_tensor(clip.memory.overlap)
    if clip.chunk == CAMERA_MAP_CHUNK:
        height, width = tensors["image_latent"].shape[3:]
        outputs["plucker"] = camera_map(clip, grid=(height, width), device="cpu", dtype=torch.float32)
    return {f"chunk{clip.chunk}.{name}": value for name, value in outputs.items()}


def _play(tensors: Mapping[str, Tensor], num_clips: int, latents_of: LatentsOf) -> Iterator[tuple[ClipInputs, Tensor]]:
    """The clips of one world with the latents (C, n, h, w) that each adds."""
    state = initial_state(0)
    records: list[ChunkRecord] = []
    keyboard, mouse = tensors["keyboard"].numpy(), tensors["mouse"].numpy()
    for _ in range(num_clips):
        rows = slice(len(state.poses), len(state.poses) + state.num_new_frames)
        clip = plan_clip(
            state,
            keyboard[rows],
            mouse[rows],
            prompt="",
            viewpoint="first_person",
            # The case brings the image's latent instead.
            image=np.zeros((0, 0, 3), np.uint8),
            retrieve=lambda query: memory_of(retrieve_from(records, query.query_poses, query.candidate_stop)),
        )
        new = latents_of(clip)
        yield clip, new
        records.append(record_of(clip, to_array(new), first_frame_id=len(state.poses)))
        state = advance(state, clip, to_array(new))


def _no_latents(tensors: Mapping[str, Tensor], clip: ClipInputs) -> Tensor:
    _, channels, _, height, width = tensors["image_latent"].shape
    return torch.zeros(channels, clip.num_new_latents, height, width)


def _count_noises(tensors: Mapping[str, Tensor], variant: Variant) -> int:
    count = 0
    while f"{variant.name}.noise{count}" in tensors:
        count += 1
    return count


def _sampler(tensors: Mapping[str, Tensor], variant: Variant, transformer: WorldTransformer) -> LatentsOf:
    def latents_of(clip: ClipInputs) -> Tensor:
        image_latent = tensors["image_latent"]
        clean = image_latent if clip.past is None else to_tensor(clip.past)[None]
        # The case has noise for all latents of a clip; that of clean ones is not used.
        noise = tensors[f"{variant.name}.noise{clip.chunk}"][:, :, clean.shape[2] :]
        given = clip_tensors(
            clip,
            noise=noise,
            clean=clean,
            context=tensors["context"],
            null_context=tensors["negative_context"] if variant.guidance > 1 else None,
        )
        new = denoise(given, lambda _: transformer, num_steps=variant.num_steps, guidance=variant.guidance)
        return torch.cat([clean, new], dim=2)[0] if clip.past is None else new[0]

    return latents_of
