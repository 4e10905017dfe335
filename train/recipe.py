"""Recipes: everything that a training run does, read from TOML."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from ..errors import ConfigError
from .base import BaseRecipe
from .distill import DistillRecipe
from .export import ExportRecipe
from .mixture import MixtureRecipe
from .prune import PruneRecipe
from .vae import VAERecipe

RECIPES_DIR = Path(str(resources.files(__package__) / "recipes"))


@with_config(ConfigDict(extra="forbid"))
@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One run: a table for each stage."""

    preset: str
    """Name or path of the preset whose model is trained."""
    seed: int = 0
    vae: VAERecipe
    prune: PruneRecipe
    base: BaseRecipe
    distill: DistillRecipe
    mixture: MixtureRecipe
    export: ExportRecipe = field(default_factory=ExportRecipe)


def load_recipe(name_or_path: str) -> Recipe:
    """Reads a shipped recipe by name, or any recipe file by its path ending in '.toml'. Raises ConfigError."""
    path = Path(name_or_path) if name_or_path.endswith(".toml") else RECIPES_DIR / f"{name_or_path}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in RECIPES_DIR.glob("*.toml")))
        raise ConfigError(f"there is no recipe {name_or_path!r}", hint=f"Use one of {known}, or the path of a file.")
    try:
        return TypeAdapter(Recipe).validate_python(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ConfigError(f"recipe {path} is invalid: {error}", hint="Correct these entries.") from error
