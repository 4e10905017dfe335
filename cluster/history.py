"""Between the model's values and the store's: neither package imports the other."""

from __future__ import annotations

from ..memory.records import ChunkRecord, Float64, RetrievedView, Snapshot
from ..model.clip import PAST_FRAMES, Array, ClipInputs, MemoryView, WorldState
from .camera_origin import placed
from .events import ORIGIN, Pose
from .messages import RememberedView


def state_of(snapshot: Snapshot) -> WorldState:
    """What the next clip depends on."""
    return WorldState(
        seed=snapshot.header.seed,
        branch=snapshot.branch,
        chunk=snapshot.chunk,
        poses=snapshot.poses,
        past=snapshot.past,
        keyboard=snapshot.keyboard[-PAST_FRAMES:],
        mouse=snapshot.mouse[-PAST_FRAMES:],
    )


def memory_of(view: RetrievedView) -> MemoryView:
    """What retrieval found, as a clip's memory."""
    return MemoryView(
        latents=view.latents,
        frame_idx=view.frame_idx,
        frame_idx_raw=view.frame_idx_raw,
        latent_idx=view.latent_idx,
        overlap=view.overlap,
        poses=view.poses,
    )


def record_of(clip: ClipInputs, latents: Array, *, first_frame_id: int) -> ChunkRecord:
    """What a clip adds to its world."""
    new = slice(-clip.num_new_frames, None)
    return ChunkRecord(
        branch=clip.branch,
        chunk=clip.chunk,
        latents=latents,
        poses=clip.poses[new],
        keyboard=clip.keyboard[new],
        mouse=clip.mouse[new],
        prompt=clip.prompt,
        first_frame_id=first_frame_id,
    )


def remembered_by(clip: ClipInputs, origin: Pose = ORIGIN) -> tuple[RememberedView, ...]:
    """What the clip is shown of the past, in the coordinates of a game that has the world's first frame at `origin`."""
    memory = clip.memory
    if memory is None:
        return ()
    views = zip(memory.frame_idx, placed(memory.poses, origin), memory.overlap, strict=True)
    return tuple(
        RememberedView(frame=int(frame), pose=pose_of(pose), overlap=float(overlap)) for frame, pose, overlap in views
    )


def pose_of(row: Float64) -> Pose:
    """A pose row (5,) as numbers."""
    x, y, z, pitch, yaw = (float(value) for value in row)
    return x, y, z, pitch, yaw
