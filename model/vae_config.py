"""Shape of a Wan2.2 video autoencoder. Plain Python, so that presets are read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

from ..errors import ConfigError

SPACE_FACTOR = 16
"""Pixels a latent stands for, along rows and along columns."""
TIME_FACTOR = 4
"""Video frames a latent stands for, except a stream's first latent, which stands for one frame."""

Width = Annotated[int, Field(gt=0)]


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, kw_only=True, slots=True)
class VAEConfig:
    """Names and defaults are those of the published `config.json`."""

    dim: Width = 160
    """Width of the encoder's first stage."""
    dec_dim: Width = 256
    """Width of the decoder's last stage."""
    z_dim: Width = 48
    """Latent channels."""
    dim_mult: Annotated[tuple[Width, ...], Field(min_length=1)] = (1, 2, 4, 4)
    """Width of each encoder stage as a multiple of the base width; the decoder takes them in reverse."""
    num_res_blocks: Annotated[int, Field(gt=0)] = 2
    """Residual blocks of an encoder stage; a decoder stage has one more."""
    temporal_downsample: tuple[bool, ...] = (False, True, True)
    """Whether an encoder stage halves time as well as space; the last stage changes neither and is not listed."""
    pruning_rate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the channels that is gone, the same in every stage."""

    def __post_init__(self) -> None:
        stages = len(self.dim_mult)
        if len(self.temporal_downsample) != stages - 1:
            raise ConfigError(
                f"a VAE with {stages} stages needs {stages - 1} values in temporal_downsample, "
                f"not {len(self.temporal_downsample)}",
                hint="Give one value for every stage but the last.",
            )
        if (2**stages, 2 ** sum(self.temporal_downsample)) != (SPACE_FACTOR, TIME_FACTOR):
            raise ConfigError(
                f"this VAE would reduce space by {2**stages} and time by {2 ** sum(self.temporal_downsample)}, "
                f"not by {SPACE_FACTOR} and {TIME_FACTOR}",
                hint="Use four stages, two of which halve time.",
            )

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Reads a published `config.json`. Raises ConfigError, which names the entries that are wrong."""
        try:
            return TypeAdapter(cls).validate_python(dict(raw))
        except ValidationError as error:
            raise ConfigError(f"the VAE's config is invalid: {error}", hint="Compare with a published one.") from error

    @property
    def encoder_widths(self) -> tuple[int, ...]:
        """Input width of the first encoder stage, then the output width of every stage, after pruning."""
        return tuple(self._pruned(self.dim * mult) for mult in (1, *self.dim_mult))

    @property
    def decoder_widths(self) -> tuple[int, ...]:
        """Input width of the first decoder stage, then the output width of every stage, after pruning."""
        mults = (self.dim_mult[-1], *reversed(self.dim_mult))
        return tuple(self._pruned(self.dec_dim * mult) for mult in mults)

    def _pruned(self, width: int) -> int:
        return round(width * (1 - self.pruning_rate))
