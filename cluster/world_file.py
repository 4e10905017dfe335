"""Worlds as files: exported without what belongs to their players, and checked when they come in. No Ray, no torch.

The file is described in `memory.archive`. Files come from anywhere, so all that an engine or a decoder will see is
checked against the preset: its own numbers cannot harm a worker that other sessions share.
"""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np

from ..errors import SnapshotInvalid
from ..memory.archive import pack_world, unpack_world
from ..memory.records import ChunkRecord
from ..memory.world import World, bare
from ..model.clip import FIRST_CLIP_LATENTS, NEW_LATENTS
from ..model.mixture import HIGH_NOISE
from ..model.preset import Preset
from .events import Pose
from .world_header import pack_origin, unpack_origin

LATENTS_DTYPE = np.dtype(ml_dtypes.bfloat16)
FARTHEST = 1e7
"""Of a pose, in units or degrees."""
LARGEST_TURN = 24.0
"""Of a frame, in units of 15 degrees."""


def pack_file(world: World, origin: Pose) -> bytes:
    """The world with all its branches, and nothing of its player."""
    plain = bare(world)
    return pack_world(replace(plain, header=replace(plain.header, extra=pack_origin(origin))))


def unpack_file(blob: bytes, preset: Preset) -> tuple[World, Pose]:
    """A world of this preset, and where its game has its first camera. Raises SnapshotInvalid on anything else."""
    world = unpack_world(blob)
    origin = unpack_origin(world.header.extra)
    check_fits(world, preset)
    return bare(world), origin


def check_fits(world: World, preset: Preset) -> None:
    """Raises SnapshotInvalid unless the preset could have made the world."""
    header, video = world.header, preset.video
    if header.preset != preset.name:
        raise SnapshotInvalid(
            f"the world is of preset {header.preset!r}, not of {preset.name!r}",
            hint=f"Give it to a service that runs {header.preset!r}.",
        )
    if header.image.shape != (video.height, video.width, 3):
        raise _misfit(f"the start image has shape {header.image.shape}, not {(video.height, video.width, 3)}")
    if header.viewpoint not in HIGH_NOISE:
        raise _misfit(f"there is no viewpoint {header.viewpoint!r:.40}")
    openings = (branch.opening.prompt for branch in world.branches.values())
    for prompt in {header.prompt, *openings, *(record.prompt for record in world.records())}:
        if prompt is not None and len(prompt) > preset.limits.prompt_chars:
            raise _misfit(f"a prompt has {len(prompt)} characters, more than {preset.limits.prompt_chars}")
    for record in world.records():
        _check_chunk(record, preset)


def _check_chunk(record: ChunkRecord, preset: Preset) -> None:
    place, latents = f"chunk {record.chunk} of branch {record.branch}", record.latents
    count = FIRST_CLIP_LATENTS if record.chunk == 0 else NEW_LATENTS
    shape = (preset.latent_channels, count, preset.latent_height, preset.latent_width)
    if (latents.shape, latents.dtype) != (shape, LATENTS_DTYPE):
        raise _misfit(f"{place} has latents {latents.shape} of {latents.dtype}, not {shape} of {LATENTS_DTYPE}")
    if not np.isfinite(latents.astype(np.float32)).all():
        raise _misfit(f"{place} has latents that are no numbers")
    # NaN is in no range.
    if not (np.abs(record.poses) <= FARTHEST).all():
        raise _misfit(f"{place} has poses beyond ±{FARTHEST:g}")
    if not np.isin(record.keyboard, (0, 1)).all() or not (np.abs(record.mouse) <= LARGEST_TURN).all():
        raise _misfit(f"{place} has actions that nobody can send")


def _misfit(what: str) -> SnapshotInvalid:
    return SnapshotInvalid(
        what, hint="The file is not from worldloom, or from another release. Export the world again."
    )
