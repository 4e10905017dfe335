"""All stages through the command line, on the smoke recipe with smaller pictures, and what they leave behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from worldloom.errors import CheckpointError, ConfigError
from worldloom.model.checkpoint import load_text, load_transformer, load_vae_decoder, load_vae_encoder
from worldloom.model.preset import load_preset
from worldloom.model.tokenizer import Tokenizer
from worldloom.train.base import load_model
from worldloom.train.bundle import pack, unpack
from worldloom.train.checkpoints import load_state, load_weights
from worldloom.train.commands.train import train
from worldloom.train.recipe import RECIPES_DIR, load_recipe
from worldloom.train.vae import load_autoencoder

from .tiny_worlds import workplace

STAGES = ("vae", "prune", "base", "distill", "mixture", "export")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The smoke recipe with the smallest pictures."""
    folder = tmp_path_factory.mktemp("recipe")
    preset = folder / "small.toml"
    preset.write_text('extends = "tiny"\nname = "small"\n[video]\nheight = 32\nwidth = 64\n')
    text = (RECIPES_DIR / "smoke.toml").read_text().replace('"tiny"', f'"{preset}"')
    small = folder / "recipe.toml"
    small.write_text(text.replace("height = 64, width = 96", "height = 32, width = 64"))
    return str(small)


@pytest.fixture(scope="module")
def out(recipe: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run of that recipe."""
    folder = tmp_path_factory.mktemp("run")
    result = CliRunner().invoke(
        train, ["run", *STAGES, "--recipe", recipe, "--out", str(folder), "--device", "cpu"], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return folder


def test_every_stage_leaves_figures_and_pictures(out: Path) -> None:
    for stage in STAGES:
        assert json.loads((out / "figures" / f"{stage}.json").read_text())["total_s"] > 0
    for picture in ("vae/vae.png", "vae/vae-strip.png", "base/base-strip.png", "distill/distill-control.png"):
        assert (out / picture).stat().st_size < 400_000
    rows = [json.loads(line) for line in (out / "base" / "base.jsonl").read_text().splitlines()]
    assert rows and all(row["loss"] > 0 for row in rows)


def test_exported_files_load_as_the_model_that_was_trained(out: Path) -> None:
    preset = load_preset("tiny")
    place = workplace(out)
    assert preset.transformer is not None
    folder, cpu, dtype = out / "export", torch.device("cpu"), torch.float32
    shipped = load_transformer(folder / preset.weights.transformer_dir, device=cpu, dtype=dtype)
    trained = load_model(place, "distill")
    for name, tensor in trained.transformer.state_dict().items():
        # Int8 rounds to 1/254 of a row's largest weight.
        torch.testing.assert_close(shipped.state_dict()[name], tensor, atol=0.01, rtol=0.02)
    text = load_text(folder / preset.weights.text_file, preset.text, device=cpu, dtype=dtype)
    assert text.token_embedding.weight.shape == trained.text.token_embedding.weight.shape
    tokenizer = Tokenizer.from_directory(folder / preset.weights.tokenizer_dir, preset.text.text_len)
    assert tokenizer.vocab_size <= preset.text.vocab
    encoder = load_vae_encoder(folder / preset.weights.vae_file, preset.vae, device=cpu, dtype=dtype)
    decoder = load_vae_decoder(folder / preset.weights.vae_file, preset.vae, device=cpu, dtype=dtype)
    autoencoder = load_autoencoder(place)
    torch.testing.assert_close(encoder.latents_mean, autoencoder.coder.latents_mean)
    torch.testing.assert_close(decoder.latents_std, autoencoder.decoder.latents_std)
    assert float(encoder.latents_std.min()) > 0


def test_a_stage_goes_on_from_its_state_or_from_weights_alone(out: Path, recipe: str) -> None:
    cpu = torch.device("cpu")
    folder = out / "prune50"
    before, (weights, _) = load_state(folder, cpu), load_weights(folder)
    args = ["prune", "--recipe", recipe, "--out", str(out), "--device", "cpu", "--seconds", "0.001"]
    assert CliRunner().invoke(train, args, catch_exceptions=False).exit_code == 0
    after = load_state(folder, cpu)
    assert before is not None and after is not None and after["step"] == before["step"]
    # No time was left to train in: what was there has been read and written again.
    for name, tensor in before["network"].items():
        torch.testing.assert_close(after["network"][name], tensor)
    (folder / "state.pt").unlink()
    assert CliRunner().invoke(train, args, catch_exceptions=False).exit_code == 0
    again, _ = load_weights(folder)
    for name, tensor in weights.items():
        torch.testing.assert_close(again[name], tensor)


def test_packed_weights_come_back_where_they_were(out: Path, tmp_path: Path) -> None:
    files = pack(out, tmp_path / "packed", ["vae", "base"])
    assert [path.name for path in files] == ["vae--weights-0.safetensors", "base--weights-0.safetensors", "report.zip"]
    unpack(tmp_path / "packed", tmp_path / "again")
    old, _ = load_weights(out / "base")
    new, _ = load_weights(tmp_path / "again" / "base")
    assert all(torch.equal(old[name], new[name]) for name in old)
    _, meta = load_weights(tmp_path / "again" / "vae")
    assert len(meta["latents_mean"]) == 4


def test_a_stage_without_what_it_needs_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no weights"):
        load_autoencoder(workplace(tmp_path))


@pytest.mark.parametrize("path", sorted(RECIPES_DIR.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_recipes_are_valid_and_name_presets(path: Path) -> None:
    recipe = load_recipe(path.stem)
    assert load_preset(recipe.preset).transformer is not None
    assert recipe.vae.crops[-1].until == 1.0


def test_an_unknown_or_misspelt_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no recipe"):
        load_recipe("nothing")
    wrong = tmp_path / "wrong.toml"
    wrong.write_text((RECIPES_DIR / "smoke.toml").read_text().replace("stats_clips", "stat_clips"))
    with pytest.raises(ConfigError, match="stat_clips"):
        load_recipe(str(wrong))


def test_decoder_learns_on_while_latents_stay(out: Path, recipe: str, tmp_path: Path) -> None:
    for name in ("weights-0.safetensors", "state.pt"):
        (tmp_path / "vae").mkdir(exist_ok=True)
        (tmp_path / "vae" / name).write_bytes((out / "vae" / name).read_bytes())
    before, meta = load_weights(tmp_path / "vae")
    arguments = ["decoder", "--recipe", recipe, "--out", str(tmp_path), "--device", "cpu"]
    result = CliRunner().invoke(train, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    after, meta_after = load_weights(tmp_path / "vae")
    assert meta_after == meta
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"decoder"}


def test_decoder_without_an_autoencoder_is_refused(tmp_path: Path) -> None:
    arguments = ["decoder", "--recipe", "smoke", "--out", str(tmp_path), "--device", "cpu"]
    result = CliRunner().invoke(train, arguments)
    assert result.exit_code == 1 and "no weights" in result.output
