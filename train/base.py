"""The base stage: flow matching on first and later clips, text encoder and transformer together.

Noise levels are drawn uniformly and shifted as the sampler's are; the velocity of the new latents is learned. Past and
memory are dropped together by training on first clips, memory alone by later clips without any, and the error buffer
puts the model's own mistakes into what it is given (model specification, section 9).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from .checkpoints import load_weights
from .compiling import compile_blocks
from .draw import ClipDraw, ClipMix, Kind
from .error_buffer import ErrorConfig
from .evaluation.rollouts import EvaluationConfig, report
from .flow import FlowMatching
from .footage import LatentSet
from .latents import encode_episodes
from .muon import OptimizerConfig
from .patches import refine
from .progress import Budget, Progress, StageClock, write_metrics
from .prompts import PromptTokens
from .rendering import RenderConfig
from .replay import Replay
from .stage import Learner, Workplace, run
from .vae import running_encoder
from .warm import Helpers, needs
from .world_model import WorldModel, start_weights

STAGE = "base"


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseRecipe:
    """How the base model is trained."""

    budget: Budget
    render: RenderConfig
    batch: int
    optimizer: OptimizerConfig
    first_frames: tuple[int, ...] = (0, 80)
    """Where first clips start in an episode."""
    mix: ClipMix = field(default_factory=ClipMix)
    errors: ErrorConfig = field(default_factory=ErrorConfig)
    ema: float = 0.998
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    evaluation_steps: int = 8
    finish_s: float = 30.0
    """Seconds that the last checkpoint and the measurements take."""


def train_base(recipe: BaseRecipe, place: Workplace, clock: StageClock) -> dict[str, Any]:
    """Trains, saves `base/weights*`, curves and strips; returns and writes the figures.

    Goes on from weights in the folder, also from those of a transformer with larger patches.
    """
    folder = place.folder(STAGE)
    helpers = Helpers(place.preset, needs(recipe.batch, learning=("first", "later", "memoryless")), place.ranks)
    prompts = PromptTokens(place.preset.text.text_len)
    data = training_latents(recipe.render, recipe.first_frames, prompts, place, clock)
    data_s = clock.elapsed_s
    model = WorldModel(place.preset)
    start_weights(model, place.generator("start"))
    learner = Learner(model.to(place.device), recipe.optimizer, recipe.ema, place)
    refine(folder, model.transformer.config.patch_size, place.ranks)
    first_step = learner.resume(folder)
    running: Any = learner.trainee.running
    compile_blocks(running.transformer.blocks, place.device)
    draw = ClipDraw(data, recipe.mix, prompts.ids(""), seed=place.seed, rank=place.ranks.rank)
    flow = FlowMatching(recipe.errors, place, data.streams.shape, salt=STAGE)
    waited_s = helpers.wait()
    progress = Progress(STAGE, clock.budget(recipe.budget, recipe.finish_s), place.ranks, folder, first_step=first_step)
    replay = Replay(place.device, [draw.generator, flow.generator], recording=place.recording)

    def learn(kind: Kind) -> Mapping[str, Tensor]:
        loss = flow.loss(running, draw.draw(kind, recipe.batch))
        norm = learner.learn(loss)
        return {"loss": loss.detach(), kind: loss.detach(), "grad": norm}

    def step(spent: float, scale: float) -> Mapping[str, Tensor]:
        learner.pace(scale)
        kind = draw.next_kind()
        return replay(kind, lambda: learn(kind))

    run(progress, step, lambda number: learner.save(folder, number, {}))
    figures: dict[str, Any] = {
        "data_s": data_s,
        "waited_for_kernels_s": waited_s,
        "episodes": len(data),
        "train_s": progress.elapsed_s,
        "steps": progress.step,
        "samples_per_s": recipe.batch * place.ranks.size / progress.step_s(),
        "loss": progress.rows[-1]["loss"] if progress.rows else float("nan"),
    }
    if place.ranks.is_first:
        # Before what is measured takes its time: a run that is stopped there loses no more than that.
        write_metrics(folder / "base.json", figures)
        place.publish()
        average: Any = learner.ema.network
        figures |= report(average, recipe.evaluation, place, folder, STAGE, steps=recipe.evaluation_steps)
        write_metrics(folder / "base.json", figures)
    return figures


def training_latents(
    render: RenderConfig, first_frames: tuple[int, ...], prompts: PromptTokens, place: Workplace, clock: StageClock
) -> LatentSet:
    """Episodes as latents of the run's VAE."""
    return encode_episodes(render, first_frames, running_encoder(place), prompts, place, clock)


def load_model(place: Workplace, stage: str) -> WorldModel:
    """The averaged model of a stage, float32 on the device. Raises CheckpointError where there is none."""
    weights, _ = load_weights(place.out / stage)
    model = WorldModel(place.preset)
    model.load_state_dict(weights)
    return model.to(place.device)
