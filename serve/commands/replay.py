"""`worldloom replay`: an exported world, shown and made again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from ...memory.archive import unpack_world
from ...model.preset import Preset
from ..actions import Actions
from .model_options import chosen_preset, model_options

if TYPE_CHECKING:
    from ...memory.world import World

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
OUT_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("file", type=FILE)
@click.option("--check", is_flag=True, help="Make every chunk again and compare all bits.")
@click.option("--out", type=OUT_FILE, help="Write a branch's frames as a clip (H.264).")
@click.option("--branch", type=click.IntRange(min=0), help="Of the clip (default: the one that grows).")
@model_options(default="")
@click.option("--device", default="auto", show_default=True, help="'cpu', 'cuda:0', …; 'auto' takes a GPU if any.")
def replay(
    file: Path,
    check: bool,
    out: Path | None,
    branch: int | None,
    preset: str,
    weights: Path | None,
    random_weights: bool,
    precision: str | None,
    decoder: str | None,
    device: str,
) -> int:
    """Show what an exported world holds, and whether this machine makes the same of it.

    FILE comes from a session's export or from World.export_world. Without --preset, the world's own is taken. The exit
    status is 1 if the check finds a difference.
    """
    from ...cluster.world_file import check_fits

    world = unpack_world(file.read_bytes())
    model = chosen_preset(
        preset or world.header.preset,
        weights=weights,
        random_weights=random_weights,
        precision=precision,
        decoder=decoder,
    )
    check_fits(world, model)
    click.echo(summary_of(world))
    if out is not None:
        click.echo(f"{write_branch(world, model, branch, out=out, device=device)} frames to {out}")
    return check_world(world, model, device) if check else 0


def summary_of(world: World) -> str:
    """What the file holds, in a line."""
    records, header = world.records(), world.header
    frames = sum(record.num_frames for record in records)
    return (
        f"preset {header.preset}, seed {header.seed}, {header.viewpoint.replace('_', ' ')}; branches: "
        f"{len(world.branches)}, chunks: {len(records)}, frames: {frames}, next frame id: {world.next_frame_id}"
    )


def write_branch(world: World, preset: Preset, branch: int | None, *, out: Path, device: str) -> int:
    """Decode a branch into a clip with its keys. Returns its frames."""
    from ...cluster.engines import make_decoder
    from ...cluster.replay import frames_of
    from ..clips import ClipWriter

    video = preset.video
    with ClipWriter(out, width=video.width, height=video.height, frame_rate=video.frame_rate) as writer:
        for record, frames in frames_of(world, make_decoder(preset, device), branch):
            actions = Actions(keyboard=record.keyboard, mouse=np.clip(record.mouse, -1, 1))
            for frame, held in zip(frames, actions.rows(), strict=True):
                writer.write(frame, held)
        return writer.frames


def check_world(world: World, preset: Preset, device: str) -> int:
    """Make the world again and print what came of it, chunk by chunk. Returns the exit status."""
    from ...cluster.engines import make_decoder, make_engine
    from ...cluster.replay import replay as replay_world

    digest, chunks, wrong = hashlib.sha256(), 0, 0
    for chunk in replay_world(world, make_engine(preset, device), make_decoder(preset, device)):
        record = chunk.record
        digest.update(chunk.frames.data)
        chunks += 1
        if not chunk.is_equal:
            wrong += 1
            parts = {
                "latents": chunk.are_latents_equal,
                "frames": chunk.are_frames_equal,
                "poses": chunk.are_poses_equal,
            }
            differing = ", ".join(name for name, is_equal in parts.items() if not is_equal)
            click.echo(
                f"branch {record.branch} chunk {record.chunk}: other {differing} "
                f"(latents by up to {chunk.largest_difference:.3g})"
            )
    told = "all chunks have the same bits" if not wrong else f"{wrong} of {chunks} chunks differ"
    click.echo(f"chunks made again: {chunks}; {told}; frames sha256 {digest.hexdigest()[:16]}")
    return 1 if wrong else 0
