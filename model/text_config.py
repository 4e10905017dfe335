"""Shape of a umT5 text encoder. Plain Python, so that presets are read without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

from ..errors import ConfigError
from .config_fields import require_equal

Count = Annotated[int, Field(gt=0)]

_SUPPORTED = {"shared_pos": False}
"""Each layer has a relative bias of its own."""


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, kw_only=True, slots=True)
class TextConfig:
    """Defaults are those of umT5-XXL. `vocab` … `num_buckets` have the names of the published encoder's arguments."""

    vocab: Count = 256384
    dim: Count = 4096
    """Width of the states that the transformer reads (its text_dim)."""
    dim_attn: Count = 4096
    """Width of queries, keys and values over all heads."""
    dim_ffn: Count = 10240
    num_heads: Count = 64
    num_layers: Count = 24
    num_buckets: Annotated[int, Field(ge=4, multiple_of=4)] = 32
    """Buckets of relative distance, half of them for each direction."""
    max_distance: Count = 128
    """Distances from here on share the last bucket of their direction."""
    text_len: Count = 512
    """Prompts are cut to this many tokens, the end-of-text token included."""

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Reads a `config.json`. Raises ConfigError, which names the entries that are wrong or not supported."""
        require_equal(raw, _SUPPORTED, where="text config")
        try:
            return TypeAdapter(cls).validate_python({key: raw[key] for key in raw if key not in _SUPPORTED})
        except ValidationError as error:
            raise ConfigError(
                f"the text encoder's config is invalid: {error}", hint="Correct these entries."
            ) from error
