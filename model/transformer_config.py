"""Shape of one diffusion transformer, as a checkpoint's config.json gives it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError
from .action_config import ActionConfig
from .config_fields import read_fields, require_equal, require_positive

PLUCKER_CHANNELS = 6 * 16 * 16
"""Channels of a camera map on the latent grid: (origin, direction) of 16×16 pixels."""

_SUPPORTED = {
    "window_size": [-1, -1],
    "qk_norm": True,
    "cross_attn_norm": True,
    "use_text_crossattn": True,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformerConfig:
    """Sizes of a transformer. The 5B, the 14B and small ones differ in nothing else."""

    in_dim: int
    """Latent channels in."""
    out_dim: int
    """Latent channels out."""
    dim: int
    ffn_dim: int
    num_heads: int
    num_layers: int
    text_dim: int
    text_len: int = 512
    """Rows of text attended to: shorter texts are padded with zeros, and nothing is masked."""
    freq_dim: int = 256
    """Width of the timestep's sinusoid."""
    patch_size: tuple[int, ...] = (1, 2, 2)
    """Latents to one token in (time, row, column)."""
    eps: float = 1e-6
    use_memory: bool = False
    """Whether the model sees memory frames; such models also attend to text from the normalised residual."""
    sigma_theta: float = 0.0
    """Spread of the rotary base over the heads, in [0, 1); 0 is one base for all."""
    model_type: str = "ti2v"
    action_config: ActionConfig | None = None
    """None for a model without actions."""

    def __post_init__(self) -> None:
        sizes = ("in_dim", "out_dim", "dim", "ffn_dim", "num_heads", "num_layers", "text_dim", "text_len", "freq_dim")
        require_positive({name: getattr(self, name) for name in (*sizes, "eps")}, where="config")
        if len(self.patch_size) != 3 or self.patch_size[0] != 1 or min(self.patch_size) < 1:
            raise ConfigError(f"config.patch_size is {self.patch_size}", hint="it must be (1, rows, columns)")
        if self.dim % (2 * self.num_heads):
            raise ConfigError(
                f"config.dim {self.dim} does not split into {self.num_heads} heads of even width",
                hint="make dim a multiple of 2 · num_heads",
            )
        if self.freq_dim % 2:
            raise ConfigError(f"config.freq_dim is {self.freq_dim}", hint="it must be even")
        if not 0 <= self.sigma_theta < 1:
            raise ConfigError(f"config.sigma_theta is {self.sigma_theta}", hint="it must be in [0, 1)")
        if self.action_config is not None:
            self._check_action(self.action_config)

    def _check_action(self, action: ActionConfig) -> None:
        outside = [block for block in action.blocks if block >= self.num_layers]
        if outside:
            raise ConfigError(
                f"action_config.blocks names {outside}, the model has blocks 0 … {self.num_layers - 1}",
                hint="take config.json from the checkpoint itself",
            )
        if action.img_hidden_size != self.dim or action.patch_size != self.patch_size:
            raise ConfigError(
                f"action_config has width {action.img_hidden_size} and patch {action.patch_size}, "
                f"the model {self.dim} and {self.patch_size}",
                hint="both must be equal",
            )

    @property
    def head_dim(self) -> int:
        return self.dim // self.num_heads

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> TransformerConfig:
        """Read a config.json. Raises ConfigError for missing, mistyped, impossible or unsupported values.

        Keys that this implementation has no field for must have the value that it computes with.
        """
        require_equal(raw, _SUPPORTED, where="config")
        values = read_fields(cls, raw, where="config", known=_SUPPORTED)
        # An expert without actions has none, null or an empty object.
        action = values.pop("action_config", None) or None
        return cls(**values, action_config=None if action is None else ActionConfig.from_dict(action))

    def to_dict(self) -> dict[str, Any]:
        """The config.json that `from_dict` reads back to an equal config."""
        values = dataclasses.asdict(self)
        values["patch_size"] = list(self.patch_size)
        values["action_config"] = None if self.action_config is None else self.action_config.to_dict()
        return {**values, **_SUPPORTED}
