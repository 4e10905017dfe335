"""The UniPC multistep solver for flow matching: noise to latents in a few steps.

With noise level sigma a sample is x = (1 - sigma) x0 + sigma noise, the network gives the velocity v = noise - x0, so
x0 = x - sigma v. The solver is UniPC (Zhao et al. 2023, arXiv 2302.04867) of order 2 in its B2(h) = e^h - 1 variant,
predicting x0, with lambda = log((1 - sigma) / sigma) and h the step in lambda. Everything but x0 is known beforehand,
so each step is a linear combination whose weights are computed once, in float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import numpy as np

from ..errors import ConfigError
from .clip import Float64

if TYPE_CHECKING:  # schedules are for planners too, who have no torch
    from torch import Tensor

# The largest noise level before shifting. It is kept in float32 by the published models, which decides the floor of
# 1000 sigma where that is a whole number.
SIGMA_MAX = float(np.float32(0.999))
TIMESTEPS = 1000
ORDER = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class StepWeights:
    """Weights of one solver step. The corrector's are all zero in the first step, which has nothing to correct."""

    sigma: float
    timestep: int
    corrects: bool
    correct_anchor: float
    """Of the sample that the step before started from."""
    correct_x0: tuple[float, float, float]
    """Of x0 now, one step ago and two steps ago."""
    predict_sample: float
    """Of the corrected sample."""
    predict_x0: tuple[float, float]
    """Of x0 now and one step ago."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SolverState:
    """Where a solver stands after `step` steps; a value, so a step can be repeated or moved elsewhere."""

    step: int
    sample: Tensor
    """Latents at the noise level of step `step`, float32, any shape."""
    anchor: Tensor | None = None
    """The corrected sample from which the last step started."""
    x0: tuple[Tensor, ...] = ()
    """Up to two last predictions of the clean sample, newest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """The noise levels and weights of all steps of one sampling run."""

    sigmas: Float64
    """(n + 1,) noise levels, falling to 0."""
    steps: tuple[StepWeights, ...]

    def start(self, noise: Tensor) -> SolverState:
        return SolverState(step=0, sample=noise.float())

    def advance(self, state: SolverState, velocity: Tensor) -> SolverState:
        """One step, from the velocity that the network gave for `state.sample` at this step's timestep."""
        weights = self.steps[state.step]
        # x0 comes from the uncorrected sample, because that is what the network saw.
        x0 = state.sample - weights.sigma * velocity.float()
        sample = _correct(weights, state, x0) if weights.corrects else state.sample
        return SolverState(
            step=state.step + 1,
            sample=_combine(weights.predict_sample, sample, weights.predict_x0, (x0, *state.x0)),
            anchor=sample,
            x0=(x0, *state.x0)[:ORDER],
        )


@lru_cache(maxsize=16)
def unipc_schedule(num_steps: int, shift: float = 5.0) -> Schedule:
    """The schedule of `num_steps` steps: evenly spaced levels, shifted towards noise by s σ / (1 + (s - 1) σ).

    Raises ConfigError for fewer than one step or a shift that is not positive.
    """
    if num_steps < 1 or shift <= 0:
        raise ConfigError(
            f"cannot sample in {num_steps} steps with shift {shift}", hint="use at least 1 step and a shift above 0"
        )
    even = np.linspace(SIGMA_MAX, 0.0, num_steps + 1)[:-1]
    shifted = shift * even / (1.0 + (shift - 1.0) * even)
    sigmas = np.append(shifted, 0.0)
    sigmas.flags.writeable = False
    return Schedule(sigmas=sigmas, steps=tuple(_weights(sigmas, index) for index in range(num_steps)))


def _weights(sigmas: Float64, index: int) -> StepWeights:
    corrects = index > 0
    anchor, correct_x0 = _corrector(sigmas, index) if corrects else (0.0, (0.0, 0.0, 0.0))
    keep, predict_x0 = _predictor(sigmas, index)
    return StepWeights(
        sigma=float(sigmas[index]),
        timestep=math.floor(sigmas[index] * TIMESTEPS),
        corrects=corrects,
        correct_anchor=anchor,
        correct_x0=correct_x0,
        predict_sample=keep,
        predict_x0=predict_x0,
    )


def _order(sigmas: Float64, index: int) -> int:
    """Order of the step that leaves level `index`: it grows from 1 with the history and falls to 1 at the end."""
    return min(ORDER, index + 1, len(sigmas) - 1 - index)


def _log_snr(sigmas: Float64, index: int) -> float:
    sigma = float(sigmas[index])
    return math.inf if sigma == 0.0 else math.log1p(-sigma) - math.log(sigma)


def _transfer(sigmas: Float64, index: int) -> tuple[float, float, float]:
    """The exact part of the step from level `index` to the next: (σ'/σ, α'(1 - e^-h), h)."""
    h = _log_snr(sigmas, index + 1) - _log_snr(sigmas, index)
    alpha = 1.0 - float(sigmas[index + 1])
    return float(sigmas[index + 1] / sigmas[index]), -alpha * math.expm1(-h), h


def _history_ratio(sigmas: Float64, index: int, h: float) -> float:
    """Where the x0 of one level before `index` lies, in steps of h from `index`; negative."""
    return (_log_snr(sigmas, index - 1) - _log_snr(sigmas, index)) / h


def _predictor(sigmas: Float64, index: int) -> tuple[float, tuple[float, float]]:
    """UniP-1 or UniP-2: from level `index` to the next with what is known at `index`."""
    keep, gain, h = _transfer(sigmas, index)
    if _order(sigmas, index) == 1:
        return keep, (gain, 0.0)
    slope = 0.5 / _history_ratio(sigmas, index, h)
    return keep, (gain * (1.0 - slope), gain * slope)


def _corrector(sigmas: Float64, index: int) -> tuple[float, tuple[float, float, float]]:
    """UniC: the step before `index` again, now that x0 at `index` is known, with the order that it had."""
    keep, gain, h = _transfer(sigmas, index - 1)
    if _order(sigmas, index - 1) == 1:
        return keep, (gain * 0.5, gain * 0.5, 0.0)
    ratio = _history_ratio(sigmas, index - 1, h)
    # The paper's condition R rho = b: match two moments of the exponential integrator on the nodes ratio and 1.
    phi2 = math.expm1(-h) / -h - 1.0
    phi3 = phi2 / -h - 0.5
    moments = np.array([phi2, 2.0 * phi3]) / math.expm1(-h)
    past, now = np.linalg.solve(np.array([[1.0, 1.0], [ratio, 1.0]]), moments)
    slope = float(past) / ratio
    return keep, (gain * float(now), gain * (1.0 - float(now) - slope), gain * slope)


def _correct(weights: StepWeights, state: SolverState, x0: Tensor) -> Tensor:
    return _combine(weights.correct_anchor, cast("Tensor", state.anchor), weights.correct_x0, (x0, *state.x0))


def _combine(weight: float, sample: Tensor, x0_weights: tuple[float, ...], x0: tuple[Tensor, ...]) -> Tensor:
    total = weight * sample
    for x0_weight, value in zip(x0_weights, x0, strict=False):
        if x0_weight:
            total = total.add(value, alpha=x0_weight)
    return total
