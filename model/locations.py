"""Where a preset's weights lie on disk."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import CheckpointError, NotReleased
from .preset import Preset, WeightsConfig


def weights_directory(preset: Preset) -> Path | None:
    """The directory that holds a preset's weights; None if they are drawn at random.

    Raises NotReleased, or CheckpointError if the directory lacks some of the files that the preset names.
    """
    weights = preset.weights
    if weights.source == "random":
        return None
    if weights.source == "unreleased":
        raise not_released(preset)
    directory = default_directory(weights) if weights.source == "hub" else Path(weights.path)
    missing = [part for part in needed_parts(preset) if not _is_there(directory, part)]
    if missing:
        fetch = f"`worldloom fetch {preset.name}`"
        raise CheckpointError(
            f"the weights of preset {preset.name!r} are not complete: {directory} lacks {', '.join(missing)}",
            hint=f"Run {fetch}." if weights.source == "hub" else f"Correct the path, or run {fetch} --dir DIRECTORY.",
        )
    return directory


def default_directory(weights: WeightsConfig) -> Path:
    """Where a repository's weights are kept: below WORLDLOOM_CACHE, or `worldloom/` in the user's cache folder."""
    own = os.environ.get("WORLDLOOM_CACHE")
    root = Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "worldloom"
    revision = "" if weights.revision == "main" else f"@{weights.revision.replace('/', '--')}"
    return root / f"{weights.repo.replace('/', '--')}{revision}"


def needed_parts(preset: Preset) -> list[str]:
    """Files, and folders with a slash at the end, that a preset's model is made of."""
    weights = preset.weights
    experts = (weights.transformer_dir,) if preset.mixture is None else preset.mixture.experts
    files = dict.fromkeys([weights.vae_file, weights.decoder_path, weights.text_file])
    return [*(f"{name}/" for name in (*experts, weights.tokenizer_dir)), *files]


def not_released(preset: Preset) -> NotReleased:
    """The error for weights that nobody has yet."""
    return NotReleased(
        f"the weights of preset {preset.name!r} have not been released by their publisher",
        hint="Use mg3-5b, or point the preset at a directory with your own weights.",
    )


def _is_there(directory: Path, part: str) -> bool:
    path = directory / part
    return any(path.iterdir()) if part.endswith("/") and path.is_dir() else path.is_file()
