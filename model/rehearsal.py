"""Clips of a world in which nothing happens, to warm up and to measure."""

from __future__ import annotations

import numpy as np

from .clip import Array, ClipInputs, MemoryQuery, MemoryView, advance, initial_state, plan_clip
from .preset import Preset


def still_clips(preset: Preset) -> tuple[ClipInputs, ClipInputs]:
    """A first clip from a grey image, and the later one that follows it, with latents and memory of zeros."""
    image = np.full((preset.video.height, preset.video.width, 3), 128, np.uint8)
    state = initial_state(0)
    clips = []
    for _ in range(2):
        clip = plan_clip(
            state,
            np.zeros((state.num_new_frames, 6), np.float32),
            np.zeros((state.num_new_frames, 2), np.float32),
            prompt="",
            viewpoint="first_person",
            image=image,
            retrieve=lambda query: _blank_memory(preset, query),
        )
        clips.append(clip)
        state = advance(state, clip, _blank_latents(preset, clip.num_new_latents))
    return clips[0], clips[1]


def _blank_latents(preset: Preset, count: int) -> Array:
    return np.zeros((preset.latent_channels, count, preset.latent_height, preset.latent_width), np.float32)


def _blank_memory(preset: Preset, query: MemoryQuery) -> MemoryView:
    slots = len(query.query_poses)
    frames = np.ones(slots, np.int64)
    return MemoryView(
        latents=_blank_latents(preset, slots),
        frame_idx=frames,
        frame_idx_raw=frames,
        latent_idx=frames,
        overlap=np.ones(slots, np.float32),
        poses=np.zeros((slots, 5)),
    )
