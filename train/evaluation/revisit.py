"""The revisit test: actions, then their exact reverse. Does a place look as it did when it was left?

Going out takes `turn` rows, so frame turn + d stands where frame turn - d stood, and the two lie 2d frames, d/2
latents, apart. The way out turns the camera away from the start, so that for the far pairs only memory can know what
was there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...model.poses import Float32
from .metrics import psnr, sharpness, ssim, to_signed
from .moves import CAMERA_KEY, SAME_POSE, Moves, apart, chunks_for, frames_of, hold, there_and_back
from .player import OnChunk, Play, Player, Trip, play_through
from .recall import Policy
from .report import Aim, Picture, Report, Table, Tally, number
from .scenes import Scene

LEAST_SEEN = 0.1
"""Frames of which the start image shows a smaller share are not compared with the truth."""
CORNER_FRAMES = 60
"""Frames in which a held camera key turns by 90 degrees."""
_FRAMES_PER_LATENT = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class RevisitConfig:
    """Which pairs are compared."""

    turn: int = 208
    """Rows of the way out."""
    gaps: tuple[int, ...] = (48, 96)
    """Latents between two visits."""
    spread: int = 4
    """Pairs with up to so many latents more or fewer count for a gap too."""
    floor_pairs: int = 64
    """Random pairs of frames that tell how alike any two views of one world are."""
    policies: tuple[Policy, ...] = tuple(Policy)

    @property
    def chunks(self) -> int:
        """Chunks of one rollout."""
        return chunks_for(2 * self.turn + 1)


def way_out(turn: int, index: int = 0) -> Moves:
    """A way of `turn` rows that walks round two corners of 90 degrees; every second one goes left.

    The last part walks on, so that a view between the corners is out of sight at the far end.
    """
    corner = min(CORNER_FRAMES, turn // 3)
    walks = (turn - 2 * corner) // 3
    yaw = CAMERA_KEY * CORNER_FRAMES / corner
    moves = hold("W", frames=walks) + hold(yaw=yaw, frames=corner) + hold("W", frames=walks)
    moves += hold(yaw=yaw, frames=corner)
    moves += hold("W", frames=turn - len(moves))
    return moves if index % 2 == 0 else moves.mirrored()


def visits(turn: int, gap: int, spread: int) -> list[tuple[int, int]]:
    """(first, second) frames with equal poses that lie gap - spread … gap + spread latents apart, nearest first."""
    nearest = max(1, (gap - spread) * _FRAMES_PER_LATENT // 2)
    farthest = min(turn, (gap + spread) * _FRAMES_PER_LATENT // 2)
    return [(turn - d, turn + d) for d in range(nearest, farthest + 1)]


def total_chunks(config: RevisitConfig, worlds: int) -> int:
    """Chunks that `measure` plays."""
    return config.chunks * len(config.policies) * worlds


def measure(player: Player[Play], scenes: Sequence[Scene], config: RevisitConfig, on_chunk: OnChunk) -> Report:
    """Plays every scene, made for `way_out(turn)`, under every policy, and compares first with second visits."""
    visited, floor = Tally("memory", "gap"), Tally("memory")
    pictures: dict[str, Picture] = {}
    ways = [
        there_and_back(way_out(config.turn, index)).filled(frames_of(config.chunks)) for index in range(len(scenes))
    ]
    trips = [
        Trip(scene=scene, moves=moves, policy=policy)
        for scene, moves in zip(scenes, ways, strict=True)
        for policy in config.policies
    ]
    films = iter(play_through(player, trips, on_chunk))
    for scene, moves in zip(scenes, ways, strict=True):
        poses = moves.poses()
        shown: Picture = []
        for policy in config.policies:
            frames = next(films)
            for gap in config.gaps:
                pairs = visits(config.turn, gap, config.spread)
                visited.add(policy.value, gap, **compare(scene, poses, frames, pairs))
            floor.add(policy.value, **compare_random(frames, config.floor_pairs, scene.seed))
            shown += _visit_rows(frames, config)
        pictures[f"revisit-{scene.seed}"] = [*_truth_rows(scene, poses, config), *shown]
    tables = [_visit_table(visited), _floor_table(floor)]
    settings = {
        "turn": config.turn, "gaps": list(config.gaps), "spread": config.spread, "worlds": [s.seed for s in scenes],
    }  # fmt: skip
    return Report(title="Revisit", settings=settings, tables=tables, aims=_aims(tables[0], config), pictures=pictures)


def compare(scene: Scene, poses: Float32, frames: Tensor, pairs: Sequence[tuple[int, int]]) -> dict[str, Tensor]:
    """Figures of the pairs: between both visits, and of each visit against what the start image shows of the truth."""
    first, second = (list(side) for side in zip(*pairs, strict=True))
    assert apart(poses[first], poses[second]) < SAME_POSE, "frames pair up whose poses differ"
    truth_frames, seen = scene.truth(poses[first]), scene.seen(poses[first])
    truth = to_signed(truth_frames)
    seen = seen & (seen.float().mean(dim=(-2, -1), keepdim=True) >= LEAST_SEEN)
    before, after = to_signed(frames[first]), to_signed(frames[second])
    return {
        "psnr": psnr(after, before),
        "ssim": ssim(after, before),
        "psnr_first": psnr(before, truth, seen),
        "psnr_second": psnr(after, truth, seen),
        "ssim_first": ssim(before, truth, seen),
        "ssim_second": ssim(after, truth, seen),
        "sharpness": sharpness(after).mean() / sharpness(truth).mean(),
    }


def compare_random(frames: Tensor, pairs: int, seed: int) -> dict[str, Tensor]:
    """PSNR and SSIM of random pairs of different frames."""
    draw = torch.rand(pairs, len(frames), generator=torch.Generator().manual_seed(seed))
    first, second = (to_signed(frames[at]) for at in draw.topk(2, dim=1).indices.T)
    return {"psnr": psnr(first, second), "ssim": ssim(first, second)}


def _visit_table(visited: Tally) -> Table:
    columns = {
        "memory": "memory", "gap": "latents apart", "psnr": "PSNR, second to first visit", "ssim": "SSIM",
        "psnr_first": "PSNR to truth, first", "psnr_second": "second", "ssim_first": "SSIM to truth, first",
        "ssim_second": "second ", "sharpness": "sharpness, second (truth = 1)",
    }  # fmt: skip
    return Table(title="Second visit against first", columns=columns, rows=visited.rows())


def _floor_table(floor: Tally) -> Table:
    columns = {"memory": "memory", "psnr": "PSNR", "ssim": "SSIM"}
    return Table(title="Floor: random pairs of frames of one world", columns=columns, rows=floor.rows())


def _aims(table: Table, config: RevisitConfig) -> list[Aim]:
    gap = max(config.gaps)
    if not {Policy.CAMERA, Policy.RECENT, Policy.NONE} <= set(config.policies):
        return []
    best = table.row(memory=Policy.CAMERA.value, gap=gap)
    aims = []
    for policy in (Policy.NONE, Policy.RECENT):
        other = table.row(memory=policy.value, gap=gap)
        for key, limit, unit in (("psnr", 3.0, "dB"), ("ssim", 0.15, "SSIM")):
            what = f"camera-retrieved over {policy.value} memory at {gap} latents, {unit}"
            aims.append(Aim(what=what, value=number(best[key]) - number(other[key]), limit=limit))
    return aims


def _frames_shown(config: RevisitConfig) -> list[int]:
    """The start, the first visits, the turning point, the second visits and the end."""
    out = sorted(config.turn - 2 * gap for gap in config.gaps if 2 * gap <= config.turn)
    return [0, *out, config.turn, *(2 * config.turn - frame for frame in reversed(out)), 2 * config.turn]


def _visit_rows(frames: Tensor, config: RevisitConfig) -> Picture:
    return [frames[_frames_shown(config)].numpy()]


def _truth_rows(scene: Scene, poses: Float32, config: RevisitConfig) -> Picture:
    return [scene.truth(poses[_frames_shown(config)]).numpy()]
