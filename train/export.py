"""Trained weights as files to ship: the published directory layout and key names, in bf16 or int8.

Int8 tensors have a float32 scale for each row (`NAME` and `NAME_scale`), as the model's loader reads them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..errors import CheckpointError
from ..model.checkpoint import TRANSFORMER_STEM
from ..model.preset import Preset
from ..model.quantization import quantize_weight
from ..model.tokenizer import FILE_NAME
from .base import load_model
from .checkpoints import has_weights
from .mixture import MixtureRecipe
from .prompts import PromptTokens
from .prune import folder_name, load_pruned
from .stage import Workplace
from .vae import load_autoencoder
from .world_model import WorldModel

INT8_MIN_NUMEL = 4096
"""Smaller weights stay bf16: their scales would cost as much as they save."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportRecipe:
    """What is shipped, and how small."""

    limit_bytes: int = 24_000_000
    transformer_int8: bool = True
    vae_int8: bool = True
    text_int8: bool = True
    pruning_rates: tuple[float, ...] = (0.5, 0.75)
    with_base: bool = False
    with_mixture: bool = False


def export(recipe: ExportRecipe, mixture: MixtureRecipe, place: Workplace, target: Path) -> dict[str, int]:
    """Writes the run's weights to `target`; returns the bytes of each file.

    Raises CheckpointError where a stage has not run, or where the files are larger than the recipe allows.
    """
    preset = place.preset
    files = preset.weights
    student = load_model(place, "distill" if has_weights(place.out / "distill") else "base")
    _save_transformer(student, target / files.transformer_dir, preset, int8=recipe.transformer_int8)
    _save(student.text.state_dict(), target / files.text_file, int8=recipe.text_int8)
    _save_tokenizer(target / files.tokenizer_dir, preset.text.text_len)
    _save_vae(recipe, place, target / files.vae_file)
    if recipe.with_base:
        _save_transformer(load_model(place, "base"), target / "base_model", preset, int8=recipe.transformer_int8)
    if recipe.with_mixture:
        for name in mixture.experts:
            _save_transformer(load_model(place, name), target / name, preset, int8=recipe.transformer_int8)
    sizes = {str(path.relative_to(target)): path.stat().st_size for path in sorted(target.rglob("*")) if path.is_file()}
    if sum(sizes.values()) > recipe.limit_bytes:
        raise CheckpointError(
            f"the exported files have {sum(sizes.values()):,} bytes, {recipe.limit_bytes:,} are allowed: {sizes}",
            hint="Store more as int8, leave files out, or train a smaller model.",
        )
    return sizes


def export_all(recipe: ExportRecipe, mixture: MixtureRecipe, place: Workplace, target: Path) -> dict[str, int]:
    """As `export`, but everything that the run has trained, however large: for measuring, not for the package."""
    everything = replace(
        recipe,
        limit_bytes=2**40,
        pruning_rates=tuple(rate for rate in recipe.pruning_rates if has_weights(place.out / folder_name(rate))),
        with_base=has_weights(place.out / "base"),
        with_mixture=all(has_weights(place.out / name) for name in mixture.experts),
    )
    return export(everything, mixture, place, target)


def pruned_file(vae_file: str, rate: float) -> str:
    """Name of the file of a pruned decoder, beside the whole VAE's."""
    path = Path(vae_file)
    return str(path.with_name(f"{path.stem}_decoder{round(100 * rate)}{path.suffix}"))


def _save_vae(recipe: ExportRecipe, place: Workplace, path: Path) -> None:
    network = load_autoencoder(place)
    stats = {
        "latents_mean": network.coder.latents_mean.flatten().cpu(),
        "latents_std": network.coder.latents_std.flatten().cpu(),
    }
    _save({**network.coder.state_dict(), **network.decoder.state_dict()}, path, int8=recipe.vae_int8, exact=stats)
    for rate in recipe.pruning_rates:
        decoder = load_pruned(place, rate)
        _save(decoder.state_dict(), Path(pruned_file(str(path), rate)), int8=recipe.vae_int8, exact=stats)


def _save_transformer(model: WorldModel, folder: Path, preset: Preset, *, int8: bool) -> None:
    _save(model.transformer.state_dict(), folder / f"{TRANSFORMER_STEM}.safetensors", int8=int8)
    (folder / "config.json").write_text(json.dumps(model.transformer.config.to_dict(), indent=1) + "\n")


def _save_tokenizer(folder: Path, text_len: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    PromptTokens(text_len).pipeline.save(str(folder / FILE_NAME))


def _save(state: Mapping[str, Tensor], path: Path, *, int8: bool, exact: Mapping[str, Tensor] | None = None) -> None:
    """Writes a state dict, large weights as int8 where asked; `exact` tensors are added as they are."""
    tensors: dict[str, Tensor] = dict(exact or {})
    for name, tensor in state.items():
        value = tensor.detach().cpu()
        is_large = value.ndim >= 2 and value.numel() >= INT8_MIN_NUMEL and name.endswith("weight")
        if int8 and is_large:
            weight, scale = quantize_weight(value.flatten(1))
            tensors[name] = weight.view(value.shape).contiguous()
            tensors[f"{name}_scale"] = scale
        else:
            tensors[name] = value.to(torch.bfloat16).contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    # safetensors lets only the owner read what it writes; a package is for all.
    path.chmod(0o644)
