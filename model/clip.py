"""One clip of a world: what is planned, what goes into the model, what comes out. NumPy only, pure functions.

A clip is the span of frames one denoising pass sees. The first clip has 57 frames (15 latents, the first of them the
start image). Every later clip has 56 frames: 4 past latents and 10 new ones, which decode to 40 new frames.
A chunk is what a clip adds to the world: 57 frames, later 40.

Poses are rows (x, y, z, pitch, yaw), in units (x forward, y right, z up) and degrees. Extrinsics are camera-to-world.

Actions come one row a frame, and a row has two effects, one frame apart. Row f moves the camera from frame f to frame
f+1. And the rows of a clip's own frames condition its latents. So a later clip, which makes frames E-40 … E-1, takes
the new rows E-40 … E-1: the row before them gives the first new pose, and the last of them moves only the next chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import ActionError, InputError
from .poses import continue_poses, integrate_poses

FIRST_CLIP_FRAMES = 57
LATER_CLIP_FRAMES = 56
NEW_FRAMES = 40
FIRST_CLIP_LATENTS = 15
PAST_LATENTS = 4
NEW_LATENTS = 10
MEMORY_SLOTS = 5
PAST_FRAMES = LATER_CLIP_FRAMES - NEW_FRAMES
QUERY_OFFSETS = (1, 9, 17, 25, 33)
"""The query frames of a clip, counted back from its end."""

Array = npt.NDArray[np.generic]
Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]


OnStep = Callable[[int, int], None]
"""Called after each solver step with the steps done and the steps in all."""


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
    keyboard: Float32
    """(16, 6) action rows of the last 16 frames, which the next clip sees again; (0, 6) before the first chunk."""
    mouse: Float32
    """(16, 2) likewise; (0, 2) before the first chunk."""

    @property
    def num_new_frames(self) -> int:
        """Frames that the next clip adds, each with its action row: 57 or 40."""
        return FIRST_CLIP_FRAMES if self.past is None else NEW_FRAMES


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

    @property
    def num_new_frames(self) -> int:
        """Frames that the clip adds to the world, the last ones of its F: 57 or 40."""
        return FIRST_CLIP_FRAMES if self.past is None else NEW_FRAMES

    @property
    def num_new_latents(self) -> int:
        """Latents that the clip adds to the world: 15 or 10."""
        return FIRST_CLIP_LATENTS if self.past is None else NEW_LATENTS


def initial_state(seed: int, branch: int = 0) -> WorldState:
    """A world before its first chunk."""
    return WorldState(
        seed=seed,
        branch=branch,
        chunk=0,
        poses=np.zeros((0, 5)),
        past=None,
        keyboard=np.zeros((0, 6), np.float32),
        mouse=np.zeros((0, 2), np.float32),
    )


def latent_of_frame(frame: int) -> int:
    """Index of the latent frame that holds a video frame: frame 0 is latent 0, frames 1 … 4 are latent 1."""
    return (frame - 1) // 4 + 1


def plan_clip(
    state: WorldState,
    keyboard: Float32,
    mouse: Float32,
    *,
    prompt: str,
    viewpoint: str,
    image: npt.NDArray[np.uint8] | None,
    retrieve: Retrieve,
) -> ClipInputs:
    """The clip that comes next when the new frames get these actions.

    `keyboard` (n, 6) and `mouse` (n, 2) are the rows of the n = `state.num_new_frames` new frames. `image` (H, W, 3) is
    what the first clip starts from; later clips do not look at it. `retrieve` is asked once in each later clip.

    Raises ActionError on another shape or on numbers that are not finite, InputError on a first clip without an image.
    """
    check_actions(keyboard, mouse, rows=state.num_new_frames)
    if state.past is None:
        return _first_clip(state, keyboard, mouse, prompt=prompt, viewpoint=viewpoint, image=image)
    rows = np.concatenate([state.keyboard, keyboard]), np.concatenate([state.mouse, mouse])
    moves = slice(PAST_FRAMES - 1, LATER_CLIP_FRAMES - 1)
    new_poses = continue_poses(state.poses[-1], rows[0][moves], rows[1][moves])
    poses = np.concatenate([state.poses[-PAST_FRAMES:], new_poses])
    query_poses = poses[[-offset for offset in QUERY_OFFSETS]]
    start_frame = len(state.poses) - PAST_FRAMES
    start_latent = latent_of_frame(start_frame)
    return ClipInputs(
        seed=state.seed,
        branch=state.branch,
        chunk=state.chunk,
        prompt=prompt,
        viewpoint=viewpoint,
        image=None,
        keyboard=rows[0],
        mouse=rows[1],
        poses=poses,
        predict_range=(start_latent, start_latent + PAST_LATENTS + NEW_LATENTS),
        past=state.past,
        memory=retrieve(MemoryQuery(query_poses=query_poses, candidate_stop=start_frame)),
        query_poses=query_poses,
    )


def _first_clip(
    state: WorldState,
    keyboard: Float32,
    mouse: Float32,
    *,
    prompt: str,
    viewpoint: str,
    image: npt.NDArray[np.uint8] | None,
) -> ClipInputs:
    if image is None:
        raise InputError("the first clip of a world has no start image", hint="Give an image to start from.")
    return ClipInputs(
        seed=state.seed,
        branch=state.branch,
        chunk=0,
        prompt=prompt,
        viewpoint=viewpoint,
        image=image,
        keyboard=keyboard,
        mouse=mouse,
        poses=integrate_poses(keyboard, mouse).astype(np.float64),
        predict_range=(0, FIRST_CLIP_LATENTS),
        past=None,
        memory=None,
        query_poses=None,
    )


def check_actions(keyboard: Float32, mouse: Float32, *, rows: int) -> None:
    """Raise ActionError unless `keyboard` is (rows, 6) and `mouse` is (rows, 2), all finite."""
    for name, values, width in (("keyboard", keyboard, 6), ("mouse", mouse, 2)):
        if values.shape != (rows, width):
            raise ActionError(
                f"{name} actions have shape {values.shape}, expected ({rows}, {width})",
                hint=f"Give one row for each of the {rows} new frames.",
            )
        if not np.isfinite(values).all():
            raise ActionError(f"{name} actions are not finite", hint="Replace NaN and infinity by numbers.")


def advance(state: WorldState, clip: ClipInputs, latents: Array) -> WorldState:
    """The world after a clip of it gave new `latents` (C, 15, h, w) or, in later clips, (C, 10, h, w)."""
    if (clip.seed, clip.branch, clip.chunk) != (state.seed, state.branch, state.chunk):
        raise ValueError(
            f"clip of (seed, branch, chunk) {(clip.seed, clip.branch, clip.chunk)} "
            f"does not follow state {(state.seed, state.branch, state.chunk)}"
        )
    if latents.shape[1] != clip.num_new_latents:
        raise ValueError(f"chunk {clip.chunk} got {latents.shape[1]} latents, expected {clip.num_new_latents}")
    return WorldState(
        seed=state.seed,
        branch=state.branch,
        chunk=state.chunk + 1,
        poses=np.concatenate([state.poses, clip.poses[-clip.num_new_frames :]]),
        past=latents[:, -PAST_LATENTS:],
        keyboard=clip.keyboard[-PAST_FRAMES:],
        mouse=clip.mouse[-PAST_FRAMES:],
    )
