"""Between the model's values and the store's: neither package imports the other."""

from __future__ import annotations

from ..memory.records import ChunkRecord, RetrievedView, Snapshot
from ..model.clip import PAST_FRAMES, Array, ClipInputs, MemoryView, WorldState


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
