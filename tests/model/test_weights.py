from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from worldloom.errors import CheckpointError, ConfigError, DoesNotFit, NotReleased
from worldloom.model.fast import fuse
from worldloom.model.fast.stack import FusedStack
from worldloom.model.load import load_rollout
from worldloom.model.mixture import LOW_NOISE, MixtureConfig
from worldloom.model.precision import Precision
from worldloom.model.preset import Preset, load_preset
from worldloom.model.rehearsal import still_clips
from worldloom.model.tokenizer import word_pipeline
from worldloom.model.weights import load_decoder, load_encoder, load_experts, load_parts, load_text_encoder

TINY = load_preset("tiny")
MIXTURE = replace(TINY, mixture=MixtureConfig(boundary=0.9))


def same_weights(first: nn.Module, second: nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def write_checkpoint(preset: Preset, directory: Path) -> Preset:
    """Saves the seeded networks of `preset` in the layout of a checkpoint; returns the preset that loads it."""
    transformer = load_parts(preset, "cpu").expert_for(0, "first_person")
    folder = directory / preset.weights.transformer_dir
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(transformer.config.to_dict()))
    save_file(transformer.state_dict(), folder / "diffusion_pytorch_model.safetensors")
    vae = {**load_encoder(preset, "cpu").state_dict(), **load_decoder(preset, "cpu").state_dict()}
    save_file(vae, directory / preset.weights.vae_file)
    save_file(load_text_encoder(preset, "cpu").network.state_dict(), directory / preset.weights.text_file)
    (directory / preset.weights.tokenizer_dir).mkdir()
    word_pipeline(["stone", "hall"]).save(str(directory / preset.weights.tokenizer_dir / "tokenizer.json"))
    return preset.with_directory(directory)


def test_the_same_seed_gives_the_same_networks_and_another_seed_others() -> None:
    other = TINY.with_random_weights(seed=99)
    for load in (load_encoder, load_decoder):
        assert same_weights(load(TINY, "cpu"), load(TINY, "cpu"))
        assert not same_weights(load(TINY, "cpu"), load(other, "cpu"))
    assert same_weights(
        load_parts(TINY, "cpu").expert_for(0, "first_person"), load_parts(TINY, "cpu").expert_for(0, "first_person")
    )


def test_drawing_weights_leaves_the_global_generator_and_dtype_alone() -> None:
    before = torch.random.get_rng_state()
    load_parts(replace(TINY, dtype="bfloat16"), "cpu")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.get_default_dtype() == torch.float32


def test_a_directory_gives_the_weights_and_the_vocabulary_that_were_saved(tmp_path: Path) -> None:
    preset = write_checkpoint(TINY, tmp_path)
    assert same_weights(load_encoder(preset, "cpu"), load_encoder(TINY, "cpu"))
    assert same_weights(load_decoder(preset, "cpu"), load_decoder(TINY, "cpu"))
    saved, loaded = (load_parts(each, "cpu").expert_for(0, "first_person") for each in (TINY, preset))
    assert same_weights(loaded, saved)
    assert load_parts(preset, "cpu").encode_text("stone hall").shape == (3, TINY.text.dim)


def test_a_transformer_that_does_not_go_with_the_presets_other_parts_is_refused(tmp_path: Path) -> None:
    preset = write_checkpoint(TINY, tmp_path)
    path = tmp_path / preset.weights.transformer_dir / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "text_len": 16}))
    with pytest.raises(ConfigError, match="text_len are 16 and 8"):
        load_parts(preset, "cpu")


def test_an_unreleased_model_is_not_loaded() -> None:
    with pytest.raises(NotReleased):
        load_decoder(load_preset("mg3-28b"), "cpu")


def test_parts_encode_an_image_and_a_prompt_to_the_presets_shapes() -> None:
    parts = load_parts(TINY, "cpu")
    with torch.inference_mode():
        latent = parts.encode_image(torch.zeros(1, 3, 1, TINY.video.height, TINY.video.width))
    assert latent.shape == (1, TINY.latent_channels, 1, TINY.latent_height, TINY.latent_width)
    assert parts.encode_text("a").shape == (2, TINY.text.dim)


def test_a_mixture_has_an_expert_for_each_noise_level_and_viewpoint() -> None:
    expert_for = load_parts(MIXTURE, "cpu").expert_for
    first, third = expert_for(950, "first_person"), expert_for(950, "third_person")
    low = expert_for(500, "first_person")
    assert low is expert_for(500, "third_person")
    assert low.config.action_config is None
    assert first.config.action_config is not None
    assert not same_weights(first, third)


def test_every_expert_of_a_mixture_has_a_directory_of_its_own(tmp_path: Path) -> None:
    preset = write_checkpoint(MIXTURE, tmp_path)
    experts = load_parts(MIXTURE, "cpu").expert_for
    with pytest.raises(CheckpointError, match=LOW_NOISE):
        load_parts(preset, "cpu")
    for name, model in {
        "high_noise_first_person": experts(950, "first_person"),
        "high_noise_third_person": experts(950, "third_person"),
        LOW_NOISE: experts(0, "first_person"),
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(model.config.to_dict()))
        save_file(model.state_dict(), tmp_path / name / "diffusion_pytorch_model.safetensors")
    loaded = load_parts(preset, "cpu").expert_for
    for timestep, viewpoint in ((950, "first_person"), (950, "third_person"), (0, "first_person")):
        assert same_weights(loaded(timestep, viewpoint), experts(timestep, viewpoint))


@pytest.mark.parametrize("precision", [Precision.INT8, Precision.FP8, Precision.FP8_ATTENTION])
def test_a_model_in_8_bits_is_the_same_drawn_or_loaded_block_by_block_or_fused_as_a_whole(
    tmp_path: Path, precision: Precision
) -> None:
    drawn, loaded = (
        load_parts(preset.with_precision(precision), "cpu").expert_for(0, "first_person")
        for preset in (TINY, write_checkpoint(TINY, tmp_path))
    )
    whole = load_parts(TINY, "cpu").expert_for(0, "first_person")
    fuse(whole, precision)
    assert isinstance(drawn.blocks, FusedStack)
    assert same_weights(drawn, loaded) and same_weights(drawn, whole)


def test_a_precision_that_the_gpu_lacks_is_refused_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    with pytest.raises(DoesNotFit, match=r"fp8 needs .* has 8\.6"):
        load_experts(TINY.with_precision(Precision.FP8), "cuda:0")


def test_camera_terms_are_the_same_kept_or_computed_in_each_step() -> None:
    _, clip = still_clips(TINY)
    kept, anew = (
        load_rollout(replace(TINY, camera_cache=cache, text_device="cpu"), "cpu").denoise(clip).latents
        for cache in (True, False)
    )
    assert torch.equal(kept, anew)


@pytest.mark.parametrize("name", ["pocket", "tiny"])
def test_a_preset_without_weights_still_reads_any_prompt(name: str) -> None:
    preset = load_preset(name).with_random_weights()
    states = load_text_encoder(preset, "cpu").encode(["a courtyard, ünder ★ stars"])[0]
    assert states.shape[1] == preset.text.dim and 0 < states.shape[0] <= preset.text.text_len


LOADING = """
import sys
from worldloom.model.preset import load_preset
from worldloom.model.weights import load_parts
load_parts(load_preset("tiny"), "cpu")
assert not {"torch._dynamo", "sympy"} & sys.modules.keys()
"""


def test_loading_a_model_loads_no_compiler() -> None:
    # It takes longer than PyTorch itself.
    subprocess.run([sys.executable, "-c", LOADING], check=True)
