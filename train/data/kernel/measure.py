"""Checks the kernel against PyTorch and times both: `python -m worldloom.train.data.kernel.measure [figures.json]`.

Needs a GPU and takes about half a minute, most of it compiling one kernel a tile shape.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from ..paths import sample_episodes
from ..render import GPU_PASS, reference_pass
from ..worlds import HELD_OUT_FROM, Worlds, sample_worlds
from .launch import TILE, Tile, render_frames

SIZE = (128, 224)
FINENESS = 16
SLOTS = 16
"""With these `reference_pass` is as good as exact."""
TILES = (
    TILE,
    Tile(rows=2, columns=4),
    Tile(rows=2, columns=8),
    Tile(rows=4, columns=8),
    Tile(rows=4, columns=8, warps=2),
)
REPEATS = 5


def deviations(worlds: Worlds, poses: Tensor, size: tuple[int, int] = SIZE, tile: Tile = TILE) -> Tensor:
    """(B, H, W) largest difference of a channel, in steps of 8 bits, between the two renderers at (B, 5) poses."""
    world = torch.arange(len(worlds), device=worlds.device)
    ours = render_frames(worlds, world, poses, *size, 2, tile).int()
    exact = [
        reference_pass(worlds, at, pose, *size, 2, fineness=FINENESS, slots=SLOTS).int()
        for at, pose in zip(torch.split(world, 1), torch.split(poses, 1), strict=True)
    ]
    return (ours - torch.cat(exact)).abs().amax(-1)


def figures(worlds: Worlds, poses: Tensor) -> Iterator[tuple[str, float]]:
    """Names and values: agreement on one frame of each world, then frames a second. poses: (B, F, 5)."""
    off = deviations(worlds, poses[:, poses.shape[1] // 2]) > 2
    for index, attributes in enumerate(worlds.attributes):
        yield f"off_share_{attributes.kind}_{attributes.time}_{worlds.seeds[index]}", float(off[index].float().mean())
    yield "off_share", float(off.float().mean())
    batch, frames = poses.shape[:2]
    world = torch.arange(batch, device=poses.device).repeat_interleave(frames)
    flat = poses.flatten(0, 1)
    for tile in TILES:

        def run(tile: Tile = tile) -> Tensor:
            return render_frames(worlds, world, flat, *SIZE, 2, tile)

        yield f"kernel_{tile.rows}x{tile.columns}_{tile.warps}_frames_per_s", _rate(run, len(flat))
    yield (
        "pytorch_frames_per_s",
        _rate(lambda: reference_pass(worlds, world[:GPU_PASS], flat[:GPU_PASS], *SIZE, 2), GPU_PASS),
    )


def _rate(run: Callable[[], Tensor], frames: int) -> float:
    def seconds() -> float:
        torch.cuda.synchronize()
        started = time.perf_counter()
        run()
        torch.cuda.synchronize()
        return time.perf_counter() - started

    seconds()
    return frames / statistics.median(seconds() for _ in range(REPEATS))


def main() -> int:
    """Prints the figures as they come; 1 if the two renderers disagree on more than one pixel in 200."""
    drawn = sample_worlds(range(HELD_OUT_FROM, HELD_OUT_FROM + 16))
    poses = sample_episodes(drawn, 161, 0).poses.to("cuda")
    found = {}
    for name, value in figures(drawn.to("cuda"), poses):
        print(f"{name:44} {value:12.5f}", flush=True)
        found[name] = value
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(found, indent=1) + "\n")
    return int(found["off_share"] > 0.005)


if __name__ == "__main__":
    raise SystemExit(main())
