"""Presets: everything that tells one world model from another, read from TOML. Importable without torch and Ray.

A preset is a file `NAME.toml` in the folder `presets` beside this module, or any path ending in `.toml`. With
`extends = "OTHER"` it starts from another preset and changes single entries of its tables.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError, with_config

from ..errors import ConfigError, PresetUnknown
from .mixture import MixtureConfig
from .precision import Precision
from .text_config import TextConfig
from .transformer_config import TransformerConfig
from .vae_config import SPACE_FACTOR, VAEConfig

PRESETS_DIR = Path(str(resources.files(__package__) / "presets"))


class DecoderChoice(StrEnum):
    """How much of the decoder is left."""

    FULL = "full"
    P50 = "p50"
    """Pruned by 50 %."""
    P75 = "p75"

    @property
    def pruning_rate(self) -> float:
        """Share of the channels that is gone."""
        return {DecoderChoice.FULL: 0.0, DecoderChoice.P50: 0.5, DecoderChoice.P75: 0.75}[self]


_forbid_extra = with_config(ConfigDict(extra="forbid"))


def _read_transformer(raw: Any) -> TransformerConfig:
    return TransformerConfig.from_dict(_table(raw))


def _read_mixture(raw: Any) -> MixtureConfig:
    return MixtureConfig.from_dict(_table(raw))


def _table(raw: Any) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ValueError("it must be a table")
    return raw


@_forbid_extra
@dataclass(frozen=True, kw_only=True, slots=True)
class WeightsConfig:
    """Where weights come from and how the directory that holds them is laid out."""

    source: Literal["random", "package", "hub", "directory", "unreleased"]
    """random: drawn from `seed`. package: shipped in `presets/<name>/`, else random. hub: `repo` on the Hugging Face
    hub. directory: `path`. unreleased: shapes are known, weights are not published."""
    repo: str = ""
    revision: str = "main"
    path: str = ""
    seed: int = 0
    transformer_dir: str = "base_distilled_model"
    """A mixture's experts have directories of their own, named in its config."""
    vae_file: str = "Wan2.2_VAE.pth"
    """Holds the encoder, and the decoder unless `decoder_file` names another."""
    decoder_file: str = ""
    decoder_p50_file: str = ""
    """Holds the decoder pruned by 50 %; empty where there is none."""
    decoder_p75_file: str = ""
    text_file: str = "models_t5_umt5-xxl-enc-bf16.pth"
    tokenizer_dir: str = "google/umt5-xxl"

    @property
    def decoder_path(self) -> str:
        """File that holds the decoder."""
        return self.decoder_file or self.vae_file


@_forbid_extra
@dataclass(frozen=True, kw_only=True, slots=True)
class VideoConfig:
    """Size and pace of the video."""

    height: Annotated[int, Field(gt=0, multiple_of=2 * SPACE_FACTOR)]
    """Rows; a multiple of 32, for latents of 16 pixels in patches of two."""
    width: Annotated[int, Field(gt=0, multiple_of=2 * SPACE_FACTOR)]
    frame_rate: Annotated[float, Field(gt=0, le=240)]
    """Frames a second at which the world is meant to be played."""


@_forbid_extra
@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingConfig:
    """How a clip is denoised."""

    steps: Annotated[int, Field(gt=0, le=1000)]
    shift: Annotated[float, Field(gt=0)] = 5.0
    guidance: Annotated[float, Field(ge=1)] = 1.0
    """1 means one forward a step; above, a second one with the negative prompt, no actions and no memory."""
    negative_prompt: str = ""


@_forbid_extra
@dataclass(frozen=True, kw_only=True, slots=True)
class LimitsConfig:
    """What a client may ask for."""

    prompt_chars: Annotated[int, Field(gt=0)] = 2000


@_forbid_extra
@dataclass(frozen=True, kw_only=True, slots=True)
class MockConfig:
    """How the mock engine behaves."""

    chunk_time_s: Annotated[float, Field(ge=0, le=60)] = 0.0
    """How long a chunk takes."""


@_forbid_extra
@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """A world model: shapes, weights, steps, precision and pace."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    description: str
    engine: Literal["rollout", "mock"] = "rollout"
    """mock draws the actions into frames and needs no model."""
    mock: MockConfig = field(default_factory=MockConfig)
    """Of the mock engine alone."""
    video: VideoConfig
    vae: VAEConfig
    weights: WeightsConfig
    sampling: SamplingConfig
    text: TextConfig = field(default_factory=TextConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    transformer: Annotated[TransformerConfig | None, PlainValidator(_read_transformer)] = None
    """In TOML, the entries of a checkpoint's `config.json`. None with the mock engine."""
    mixture: Annotated[MixtureConfig | None, PlainValidator(_read_mixture)] = None
    """Experts and the timestep that parts them, each in a directory of its own; None for a single transformer, whose
    shape high-noise experts share. A low-noise expert without weights has that shape without actions."""
    decoder_pruning_rate: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the decoder's channels that is gone. The encoder is never pruned."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Of the transformer, the text encoder and the VAE. Sampling is float32 throughout."""
    precision: Precision = Precision.BF16
    """How the transformer computes; bf16 is exact, in `dtype`."""
    camera_cache: bool = True
    """Keep every block's camera terms through a clip's steps, instead of computing them in each: 6 GB for the 5B."""
    text_device: Literal["same", "cpu"] = "same"
    """Where the text encoder runs: beside the transformer, or on the CPU, where umT5-XXL takes a second a prompt."""
    num_gpus: Annotated[int, Field(ge=0, le=8)] = 1
    """Ranks of a worker group, each with a GPU; 0: one rank on the CPU."""

    def __post_init__(self) -> None:
        if self.engine == "rollout" and self.transformer is None:
            raise ConfigError(
                f"preset {self.name!r} has no [transformer] table",
                hint="Add one, or set engine = 'mock'.",
            )
        if self.engine != "mock" and self.mock != MockConfig():
            raise ConfigError(
                f"preset {self.name!r} has a [mock] table and engine = {self.engine!r}",
                hint="Remove the table, or set engine = 'mock'.",
            )
        if self.transformer is not None:
            self._check_widths(self.transformer)

    def _check_widths(self, transformer: TransformerConfig) -> None:
        pairs = {
            "transformer.in_dim and vae.z_dim": (transformer.in_dim, self.vae.z_dim),
            "transformer.out_dim and vae.z_dim": (transformer.out_dim, self.vae.z_dim),
            "transformer.text_dim and text.dim": (transformer.text_dim, self.text.dim),
            "transformer.text_len and text.text_len": (transformer.text_len, self.text.text_len),
        }
        for names, (first, second) in pairs.items():
            if first != second:
                raise ConfigError(
                    f"preset {self.name!r}: {names} are {first} and {second}", hint="Give both the same value."
                )

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""
        return self.vae.z_dim

    @property
    def latent_height(self) -> int:
        """Rows of the latent grid."""
        return self.video.height // SPACE_FACTOR

    @property
    def latent_width(self) -> int:
        """Columns of the latent grid."""
        return self.video.width // SPACE_FACTOR

    @property
    def tokens_per_frame(self) -> int:
        """Transformer tokens of one latent frame; in patches of 1×2×2 latents where there is no transformer."""
        _, rows, columns = (1, 2, 2) if self.transformer is None else self.transformer.patch_size
        return (self.latent_height // rows) * (self.latent_width // columns)

    @property
    def decoder(self) -> VAEConfig:
        """Shape of the decoder, pruned as the preset says."""
        return replace(self.vae, pruning_rate=self.decoder_pruning_rate)

    @property
    def trained(self) -> bool:
        """Whether the worlds come from trained weights rather than from seeded noise or a mock."""
        return self.engine == "rollout" and self.weights.source in ("package", "hub", "directory")

    def with_directory(self, path: str | Path) -> Self:
        """The same model with its weights from a local directory of the official layout."""
        return replace(self, weights=replace(self.weights, source="directory", path=str(path)))

    def with_random_weights(self, seed: int = 0) -> Self:
        """The same shapes with weights drawn from `seed`, for tests and benchmarks."""
        return replace(self, weights=replace(self.weights, source="random", seed=seed))

    def with_precision(self, precision: Precision) -> Self:
        """The same model computing in another precision."""
        return replace(self, precision=precision)

    def with_decoder(self, choice: DecoderChoice) -> Self:
        """The same model with its full decoder or a pruned one.

        Raises ConfigError where the weights have no such decoder; without weights there is any.
        """
        files = {DecoderChoice.P50: self.weights.decoder_p50_file, DecoderChoice.P75: self.weights.decoder_p75_file}
        file = files.get(choice, "")
        if self.trained and choice in files and not file:
            raise ConfigError(
                f"preset {self.name!r} names no decoder pruned by {choice.pruning_rate:.0%}",
                hint=f"Set decoder_{choice}_file in its [weights], or choose another decoder.",
            )
        weights = replace(self.weights, decoder_file=file)
        return replace(self, decoder_pruning_rate=choice.pruning_rate, weights=weights)


def list_presets() -> list[str]:
    """Names of the shipped presets, sorted."""
    return sorted(path.stem for path in PRESETS_DIR.glob("*.toml"))


def load_preset(name_or_path: str | Path) -> Preset:
    """Reads a shipped preset by name, or any preset file by its path.

    Besides the fields of `Preset` a file may name another file that it `extends`, and one of its decoders: full, p50 or
    p75. Raises PresetUnknown if there is none, ConfigError with the entries that are wrong if it is not valid.
    """
    path = _find(name_or_path)
    raw = _read(path, seen=())
    decoder = raw.pop("decoder", None)
    try:
        preset = TypeAdapter(Preset).validate_python(raw)
        if decoder is not None:
            preset = preset.with_decoder(TypeAdapter(DecoderChoice).validate_python(decoder))
    except ValidationError as error:
        raise ConfigError(
            f"preset file {path} is invalid: {_describe(error)}", hint="Correct these entries."
        ) from error
    return _resolve_package_weights(preset, path.parent / preset.name)


def _find(name_or_path: str | Path) -> Path:
    is_path = isinstance(name_or_path, Path) or name_or_path.endswith(".toml")
    path = Path(name_or_path) if is_path else PRESETS_DIR / f"{name_or_path}.toml"
    if (is_path or str(name_or_path) in list_presets()) and path.is_file():
        return path
    known = ", ".join(list_presets())
    raise PresetUnknown(
        f"there is no preset {str(name_or_path)!r}", hint=f"Use one of {known}, or the path of a .toml file."
    )


def _read(path: Path, *, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path in seen:
        raise ConfigError(f"preset file {path} extends itself", hint="Remove the loop of 'extends'.")
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"preset file {path} is not TOML: {error}", hint="Correct the syntax.") from error
    parent = raw.pop("extends", None)
    if parent is None:
        return raw
    return _merge(_read(_find(str(parent)), seen=(*seen, path)), raw)


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _describe(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'preset'}: {item['msg']}" for item in error.errors())


def _resolve_package_weights(preset: Preset, directory: Path) -> Preset:
    if preset.weights.source != "package":
        return preset
    if not (directory / preset.weights.transformer_dir / "config.json").is_file():
        return preset.with_random_weights(preset.weights.seed)
    return replace(preset, weights=replace(preset.weights, path=str(directory)))
