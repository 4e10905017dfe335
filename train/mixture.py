"""The mixture stage: two copies of the base model, one for high noise and one for low, each on its own levels only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ..model.mixture import HIGH_NOISE, LOW_NOISE
from .base import load_model, training_latents
from .compiling import compile_blocks
from .draw import ClipDraw, ClipMix, Kind
from .error_buffer import ErrorConfig
from .flow import FlowMatching
from .footage import LatentSet
from .muon import OptimizerConfig
from .progress import Budget, Progress, StageClock, write_metrics
from .prompts import PromptTokens
from .rendering import RenderConfig
from .replay import Replay
from .stage import Learner, Workplace, run
from .warm import Helpers, needs

STAGE = "mixture"


@dataclass(frozen=True, kw_only=True, slots=True)
class MixtureRecipe:
    """How the experts are trained; the budget is for each of them."""

    budget: Budget
    render: RenderConfig
    batch: int
    optimizer: OptimizerConfig
    boundary: float = 0.9
    """Noise level at and above which the high-noise expert runs."""
    first_frames: tuple[int, ...] = (0, 80)
    mix: ClipMix = field(default_factory=ClipMix)
    errors: ErrorConfig = field(default_factory=ErrorConfig)
    ema: float = 0.995
    finish_s: float = 5.0
    """Seconds that the checkpoint of each expert takes."""

    @property
    def experts(self) -> dict[str, tuple[float, float]]:
        """Noise levels of each expert, by its name in the published layout."""
        return {HIGH_NOISE["first_person"]: (self.boundary, 1.0), LOW_NOISE: (0.0, self.boundary)}


def train_mixture(recipe: MixtureRecipe, place: Workplace, clock: StageClock) -> dict[str, Any]:
    """Trains both experts, sharing the time; saves `high_noise_first_person/weights*` and `low_noise/weights*`."""
    helpers = Helpers(place.preset, needs(recipe.batch, learning=("first", "later", "memoryless")), place.ranks)
    prompts = PromptTokens(place.preset.text.text_len)
    data = training_latents(recipe.render, recipe.first_frames, prompts, place, clock)
    figures: dict[str, Any] = {
        "data_s": clock.elapsed_s,
        "episodes": len(data),
        "waited_for_kernels_s": helpers.wait(),
    }
    for left, (name, levels) in zip(range(len(recipe.experts), 0, -1), recipe.experts.items(), strict=True):
        budget = clock.budget(recipe.budget, left * recipe.finish_s, parts=left)
        figures |= _train_expert(name, levels, recipe, place, data, prompts.ids(""), budget)
    if place.ranks.is_first:
        write_metrics(place.out / "mixture.json", figures)
    return figures


def _train_expert(
    name: str,
    levels: tuple[float, float],
    recipe: MixtureRecipe,
    place: Workplace,
    data: LatentSet,
    null_tokens: Tensor,
    budget: Budget,
) -> dict[str, float]:
    model = load_model(place, "base")
    # Experts share the text encoder: a prompt is encoded once for all of them.
    model.text.requires_grad_(False)
    learner = Learner(model, recipe.optimizer, recipe.ema, place)
    folder = place.folder(name)
    first_step = learner.resume(folder)
    running: Any = learner.trainee.running
    compile_blocks(running.transformer.blocks, place.device)
    draw = ClipDraw(data, recipe.mix, null_tokens, seed=place.seed + 2, rank=place.ranks.rank)
    flow = FlowMatching(recipe.errors, place, data.streams.shape, salt=name, levels=levels)
    progress = Progress(name, budget, place.ranks, folder, first_step=first_step)
    replay = Replay(place.device, [draw.generator, flow.generator], recording=place.recording)

    def learn(kind: Kind) -> Mapping[str, Tensor]:
        loss = flow.loss(running, draw.draw(kind, recipe.batch))
        return {"loss": loss.detach(), "grad": learner.learn(loss)}

    def step(spent: float, scale: float) -> Mapping[str, Tensor]:
        learner.pace(scale)
        kind = draw.next_kind()
        return replay(kind, lambda: learn(kind))

    run(progress, step, lambda number: learner.save(folder, number, {}))
    last = progress.rows[-1]["loss"] if progress.rows else float("nan")
    return {f"loss_{name}": last, f"steps_{name}": float(progress.step)}
