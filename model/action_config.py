"""Shape of the action modules, as a checkpoint's config.json gives it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError
from .config_fields import read_fields, require_equal, require_positive

_SUPPORTED = {"enable_mouse": True, "enable_keyboard": True, "qk_norm": True, "qkv_bias": False}


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionConfig:
    """Sizes of the action modules, under the names of a checkpoint's config.json."""

    blocks: tuple[int, ...]
    """Transformer blocks that have an action module."""
    heads_num: int
    hidden_size: int
    """Width of one embedded keyboard row."""
    img_hidden_size: int
    """The transformer's width."""
    keyboard_dim_in: int
    keyboard_hidden_dim: int
    mouse_dim_in: int
    mouse_hidden_dim: int
    mouse_qk_dim_list: tuple[int, ...]
    """Head dimensions that turn by (frame, row, column) in mouse attention."""
    rope_dim_list: tuple[int, ...]
    """The same in keyboard attention."""
    rope_theta: float
    patch_size: tuple[int, ...] = (1, 2, 2)
    vae_time_compression_ratio: int = 4
    """Video frames of one latent frame."""
    windows_size: int = 3
    """Latent frames' worth of rows that one latent frame sees."""

    def __post_init__(self) -> None:
        sizes = ("heads_num", "hidden_size", "img_hidden_size", "keyboard_dim_in", "keyboard_hidden_dim")
        more = ("mouse_dim_in", "mouse_hidden_dim", "rope_theta", "vae_time_compression_ratio", "windows_size")
        require_positive({name: getattr(self, name) for name in (*sizes, *more)}, where="action_config")
        if any(block < 0 for block in self.blocks) or len(set(self.blocks)) != len(self.blocks):
            raise ConfigError(f"action_config.blocks is {self.blocks}", hint="it must list different blocks from 0 up")
        self._check_heads("mouse_qk_dim_list", self.mouse_hidden_dim)
        self._check_heads("rope_dim_list", self.keyboard_hidden_dim)

    def _check_heads(self, name: str, width: int) -> None:
        dims: tuple[int, ...] = getattr(self, name)
        if any(dim < 0 or dim % 2 for dim in dims) or sum(dims) * self.heads_num != width:
            raise ConfigError(
                f"action_config.{name} is {dims}, for {self.heads_num} heads of a width of {width}",
                hint="its numbers must be even and add up to the width of one head",
            )

    @property
    def window_rows(self) -> int:
        """Action rows that one latent frame sees."""
        return self.vae_time_compression_ratio * self.windows_size

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> ActionConfig:
        """Read config.json's `action_config`. Raises ConfigError as TransformerConfig.from_dict does."""
        if not isinstance(raw, Mapping):
            raise ConfigError(f"action_config is {raw!r}", hint="it must be an object, or null for a model without")
        require_equal(raw, _SUPPORTED, where="action_config")
        return cls(**read_fields(cls, raw, where="action_config", known=_SUPPORTED))

    def to_dict(self) -> dict[str, Any]:
        values = {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(self).items()}
        return {**values, **_SUPPORTED}
