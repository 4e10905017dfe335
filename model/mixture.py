"""A mixture of experts over the noise level: one for high noise per viewpoint, and a shared one for low noise.

The high-noise experts decide layout and control, the low-noise one adds detail. Which expert sees actions or memory is
up to its own config: a transformer without them ignores what it is given, so callers treat all experts alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..errors import ConfigError
from .config_fields import read_fields

TIMESTEPS = 1000
"""Timesteps of the schedule; the noisiest step is just below."""

LOW_NOISE = "low_noise"
HIGH_NOISE = {"first_person": "high_noise_first_person", "third_person": "high_noise_third_person"}
"""The high-noise expert of each viewpoint. An expert's name is also that of its directory."""

ModelT = TypeVar("ModelT")


@dataclass(frozen=True, kw_only=True, slots=True)
class MixtureConfig:
    """Where experts take over from each other."""

    boundary: float = 0.9
    """Share of the schedule, in [0, 1], at and above which the high-noise experts run."""
    viewpoints: tuple[str, ...] = tuple(HIGH_NOISE)
    """Viewpoints that have a high-noise expert."""

    def __post_init__(self) -> None:
        if not 0 <= self.boundary <= 1:
            raise ConfigError(f"mixture.boundary is {self.boundary}", hint="it must be in [0, 1]")
        if not self.viewpoints or not set(self.viewpoints) <= HIGH_NOISE.keys():
            raise ConfigError(f"mixture.viewpoints is {self.viewpoints}", hint=f"choose from {', '.join(HIGH_NOISE)}")

    @property
    def experts(self) -> tuple[str, ...]:
        """Names of all experts, which are also their directories."""
        return (*(HIGH_NOISE[viewpoint] for viewpoint in self.viewpoints), LOW_NOISE)

    def expert_for(self, timestep: float, viewpoint: str) -> str:
        """Name of the expert of a step at `timestep`, in [0, 1000). Raises ConfigError for a viewpoint without one."""
        if viewpoint not in self.viewpoints:
            raise ConfigError(
                f"the mixture has no expert for viewpoint {viewpoint!r}",
                hint=f"choose one of {', '.join(self.viewpoints)}",
            )
        return HIGH_NOISE[viewpoint] if timestep >= self.boundary * TIMESTEPS else LOW_NOISE

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> MixtureConfig:
        """Read a preset's table. Raises ConfigError for mistyped or impossible values."""
        return cls(**read_fields(cls, raw, where="mixture"))


class ExpertMixture(Generic[ModelT]):
    """The experts by name, wherever they live. A rollout asks for the one of each step."""

    def __init__(self, config: MixtureConfig, experts: Mapping[str, ModelT]) -> None:
        """`experts` holds a model for each name of `config.experts`; raises ConfigError otherwise."""
        missing = [name for name in config.experts if name not in experts]
        if missing:
            raise ConfigError(f"the mixture lacks {', '.join(missing)}", hint="load every expert that its config names")
        self.config = config
        self.experts = dict(experts)

    def expert_for(self, timestep: float, viewpoint: str) -> ModelT:
        """The expert of a step at `timestep`, in [0, 1000). Raises ConfigError for a viewpoint without one."""
        return self.experts[self.config.expert_for(timestep, viewpoint)]
