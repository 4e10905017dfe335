"""Seconds that retrieval takes for ten minutes of world, on one CPU thread.

    OMP_NUM_THREADS=1 python ops/bench/memory_retrieval.py [--frames 24000] [--runs 5] [--out RESULT.json]

Five worlds: one explores ever new ground, two are played by keys or by mouse, one turns on the spot for ten minutes
(many frames see almost the same, so few can be ruled out), one never moves. Each is timed as the store is asked, five
queries at once, against counting every frame, which also checks that the choices are equal.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from worldloom.memory.frustum import axes_of, positions_of
from worldloom.memory.retrieval import count_visible, select_frames, world_points
from worldloom.model.clip import LATER_CLIP_FRAMES, QUERY_OFFSETS
from worldloom.model.poses import integrate_poses

Float64 = npt.NDArray[np.float64]

PITCH_LIMIT = 2.0
"""Units of 15 degrees that a player looks up or down."""
SEED = 0


def explore(keyboard: Float64, mouse: Float64, random: np.random.Generator) -> None:
    keyboard[:, 0] = 1
    mouse[:, 1] = random.choice([-0.1, 0, 0, 0.1])


def play_by_keys(keyboard: Float64, mouse: Float64, random: np.random.Generator) -> None:
    choice = random.integers(0, 9)
    if choice < 4:
        keyboard[:, choice] = 1
    else:
        mouse[:, int(choice < 8)] = random.choice([-0.1, 0.1])


def play_by_mouse(keyboard: Float64, mouse: Float64, random: np.random.Generator) -> None:
    keyboard[:, random.integers(0, 4)] = 1
    mouse[:] = random.normal(0, 0.15, mouse.shape) * [0.3, 1]


def turn_on_the_spot(keyboard: Float64, mouse: Float64, random: np.random.Generator) -> None:
    mouse[:, 1] = random.uniform(-0.2, 0.2)


def stand_still(keyboard: Float64, mouse: Float64, random: np.random.Generator) -> None:
    """Leaves all actions at 0."""


Player = Callable[[Float64, Float64, np.random.Generator], None]
PLAYERS: tuple[Player, ...] = (explore, play_by_keys, play_by_mouse, turn_on_the_spot, stand_still)


def world_of(player: Player, num_frames: int) -> Float64:
    """Poses (F, 5) of a world in which a player decides again every 5 to 60 frames."""
    random = np.random.default_rng(SEED)
    keyboard, mouse = np.zeros((num_frames, 6)), np.zeros((num_frames, 2))
    start = 0
    while start < num_frames:
        rows = slice(start, start + int(random.integers(5, 60)))
        player(keyboard[rows], mouse[rows], random)
        start = rows.stop
    mouse[:, 0] = np.diff(np.clip(np.cumsum(mouse[:, 0]), -PITCH_LIMIT, PITCH_LIMIT), prepend=0)
    return integrate_poses(keyboard.astype(np.float32), mouse.astype(np.float32)).astype(np.float64)


def count_every_frame(queries: Float64, candidates: Float64) -> list[int]:
    """The frames that `select_frames` must choose, found without ruling any out."""
    axes, positions = axes_of(candidates), positions_of(candidates)
    chosen = []
    for query in zip(axes_of(queries), positions_of(queries), strict=True):
        points = world_points(*query)
        counts = [
            count_visible(points, axes[start : start + 32], positions[start : start + 32])
            for start in range(0, len(axes), 32)
        ]
        chosen.append(int(np.concatenate(counts).argmax()) + 1)
    return chosen


def measure(player: Player, num_frames: int, runs: int) -> dict[str, float | int]:
    poses = world_of(player, num_frames)
    stop = num_frames - LATER_CLIP_FRAMES
    queries = poses[[-offset for offset in QUERY_OFFSETS]]
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        found = select_frames(queries, poses, stop)
        times.append(time.perf_counter() - started)
    started = time.perf_counter()
    plain = count_every_frame(queries, poses[1:stop])
    plain_s = time.perf_counter() - started
    if found.frame_idx_raw.tolist() != plain:
        raise SystemExit(f"{player.__name__}: chose {found.frame_idx_raw.tolist()}, counting gives {plain}")
    return {
        "distinct_poses": len(np.unique(poses, axis=0)),
        "median_s": round(float(np.median(times)), 4),
        "worst_s": round(max(times), 4),
        "count_every_frame_s": round(plain_s, 2),
    }


def machine() -> dict[str, str]:
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text().splitlines() if cpu_info.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    return {
        "cpu": models[0] if models else platform.processor(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "commit": commit.stdout.strip(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=24000, help="ten minutes at 40 frames a second")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":
        parser.error("set OMP_NUM_THREADS=1: NumPy reads it when it starts")
    worlds = {}
    for player in PLAYERS:
        worlds[player.__name__] = measure(player, options.frames, options.runs)
        print(player.__name__, worlds[player.__name__], flush=True)
    result = {"machine": machine(), "threads": 1, "frames": options.frames, "runs": options.runs, "worlds": worlds}
    options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
