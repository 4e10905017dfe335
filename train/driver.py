"""Runs stages of a recipe one after another and sums them up."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..errors import ConfigError
from .base import train_base
from .distill import train_distill
from .export import export, export_all
from .mixture import train_mixture
from .progress import Budget, StageClock, write_metrics
from .prune import folder_name, train_prune
from .recipe import Recipe
from .speed import measure_speed
from .stage import Workplace
from .vae import train_vae

Figures = dict[str, Any]
STAGES = ("speed", "vae", "decoder", "prune", "base", "distill", "mixture", "export", "export-all")
FOREVER_S = 1e9


def run_stage(stage: str, recipe: Recipe, place: Workplace, seconds: float | None = None) -> Figures:
    """One stage; `seconds` is for all of it, from rendering to the last figure. Raises ConfigError."""
    clock = StageClock(seconds)
    runs: dict[str, Callable[[], Figures]] = {
        "vae": lambda: train_vae(recipe.vae, place, clock),
        "decoder": lambda: train_vae(recipe.vae, place, clock, encoder_fixed=True),
        "prune": lambda: train_prune(recipe.prune, place, clock),
        "base": lambda: train_base(recipe.base, place, clock),
        "distill": lambda: train_distill(recipe.distill, place, clock),
        "mixture": lambda: train_mixture(recipe.mixture, place, clock),
        "speed": lambda: measure_speed(recipe, place),
        "export": lambda: dict(export(recipe.export, recipe.mixture, place, place.out / "export")),
        "export-all": lambda: dict(export_all(recipe.export, recipe.mixture, place, place.out / "export-all")),
    }
    if stage not in runs:
        raise ConfigError(f"there is no stage {stage!r}", hint=f"choose from {', '.join(STAGES)}")
    figures = runs[stage]()
    figures["total_s"] = clock.elapsed_s
    if place.device.type == "cuda":
        figures["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
        torch.cuda.reset_peak_memory_stats()
    if place.ranks.is_first:
        write_metrics(place.out / "figures" / f"{stage}.json", figures)
        place.publish()
    place.ranks.wait()
    return figures


def quick(recipe: Recipe) -> Recipe:
    """The same shapes for a few steps each: every kernel is compiled and timed, nothing is learned."""
    vae, prune, base, distill, mixture = recipe.vae, recipe.prune, recipe.base, recipe.distill, recipe.mixture

    def steps(count: int) -> Budget:
        return Budget(seconds=FOREVER_S, steps=count)

    return replace(
        recipe,
        vae=replace(vae, budget=steps(48), render=replace(vae.render, clips=128), stats_clips=16, held_out_clips=2),
        prune=replace(prune, budget=steps(12), render=replace(prune.render, clips=64), held_out_clips=2),
        base=replace(base, budget=steps(64), render=replace(base.render, clips=128)),
        distill=replace(distill, budget=steps(24), render=replace(distill.render, clips=64), rollout_episodes=128),
        mixture=replace(mixture, budget=steps(4), render=replace(mixture.render, clips=64)),
        export=replace(recipe.export, limit_bytes=2**40),
    )


def folders_of(stages: Sequence[str], recipe: Recipe) -> list[str]:
    """Folders that hold the weights of these stages."""
    many = {
        "decoder": ["vae"],
        "prune": [folder_name(rate) for rate in recipe.prune.rates],
        "mixture": list(recipe.mixture.experts),
        "speed": [],
        "export": [],
        "export-all": [],
    }
    return [folder for stage in stages for folder in many.get(stage, [stage])]


def summary(out: Path, stages: Sequence[str]) -> str:
    """A short table of all stages' figures."""
    lines = []
    for stage in stages:
        path = out / "figures" / f"{stage}.json"
        if path.exists():
            figures: Figures = json.loads(path.read_text())
            lines.append(f"[{stage}]")
            lines += [f"  {key:28s} {_number(value)}" for key, value in figures.items()]
    return "\n".join(lines)


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
