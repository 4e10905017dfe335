"""The measurements with everything they need loaded, ready to run behind a progress bar."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from ...errors import ConfigError
from ...model.locations import weights_directory
from ...model.precision import Precision
from ...model.preset import Preset, list_presets, load_preset
from ...model.weights import load_encoder
from ..export import pruned_file
from . import control as control_test
from . import decoder as decoder_test
from . import drift as drift_test
from . import precision as precision_test
from . import revisit as revisit_test
from .moves import there_and_back
from .player import ModelPlayer, OnChunk, Player, TruthPlayer
from .report import Report
from .scenes import Scene, scenes_for_script, scenes_to_explore

BASE_DIRECTORY = "base_model"
BASE_STEPS = 50
PRUNED = (0.5, 0.75)
"""Pruning rates of the decoders that training makes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """What all measurements take."""

    preset: Preset
    device: torch.device
    worlds: int
    seed: int
    """Of the first world, counted from the first held-out one."""
    oracle: bool = False
    """Measure rendered truth in the model's place."""
    at_once: int = 1
    """Worlds played at a time."""

    def __post_init__(self) -> None:
        if self.preset.engine != "rollout":
            raise ConfigError(f"preset {self.preset.name!r} has no model to measure", hint="Choose another preset.")

    def player(self) -> Player[Any]:
        return TruthPlayer() if self.oracle else ModelPlayer.load(self.preset, self.device, self.at_once)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A measurement that reports each of its `total` units of work."""

    total: int
    unit: str
    run: Callable[[OnChunk], Report]


def revisit(setup: Setup, config: revisit_test.RevisitConfig) -> Job:
    """Out and back under every memory policy."""
    player = setup.player()
    scenes: list[Scene] = []
    for index in range(setup.worlds):
        way = there_and_back(revisit_test.way_out(config.turn, index))
        first = setup.seed if not scenes else scenes[-1].number + 1
        scenes += scenes_for_script(way, 1, first, setup.preset.video, setup.device)
    return Job(
        total=revisit_test.total_chunks(config, setup.worlds),
        unit="chunk",
        run=lambda on_chunk: revisit_test.measure(player, scenes, config, on_chunk),
    )


def control(setup: Setup) -> Job:
    """Eight actions in first and later clips."""
    player = setup.player()
    scenes = scenes_for_script(control_test.star(), setup.worlds, setup.seed, setup.preset.video, setup.device)
    return Job(
        total=control_test.total_chunks(setup.worlds),
        unit="chunk",
        run=lambda on_chunk: control_test.measure(player, scenes, on_chunk),
    )


def drift(setup: Setup, config: drift_test.DriftConfig) -> Job:
    """A minute of play."""
    player = setup.player()
    frames = max(config.legs) + 1
    walks = scenes_to_explore(setup.worlds, frames, setup.seed, setup.preset.video, setup.device)
    return Job(
        total=drift_test.total_chunks(config, setup.worlds),
        unit="chunk",
        run=lambda on_chunk: drift_test.measure(player, walks, config, on_chunk),
    )


def precision(setup: Setup, kind: Precision) -> Job:
    """One chunk in two precisions; with a trained base model beside the preset, few steps against many too."""
    exact_preset = replace(setup.preset, precision=Precision.BF16)
    exact = ModelPlayer.load(exact_preset, setup.device)
    rounded = ModelPlayer.load(replace(setup.preset, precision=kind), setup.device)
    scenes = scenes_for_script(precision_test.walk(), setup.worlds, setup.seed, setup.preset.video, setup.device)
    variants = step_variants(exact, setup)

    def run(on_chunk: OnChunk) -> Report:
        names = (setup.preset.dtype, kind)
        report = precision_test.measure(exact, rounded, scenes, names, on_chunk)
        if not variants:
            return report
        steps = precision_test.compare_steps(exact, variants, scenes, on_chunk)
        return replace(report, tables=[*report.tables, steps])

    return Job(total=precision_test.total_chunks(setup.worlds, len(variants)), unit="chunk", run=run)


def step_variants(exact: ModelPlayer, setup: Setup) -> list[precision_test.Variant]:
    """The preset's steps, and its base model with as many and with its own; nothing where there is no base model."""
    base_preset = base_of(setup.preset)
    if base_preset is None:
        return []
    base = ModelPlayer.load(base_preset, setup.device)
    few, many = setup.preset.sampling.steps, base_preset.sampling.steps
    return [
        (f"distilled, {few} steps", exact),
        (f"base, {few} steps", precision_test.with_steps(base, few)),
        (f"base, {many} steps", base),
    ]


def base_of(preset: Preset) -> Preset | None:
    """The model before distillation, if its weights lie beside the preset's: preset NAME-base, or the same shapes."""
    directory = weights_directory(preset)
    name = f"{preset.name}-base"
    weights = replace(preset.weights, transformer_dir=BASE_DIRECTORY)
    if directory is None or not (directory / BASE_DIRECTORY / "config.json").is_file():
        return None
    if name in list_presets():
        return load_preset(name).with_directory(directory)
    return replace(preset, weights=weights, sampling=replace(preset.sampling, steps=BASE_STEPS))


def decoder(setup: Setup, files: Mapping[float, str]) -> Job:
    """Long streams through the full decoder and the pruned ones, of which `files` names some that are not our own."""
    pruned = files or {rate: pruned_file(setup.preset.weights.vae_file, rate) for rate in PRUNED}
    encoder = load_encoder(setup.preset, setup.device)
    decoders = decoder_test.pruned_decoders(setup.preset, pruned, setup.device)
    walks = scenes_to_explore(setup.worlds, decoder_test.FRAMES, setup.seed, setup.preset.video, setup.device)
    return Job(
        total=decoder_test.total_streams(setup.worlds, len(decoders)),
        unit="stream",
        run=lambda on_stream: decoder_test.measure(encoder, decoders, walks, setup.device, on_stream),
    )
