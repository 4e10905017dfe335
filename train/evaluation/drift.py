"""A minute of play: does it stay sharp, keep its colours, and remain the place that it began in?

The way goes out along one path and back to the start, farther each time, so that the last frame of a minute stands
where the first one stood.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import torch
from torch import Tensor

from ...model.poses import Float32
from .metrics import contrast, mean_colour, psnr, sharpness, shrink, ssim, to_signed
from .moves import Moves, frames_of, there_and_back
from .player import OnChunk, Play, Player, Trip, play_through
from .report import Aim, Picture, Report, Row, Table, Tally, mean_of, number
from .scenes import Scene, others_like

LEGS = (1, 2, 3, 4, 5, 5)
"""Lengths of the ways out, relative to each other."""
LEAST_SEEN = 0.1
"""Frames of which the start image shows a smaller share are not compared with the truth pixel by pixel."""
_MATCH_SHRINK = 4
_TIMES = 6
"""Rows of the table over time."""
_SHOWN = 10
"""Frames of a strip."""
_RECOGNISED_AIM = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class DriftConfig:
    """How long is played, and what the worlds are told apart from."""

    chunks: int = 60
    """2,417 frames."""
    others: int = 7
    """Other held-out worlds of the same kind, among which the true one has to be the best match."""

    @property
    def frames(self) -> int:
        return frames_of(self.chunks)

    @property
    def legs(self) -> tuple[int, ...]:
        """Rows of each way out."""
        return tuple((self.frames - 1) // 2 * leg // sum(LEGS) for leg in LEGS)


def excursions(path: Moves, legs: Sequence[int], frames: int) -> Moves:
    """Out along the first rows of a path and back, for each leg; then stillness up to `frames` rows."""
    return reduce(add, (there_and_back(path.cut(0, leg)) for leg in legs)).filled(frames)


def total_chunks(config: DriftConfig, worlds: int) -> int:
    """Chunks that `measure` plays."""
    return config.chunks * worlds


def measure(
    player: Player[Play], walks: Sequence[tuple[Scene, Moves]], config: DriftConfig, on_chunk: OnChunk
) -> Report:
    """Plays every scene along its path, which has at least as many rows as the longest leg."""
    over_time, returns = Tally("chunk"), Tally("return at frame")
    pictures: dict[str, Picture] = {}
    home = np.cumsum([2 * leg for leg in config.legs])
    trips = [Trip(scene=scene, moves=excursions(path, config.legs, config.frames)) for scene, path in walks]
    for trip, frames in zip(trips, play_through(player, trips, on_chunk), strict=True):
        scene, poses = trip.scene, trip.moves.poses()
        others = others_like(scene, config.others)
        for chunk, at in enumerate(sampled_frames(config.chunks)):
            over_time.add(chunk, **against_truth(scene, others, frames[at], poses[at]))
        for frame in home.tolist():
            returns.add(frame, **against_truth(scene, others, frames[[frame]], poses[[frame]]))
        pictures[f"drift-{scene.seed}"] = _strips(scene, frames, poses, [0, *home.tolist()])
    rows = over_time.rows()
    home_again = number(returns.rows()[-1]["recognised"])
    late = mean_of([number(row["recognised"]) for row in rows[-max(1, len(rows) // _TIMES) :]])
    return Report(
        title="Drift",
        settings={
            "chunks": config.chunks, "others": config.others, "worlds": [scene.seed for scene, _ in walks],
            "legs": list(config.legs),
        },
        details={"chunks": rows},
        tables=[
            _table("Over time", "frames", _in_spans(rows)),
            _table("Back at the start", "return at frame", returns.rows()),
        ],
        aims=[
            Aim(what="recognised at the last return to the start", value=home_again, limit=_RECOGNISED_AIM),
            Aim(what="recognised wherever it is in the last sixth", value=late, limit=_RECOGNISED_AIM),
        ],
        pictures=pictures,
    )  # fmt: skip


def sampled_frames(chunks: int) -> list[list[int]]:
    """The middle and the last frame of each chunk."""
    stops = [frames_of(chunk + 1) for chunk in range(chunks)]
    starts = [0, *stops[:-1]]
    return [[(start + stop) // 2, stop - 1] for start, stop in zip(starts, stops, strict=True)]


def against_truth(scene: Scene, others: Sequence[Scene], frames: Tensor, poses: Float32) -> dict[str, Tensor]:
    """Figures of a few frames (F, H, W, 3) beside the truth at their model poses (F, 5), one number each or NaN."""
    truth, made = to_signed(scene.truth(poses)), to_signed(frames)
    seen = scene.seen(poses)
    share = seen.float().mean(dim=(-2, -1))
    seen = seen & (share >= LEAST_SEEN)[:, None, None]
    best = nearest_world([scene, *others], frames[-1:], poses[-1:])
    return {
        "seen": share,
        "psnr": psnr(made, truth, seen),
        "ssim": ssim(made, truth, seen),
        "sharpness": sharpness(made).mean() / sharpness(truth).mean(),
        "colour": (mean_colour(made) - mean_colour(truth)).abs().mean(),
        "contrast": contrast(made).mean() / contrast(truth).mean(),
        "recognised": (best == 0).float(),
    }


def nearest_world(scenes: Sequence[Scene], frames: Tensor, poses: Float32) -> Tensor:
    """(F,) which of the scenes looks most like each frame at its model pose, by PSNR at a quarter of the size."""
    views = [to_signed(scene.truth(poses, _MATCH_SHRINK)) for scene in scenes]
    small = shrink(to_signed(frames), *views[0].shape[-2:])
    return torch.stack([psnr(small, view) for view in views]).argmax(dim=0)


def _in_spans(rows: Sequence[Row]) -> list[Row]:
    """Rows of the chunks' means over some spans of equal length."""
    spans = np.array_split(np.arange(len(rows)), min(_TIMES, len(rows)))
    return [
        {
            "frames": f"{0 if span[0] == 0 else frames_of(int(span[0]))}–{frames_of(int(span[-1]) + 1) - 1}",
            **{key: mean_of([number(rows[i][key]) for i in span]) for key in _FIGURES},
        }
        for span in spans
    ]


_FIGURES = {
    "seen": "share the start shows", "psnr": "PSNR there", "ssim": "SSIM there", "sharpness": "sharpness (truth = 1)",
    "colour": "colour error, of 255", "contrast": "contrast (truth = 1)", "recognised": "own world matches best",
}  # fmt: skip


def _table(title: str, first: str, rows: Sequence[Row]) -> Table:
    return Table(title=title, columns={first: first, **_FIGURES}, rows=rows)


def _strips(scene: Scene, frames: Tensor, poses: Float32, home: list[int]) -> Picture:
    """Truth above play, evenly over the time, then at the start and at each return to it."""
    evenly = torch.linspace(0, len(frames) - 1, _SHOWN).long().tolist()
    return [view for at in (evenly, home) for view in (scene.truth(poses[at]).numpy(), frames[at].numpy())]
