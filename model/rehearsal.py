"""Clips of worlds that nobody plays: to warm up, to measure and to compare."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .clip import Array, ClipInputs, Float32, MemoryQuery, MemoryView, WorldState, advance, initial_state, plan_clip
from .preset import Preset

Draw = Callable[[tuple[int, ...]], Float32]


def still_clips(preset: Preset) -> tuple[ClipInputs, ClipInputs]:
    """A first clip from a grey image, and the later one that follows it, with latents and memory of zeros."""
    return _two_clips(preset, initial_state(0), lambda shape: np.zeros(shape, np.float32))


def random_clips(preset: Preset, seed: int) -> tuple[ClipInputs, ClipInputs]:
    """A first clip and the later one that follows it, in which image, actions, latents and memory are all random."""
    generator = np.random.default_rng(seed)
    return _two_clips(preset, initial_state(seed), lambda shape: generator.standard_normal(shape, np.float32))


def _two_clips(preset: Preset, state: WorldState, draw: Draw) -> tuple[ClipInputs, ClipInputs]:
    image = np.clip(128 + 40 * draw((preset.video.height, preset.video.width, 3)), 0, 255).astype(np.uint8)
    first = _plan(preset, state, image, draw)
    return first, _plan(preset, advance(state, first, _latents(preset, first.num_new_latents, draw)), image, draw)


def _plan(preset: Preset, state: WorldState, image: Array, draw: Draw) -> ClipInputs:
    return plan_clip(
        state,
        (draw((state.num_new_frames, 6)) > 1).astype(np.float32),
        draw((state.num_new_frames, 2)),
        prompt="",
        viewpoint="first_person",
        image=image.astype(np.uint8),
        retrieve=lambda query: _memory(preset, query, draw),
    )


def _latents(preset: Preset, count: int, draw: Draw) -> Array:
    return draw((preset.latent_channels, count, preset.latent_height, preset.latent_width))


def _memory(preset: Preset, query: MemoryQuery, draw: Draw) -> MemoryView:
    slots = len(query.query_poses)
    frames = np.ones(slots, np.int64)
    return MemoryView(
        latents=_latents(preset, slots, draw),
        frame_idx=frames,
        frame_idx_raw=frames,
        latent_idx=frames,
        overlap=np.ones(slots, np.float32),
        poses=draw((slots, 5)).astype(np.float64),
    )
