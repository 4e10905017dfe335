"""The distillation stage: a student that needs three steps, by distribution matching (DMD).

Student and critic start as copies of the teacher, the base model. The student makes clips with its own few steps; noise
is added to them, and where the critic, which learns what the student makes, and the teacher, which knows what is real,
disagree about the clean clip, the student moves towards the teacher (Yin et al. 2023, arXiv 2311.18828). First on one
segment with true past and memory ("cold"), then on a random one of up to six segments that the student itself rolls
out, with memory from its own past (model specification, section 9).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ..model.sampler import TIMESTEPS, StepWeights, unipc_schedule
from .base import load_model, training_latents
from .clips import Clips
from .compiling import compile_blocks
from .draw import ClipDraw, ClipMix, Kind
from .evaluation.rollouts import EvaluationConfig, report
from .footage import LatentSet, Starts
from .latents import encode_starts
from .muon import OptimizerConfig
from .progress import Budget, Progress, StageClock, learning_rate, write_metrics
from .prompts import VARIANTS, PromptTokens
from .rendering import RenderConfig
from .replay import Replay
from .selfplay import Solver, frames_needed, roll, segment_clips
from .stage import Learner, Workplace, run
from .vae import running_encoder
from .warm import Helpers, needs
from .world_model import WorldModel, add_noise, shifted

STAGE = "distill"


@dataclass(frozen=True, kw_only=True, slots=True)
class DistillRecipe:
    """How the student learns."""

    budget: Budget
    render: RenderConfig
    batch: int
    student: OptimizerConfig
    critic: OptimizerConfig
    cold: float = 0.3
    """Share of the budget spent on one segment with true past."""
    cold_critic_steps: int = 4
    """Critic updates for one of the student, in the cold part."""
    critic_steps: int = 3
    """The same afterwards."""
    max_segments: int = 6
    guidance: float = 1.5
    """Of the teacher, which is how a student without guidance learns to do as if it had some."""
    sigma_range: tuple[float, float] = (0.02, 0.98)
    """Noise levels, before shifting, at which teacher and critic compare."""
    first_frames: tuple[int, ...] = (0, 80)
    """Where first clips start in an episode."""
    ema: float = 0.99
    mix: ClipMix = field(default_factory=lambda: ClipMix(memoryless=0.0, null=0.0))
    rollout_episodes: int = 2000
    """Worlds to roll out in; only their first frames are rendered."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    finish_s: float = 30.0
    """Seconds that the last checkpoint and the measurements take."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """What one step is about."""

    kind: Kind
    segment: int | None
    """Of the student's own rollout; None for a true clip."""
    evaluations: int
    """At which of its evaluations the student learns."""


class Distillation:
    """Student, critic and teacher, and one step of each."""

    def __init__(self, recipe: DistillRecipe, place: Workplace, data: LatentSet, starts: Starts, null: Tensor) -> None:
        self.recipe = recipe
        self.place = place
        self.starts = starts
        self.shift = place.preset.sampling.shift
        self.schedule = unipc_schedule(place.preset.sampling.steps, self.shift)
        self.null_tokens = null.to(place.device)
        self.teacher = load_model(place, "base").to(place.dtype)
        self.student = Learner(load_model(place, "base"), recipe.student, recipe.ema, place)
        self.critic = Learner(load_model(place, "base"), recipe.critic, recipe.ema, place)
        self.generator = place.device_generator(STAGE)
        self.choices = torch.Generator().manual_seed(place.seed)
        self._clips: dict[Kind, Clips] = {}
        self.draw = ClipDraw(data, recipe.mix, self.null_tokens, seed=place.seed + 1, rank=place.ranks.rank)

    @property
    def device(self) -> torch.device:
        return self.place.device

    @property
    def running(self) -> tuple[WorldModel, WorldModel]:
        student: Any = self.student.trainee.running
        critic: Any = self.critic.trainee.running
        return student, critic

    def choose(self, spent: float) -> Turn:
        """What the host decides about the next step."""
        evaluations = 1 + self._choice(len(self.schedule.steps))
        if spent < self.recipe.cold:
            return Turn(kind=self.draw.next_kind(), segment=None, evaluations=evaluations)
        segment = self._choice(self.recipe.max_segments)
        return Turn(kind="later" if segment else "first", segment=segment, evaluations=evaluations)

    def clips(self, kind: Kind) -> Clips:
        """What the student has to make, as `next_clips` left it."""
        return self._clips[kind]

    def next_clips(self, turn: Turn) -> None:
        """Puts what the student has to make next in its place, the same for all clips of a kind: a true clip's
        surroundings, or those of its own rollout."""
        batch = self.recipe.batch
        clips = self.draw.draw(turn.kind, batch) if turn.segment is None else self._rolled(turn.segment)
        if turn.kind in self._clips:
            self._clips[turn.kind].take(clips)
        else:
            self._clips[turn.kind] = clips.clone()

    def _rolled(self, index: int) -> Clips:
        rows = self._below(len(self.starts.images))
        variants = self._below(len(VARIANTS))
        episodes = self.starts.episodes.select(rows)
        stream = self.starts.images[rows].float()
        if index:
            solver = Solver(steps=self.place.preset.sampling.steps, shift=self.shift)
            stream = roll(self.running[0], episodes, stream, index, solver, self.generator)
        return segment_clips(episodes, stream, index, variants)

    def make(self, clips: Clips, *, evaluations: int) -> Tensor:
        """The student's clean clip (B, C, N, h, w) at its n-th evaluation, with a gradient through that one only."""
        student, _ = self.running
        *before, last = self.schedule.steps[:evaluations]
        state = self.schedule.start(self._noise(clips))
        with torch.no_grad():
            conditioning = student.prepare(clips)
            for weights in before:
                velocity = student.velocity(clips, conditioning, state.sample, self._level(clips, weights))
                state = self.schedule.advance(state, velocity)
        # Prepared anew: this time text and camera layers get their gradient too.
        velocity = student(clips, state.sample, self._level(clips, last))
        clean: Tensor = state.sample - last.sigma * velocity
        return clean

    def _level(self, clips: Clips, weights: StepWeights) -> Tensor:
        """(B,) the noise level of a step of the sampler."""
        return torch.full_like(clips.start, weights.timestep, dtype=torch.float32) / TIMESTEPS

    def student_loss(self, clips: Clips, evaluations: int) -> Tensor:
        """Its gradient moves the clips that the student has made at an evaluation to where the teacher finds them
        likelier than the critic does."""
        made = self.make(clips, evaluations=evaluations)
        with torch.no_grad():
            sigma = self._sigma(len(made))
            noisy = add_noise(made.detach(), self._noise(clips), sigma)
            _, critic = self.running
            real = self._teacher_clean(clips, noisy, sigma)
            fake = _clean(critic, clips, noisy, sigma)
            scale = (made - real).abs().mean(dim=(1, 2, 3, 4), keepdim=True).clamp(min=1e-3)
            goal = made - (fake - real) / scale
        return 0.5 * (made - goal).square().mean()

    def critic_loss(self, clips: Clips) -> Tensor:
        """Flow matching on what the student makes."""
        with torch.no_grad():
            made = self.make(clips, evaluations=len(self.schedule.steps))
        sigma, noise = self._sigma(len(made)), self._noise(clips)
        _, critic = self.running
        velocity = critic(clips, add_noise(made, noise, sigma), sigma)
        loss: Tensor = (velocity - (noise - made)).square().mean()
        return loss

    def _teacher_clean(self, clips: Clips, noisy: Tensor, sigma: Tensor) -> Tensor:
        clean = _clean(self.teacher, clips, noisy, sigma)
        if self.recipe.guidance == 1.0:
            return clean
        everywhere = torch.ones_like(clips.start, dtype=torch.bool)
        null = clips.without_memory().nulled(everywhere, self.null_tokens)
        away = _clean(self.teacher, null, noisy, sigma)
        return away + self.recipe.guidance * (clean - away)

    def learn_critic(self, kind: Kind) -> Mapping[str, Tensor]:
        loss = self.critic_loss(self.clips(kind))
        self.critic.learn(loss)
        return {"critic": loss.detach()}

    def learn_student(self, turn: Turn) -> Mapping[str, Tensor]:
        loss = self.student_loss(self.clips(turn.kind), turn.evaluations)
        return {"student": loss.detach(), "grad": self.student.learn(loss)}

    def _choice(self, limit: int) -> int:
        return int(torch.randint(limit, (), generator=self.choices))

    def _below(self, limit: int) -> Tensor:
        return torch.randint(limit, (self.recipe.batch,), generator=self.generator, device=self.device)

    def _sigma(self, batch: int) -> Tensor:
        low, high = self.recipe.sigma_range
        uniform = torch.rand(batch, generator=self.generator, device=self.device)
        return shifted(low + (high - low) * uniform, self.shift)

    def _noise(self, clips: Clips) -> Tensor:
        return torch.randn(clips.new.shape, generator=self.generator, device=self.device)


def _clean(model: WorldModel, clips: Clips, noisy: Tensor, sigma: Tensor) -> Tensor:
    """The model's idea of the clean clip."""
    clean: Tensor = noisy - sigma.view(-1, 1, 1, 1, 1) * model(clips, noisy, sigma)
    return clean


def train_distill(recipe: DistillRecipe, place: Workplace, clock: StageClock) -> dict[str, Any]:
    """Distils the run's base model; saves `distill/weights*`, curves and strips; returns and writes the figures."""
    folder = place.folder(STAGE)
    kinds = ("first", "later")
    wanted = needs(recipe.batch, learning=kinds, sampling=(*kinds, "memoryless"))
    helpers = Helpers(place.preset, wanted, place.ranks)
    prompts = PromptTokens(place.preset.text.text_len)
    data = training_latents(recipe.render, recipe.first_frames, prompts, place, clock)
    walk = replace(recipe.render, clips=recipe.rollout_episodes, frames=frames_needed(recipe.max_segments))
    starts = encode_starts(walk, running_encoder(place), prompts, place)
    data_s = clock.elapsed_s
    both = Distillation(recipe, place, data, starts, prompts.ids(""))
    first_step = both.student.resume(folder)
    both.critic.resume(place.folder("distill-critic"))
    for model in (*both.running, both.teacher):
        compile_blocks(model.transformer.blocks, place.device)
    waited_s = helpers.wait()
    budget = clock.budget(recipe.budget, recipe.finish_s)
    progress = Progress(STAGE, budget, place.ranks, folder, every=10, first_step=first_step)

    replay = Replay(place.device, [both.generator, both.draw.generator], recording=place.recording)

    def step(spent: float, scale: float) -> Mapping[str, Tensor]:
        turn = both.choose(spent)
        values: dict[str, Tensor] = {}

        def next_clips() -> Mapping[str, Tensor]:
            both.next_clips(turn)
            return {}

        # A rollout costs more than an update: all updates of a step share its clips, each with noise of its own.
        replay(("clips", turn.kind, turn.segment), next_clips)
        for _ in range(recipe.cold_critic_steps if turn.segment is None else recipe.critic_steps):
            # The critic must not lag behind at the end, so its rate falls to a third only.
            both.critic.pace(learning_rate(spent, floor=0.3))
            values |= replay(("critic", turn.kind), lambda: both.learn_critic(turn.kind))
        both.student.pace(scale)
        values |= replay(("student", turn.kind, turn.evaluations), lambda: both.learn_student(turn))
        return values

    def save(number: int) -> None:
        both.student.save(folder, number, {})
        if place.keep_state:
            both.critic.save(place.folder("distill-critic"), number, {})

    run(progress, step, save)
    average: Any = both.student.ema.network
    figures: dict[str, Any] = {
        "data_s": data_s,
        "waited_for_kernels_s": waited_s,
        "episodes": len(data),
        "train_s": progress.elapsed_s,
        "steps": progress.step,
        "cold_step_s": progress.step_s(0.0, recipe.cold),
        "rollout_step_s": progress.step_s(recipe.cold, 1.0),
    }
    if place.ranks.is_first:
        # Before what is measured takes its time: a run that is stopped there loses no more than that.
        write_metrics(folder / "distill.json", figures)
        place.publish()
        steps = place.preset.sampling.steps
        figures |= report(average, recipe.evaluation, place, folder, STAGE, steps=steps)
        write_metrics(folder / "distill.json", figures)
    return figures
