"""One clip of a world: what is planned, what goes into the model, what comes out. NumPy only.

A clip is the span of frames one denoising pass sees. The first clip has 57 frames (15 latents, the first of them the
start image). Every later clip has 56 frames: 4 past latents and 10 new ones, which decode to 40 new frames.
A chunk is what a clip adds to the world: 57 frames, later 40.

Poses are rows (x, y, z, pitch, yaw), in units (x forward, y right, z up) and degrees. Extrinsics are camera-to-world.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FIRST_CLIP_FRAMES = 57
LATER_CLIP_FRAMES = 56
NEW_FRAMES = 40
FIRST_CLIP_LATENTS = 15
PAST_LATENTS = 4
NEW_LATENTS = 10
MEMORY_SLOTS = 5

Array = npt.NDArray[np.generic]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryView:
    """What retrieval found for the query frames of one clip, slot by slot (M slots)."""

    latents: Array
    """(C, M, h, w), normalised latents in the store's dtype."""
    frame_idx: Int64
    """(M,) video frames chosen, the sink frame included."""
    frame_idx_raw: Int64
    """(M,) the same before the sink frame took the last slot."""
    latent_idx: Int64
    """(M,) latent frame of each chosen frame."""
    overlap: Float32
    """(M,) share of the query frustum that the raw choice sees, in [0, 1]."""
    poses: Float64
    """(M, 5) pose at the last frame of each chosen latent's block of four frames."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryQuery:
    """Asks for the past views that overlap most with the views to come."""

    query_poses: Float64
    """(M, 5) poses of the query frames E-1, E-9, E-17, E-25, E-33 of a clip that ends at frame E."""
    candidate_stop: int
    """Frames 1 … candidate_stop - 1 may be chosen (S, the clip's first frame)."""


Retrieve = Callable[[MemoryQuery], MemoryView]


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldState:
    """All that the next clip of one world depends on, besides its memory store."""

    seed: int
    branch: int
    chunk: int
    """Chunks made so far, which is the number of the next one."""
    poses: Float64
    """(F, 5), frames 0 … F-1 of the world so far; F = 0 before the first chunk, 57 + 40(n-1) after n."""
    past: Array | None
    """(C, 4, h, w) last four latents; None before the first chunk."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipInputs:
    """A planned clip: the engine's result is a pure function of this and the weights."""

    seed: int
    branch: int
    chunk: int
    prompt: str
    viewpoint: str
    """'first_person' or 'third_person'; picks the high-noise expert of a mixture."""
    image: npt.NDArray[np.uint8] | None
    """(H, W, 3) RGB start image at the preset's size, in the first clip only."""
    keyboard: Float32
    """(F, 6) of the clip's frames, in {0, 1}: W, S, A, D and two unused columns; F = 57 or 56."""
    mouse: Float32
    """(F, 2) pitch and yaw a frame in units of 15 degrees."""
    poses: Float64
    """(F, 5) poses of the clip's frames S … E-1."""
    predict_range: tuple[int, int]
    """Latent indices [start, stop) of the clip's latents in the whole video."""
    past: Array | None
    """(C, 4, h, w) clean past latents, None in the first clip."""
    memory: MemoryView | None
    """None in the first clip."""
    query_poses: Float64 | None
    """(M, 5) poses of the query frames, None in the first clip."""
