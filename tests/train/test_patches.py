"""A transformer with large patches starts one with smaller."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from worldloom.errors import CheckpointError
from worldloom.model.layout import patchify, split_dim, unpatchify
from worldloom.model.preset import Preset, load_preset
from worldloom.train.checkpoints import STATE, load_weights, save_weights
from worldloom.train.patches import refine, refined
from worldloom.train.world_model import WorldModel, start_weights

from .tiny_worlds import workplace


def with_patches(size: tuple[int, int]) -> Preset:
    preset = load_preset("tiny")
    config = preset.transformer
    assert config is not None and config.action_config is not None
    action = replace(config.action_config, patch_size=(1, *size))
    return replace(preset, transformer=replace(config, patch_size=(1, *size), action_config=action))


def started(preset: Preset) -> WorldModel:
    model = WorldModel(preset)
    start_weights(model, torch.Generator().manual_seed(0))
    head = model.transformer.head.head
    torch.nn.init.normal_(head.weight, generator=torch.Generator().manual_seed(1))
    torch.nn.init.normal_(head.bias, generator=torch.Generator().manual_seed(2))
    return model


@pytest.mark.parametrize("fine", [(1, 2), (2, 1), (1, 1)])
def test_small_patches_see_what_the_large_ones_saw_and_say_their_mean(fine: tuple[int, int]) -> None:
    coarse, model = started(with_patches((2, 2))), WorldModel(with_patches(fine))
    model.load_state_dict(refined(coarse.state_dict(), (2, 2), fine))
    patches = torch.randn(1, 4, 1, 2, 3, generator=torch.Generator().manual_seed(3))
    latents = patches.repeat_interleave(2, 3).repeat_interleave(2, 4)

    def on_latents(tokens: Tensor, size: tuple[int, ...]) -> Tensor:
        """(B, N, D) tokens at every latent that they stand for."""
        grid = split_dim(tokens.movedim(-1, 1), 2, (1, 4 // size[0], 6 // size[1]))
        return grid.repeat_interleave(size[0], 3).repeat_interleave(size[1], 4)

    def embedded(network: WorldModel, size: tuple[int, ...]) -> Tensor:
        return on_latents(network.transformer.patch_embedding(latents), size)

    def camera(network: WorldModel, size: tuple[int, ...]) -> Tensor:
        rays = latents.repeat(1, 384, 1, 1, 1)
        layer = network.transformer.patch_embedding_wancamctrl
        return on_latents(layer(patchify(rays, (1, *size))), size)

    def made(network: WorldModel, size: tuple[int, ...]) -> Tensor:
        """(B, C, T, h, w) from a token of ones for each patch."""
        head = network.transformer.head.head
        count = 24 // (size[0] * size[1])
        return unpatchify(head(torch.ones(1, count, head.in_features)), (1, 4, 6), (1, *size))

    torch.testing.assert_close(embedded(model, fine), embedded(coarse, (2, 2)))
    torch.testing.assert_close(camera(model, fine), camera(coarse, (2, 2)), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(made(model, fine).mean(), made(coarse, (2, 2)).mean())


def test_a_folder_is_refined_once_and_loses_the_state_of_the_coarse_run(tmp_path: Path) -> None:
    ranks = workplace(tmp_path).ranks
    save_weights(tmp_path, started(with_patches((2, 2))).state_dict(), meta={"note": 1})
    (tmp_path / STATE).touch()
    refine(tmp_path, (1, 1, 2), ranks)
    weights, meta = load_weights(tmp_path)
    WorldModel(with_patches((1, 2))).load_state_dict(weights)
    assert meta == {"note": 1} and not (tmp_path / STATE).exists()
    (tmp_path / STATE).touch()
    refine(tmp_path, (1, 1, 2), ranks)
    assert (tmp_path / STATE).exists()
    with pytest.raises(CheckpointError, match="1×2 latents cannot be cut into 2×2"):
        refine(tmp_path, (1, 2, 2), ranks)
