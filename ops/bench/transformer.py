"""How long do a forward and its preparation take in each precision, on one GPU, and where does the time go?

    PYTHONPATH=typings python ops/bench/transformer.py --json RESULT.json [--preset mg3-5b]

Random weights, drawn on the GPU; a later clip with memory, all of whose inputs are random. Says how far each precision
is from the exact blocks, relatively, and whether it gives the same bits twice.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from worldloom.model.conditioning import Conditioning
from worldloom.model.fast import fuse
from worldloom.model.init import init_weights
from worldloom.model.precision import Precision
from worldloom.model.preset import load_preset
from worldloom.model.transformer import WorldTransformer
from worldloom.model.transformer_config import PLUCKER_CHANNELS, TransformerConfig

DEVICE = torch.device("cuda")
MEMORY, PAST, NEW = 5, 4, 10
PROMPT_ROWS = 77
ROUNDS = 4


class Clip:
    """Random inputs of a later clip."""

    def __init__(self, config: TransformerConfig, grid: tuple[int, int]) -> None:
        generator = torch.Generator(DEVICE).manual_seed(1)

        def noise(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, device=DEVICE)

        frames, rows = MEMORY + PAST + NEW, 4 * (PAST + NEW)
        self.x = noise(1, config.in_dim, PAST + NEW, *grid)
        self.memory = noise(1, config.in_dim, MEMORY, *grid)
        self.inputs = {
            "context": noise(PROMPT_ROWS, config.text_dim),
            "plucker": noise(1, PLUCKER_CHANNELS, frames, *grid).bfloat16(),
            "predict_range": (20, 20 + PAST + NEW),
            "keyboard": noise(1, rows, 6),
            "mouse": noise(1, rows, 2),
            "memory_keyboard": noise(1, MEMORY, 6),
            "memory_mouse": noise(1, MEMORY, 2),
            "memory_latent_idx": torch.arange(MEMORY),
        }
        positions = grid[0] // config.patch_size[1] * (grid[1] // config.patch_size[2])
        self.segments = ((MEMORY + PAST) * positions, NEW * positions)
        self.timesteps = torch.tensor([0.0, 700.0], device=DEVICE)

    def prepare(self, model: WorldTransformer) -> Conditioning:
        return model.prepare(**self.inputs)

    def velocity(self, model: WorldTransformer, conditioning: Conditioning) -> Tensor:
        out: Tensor = model(
            self.x, timesteps=self.timesteps, segments=self.segments, conditioning=conditioning, memory=self.memory,
            skip=PAST,
        )  # fmt: skip
        return out


def timed(run: Callable[[], object], rounds: int = ROUNDS) -> tuple[float, float]:
    """Milliseconds on the GPU for each of `rounds` runs in a row, and of the host to launch them."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    began = time.perf_counter()
    start.record()
    for _ in range(rounds):
        run()
    end.record()
    host = time.perf_counter() - began
    end.synchronize()
    return start.elapsed_time(end) / rounds, host * 1e3 / rounds


def measure(model: WorldTransformer, clip: Clip, exact: Tensor | None) -> tuple[dict[str, object], Tensor]:
    """Figures of one precision, and its velocity."""
    began = time.perf_counter()
    conditioning = clip.prepare(model)
    velocity = clip.velocity(model, conditioning)
    torch.cuda.synchronize()
    first = time.perf_counter() - began
    again = clip.velocity(model, clip.prepare(model))
    prepare_ms, prepare_host_ms = timed(lambda: clip.prepare(model))
    step_ms, step_host_ms = timed(lambda: clip.velocity(model, conditioning))
    figures: dict[str, object] = {
        "first_s": first,
        "prepare_ms": prepare_ms,
        "prepare_host_ms": prepare_host_ms,
        "step_ms": step_ms,
        "step_host_ms": step_host_ms,
        **measure_chunk(model, clip),
        **measure_graph(model, clip, conditioning, velocity),
        "finite": bool(velocity.isfinite().all()),
        "repeats": torch.equal(velocity, again),
        "memory_gb": torch.cuda.max_memory_allocated() / 1e9,
    }
    if exact is not None:
        figures["error"] = float((velocity - exact).norm() / exact.norm())
    return figures, velocity


def measure_chunk(model: WorldTransformer, clip: Clip) -> dict[str, object]:
    """Of a preparation and three steps, chunk after chunk: the host may run ahead of the GPU."""

    def chunk() -> None:
        conditioning = clip.prepare(model)
        for _ in range(3):
            clip.velocity(model, conditioning)

    chunk_ms, chunk_host_ms = timed(chunk, 3)
    return {"chunk_ms": chunk_ms, "chunk_host_ms": chunk_host_ms}


def measure_graph(
    model: WorldTransformer, clip: Clip, conditioning: Conditioning, velocity: Tensor
) -> dict[str, object]:
    """Of a step as a CUDA graph."""
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            made = clip.velocity(model, conditioning)
        graph.replay()
        same = torch.equal(made, velocity)
        step_ms, host_ms = timed(graph.replay)
    except RuntimeError as error:  # what cannot be captured is a finding
        traceback.print_exc()
        return {"graph_failed": f"{error}"[:200]}
    return {"graph_step_ms": step_ms, "graph_host_ms": host_ms, "graph_repeats": same}


def kernels(name: str, run: Callable[[], object]) -> list[dict[str, object]]:
    """The kernels that take the longest."""
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        run()
        torch.cuda.synchronize()
    everything = profiler.key_averages()
    total = sum(event.self_device_time_total for event in everything) / 1e3
    print(f"{name}: {total:.3f} ms, {sum(event.count for event in everything)} launches", flush=True)
    events = sorted(everything, key=lambda event: -event.self_device_time_total)[:20]
    rows: list[dict[str, object]] = [
        {"kernel": event.key[:90], "ms": event.self_device_time_total / 1e3, "calls": event.count} for event in events
    ]
    for row in rows:
        print(f"{row['ms']:9.3f} ms {row['calls']:6}×  {row['kernel']}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="where to write the figures")
    parser.add_argument("--preset", default="mg3-5b")
    parser.add_argument("--precisions", nargs="+", type=Precision, default=tuple(Precision))
    arguments = parser.parse_args()
    preset = load_preset(arguments.preset)
    assert preset.transformer is not None, "a preset with a transformer"
    with torch.device("meta"):
        model = WorldTransformer(preset.transformer).to(torch.bfloat16).eval()
    model.to_empty(device=DEVICE)
    init_weights(model, 0, fast=True)
    clip = Clip(preset.transformer, (preset.latent_height, preset.latent_width))
    results: dict[str, dict[str, object]] = {}
    results["exact"], exact = measure(model, clip, None)
    print("exact", results["exact"], flush=True)
    for precision in arguments.precisions:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        try:
            fused = copy.deepcopy(model)
            fuse(fused, precision)
            results[precision], _ = measure(fused, clip, exact)
            print(precision, results[precision], flush=True)
            conditioning = clip.prepare(fused)
            results[precision]["kernels of prepare"] = kernels("prepare", lambda m=fused: clip.prepare(m))
            results[precision]["kernels of a step"] = kernels(
                "step", lambda m=fused, c=conditioning: clip.velocity(m, c)
            )
            del conditioning
            del fused
        except Exception as error:  # what fails is a finding, and the rest is still worth its time
            traceback.print_exc()
            results[precision] = {"failed": f"{type(error).__name__}: {error}"[:300]}
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    with torch.inference_mode():
        main()
