"""What is shipped fits its limit, whatever the weights turn out to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from worldloom.model.preset import load_preset
from worldloom.model.vae import Decoder
from worldloom.train.autoencoder import Autoencoder
from worldloom.train.checkpoints import save_weights
from worldloom.train.export import export
from worldloom.train.prune import folder_name
from worldloom.train.recipe import load_recipe
from worldloom.train.stage import Workplace
from worldloom.train.world_model import WorldModel

from .tiny_worlds import workplace


def test_the_pocket_world_fits_into_the_package(tmp_path: Path) -> None:
    recipe = load_recipe("pocket")
    preset = load_preset(recipe.preset)
    place: Workplace = replace(workplace(tmp_path), preset=preset)
    stats = {"latents_mean": [0.0] * preset.vae.z_dim, "latents_std": [1.0] * preset.vae.z_dim}
    save_weights(tmp_path / "vae", Autoencoder(preset.vae).state_dict(), meta=stats)
    save_weights(tmp_path / "distill", WorldModel(preset).state_dict())
    for rate in recipe.export.pruning_rates:
        save_weights(tmp_path / folder_name(rate), Decoder(replace(preset.vae, pruning_rate=rate)).state_dict())
    sizes = export(recipe.export, recipe.mixture, place, tmp_path / "export")
    assert recipe.export.limit_bytes == 24_000_000
    assert 20_000_000 < sum(sizes.values()) <= 24_000_000
