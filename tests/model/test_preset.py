from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from worldloom.errors import ConfigError, PresetUnknown
from worldloom.model import preset as preset_module
from worldloom.model.precision import Precision
from worldloom.model.preset import DecoderChoice, list_presets, load_preset

MINIMAL = """
name = "small"
description = "for this test"
engine = "mock"

[weights]
source = "random"

[video]
height = 64
width = 96
frame_rate = 16

[sampling]
steps = 3

[vae]
z_dim = 4
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_the_shipped_presets_are_those_that_the_documentation_names() -> None:
    assert list_presets() == [
        "mg3-28b",
        "mg3-5b",
        "mg3-5b-16gb",
        "mg3-5b-24gb",
        "mg3-5b-base",
        "mock",
        "pocket",
        "tiny",
    ]


@pytest.mark.parametrize("name", list_presets())
def test_every_shipped_preset_loads_and_its_shapes_agree(name: str) -> None:
    preset = load_preset(name)
    assert preset.name == name
    assert preset.latent_height * 16 == preset.video.height
    assert preset.latent_width * 16 == preset.video.width
    assert (preset.transformer is None) == (preset.engine == "mock")


@pytest.mark.parametrize("name", list_presets())
def test_presets_survive_pickling(name: str) -> None:
    preset = load_preset(name)
    assert pickle.loads(pickle.dumps(preset)) == preset


def test_reading_presets_imports_neither_torch_nor_ray() -> None:
    code = (
        "import sys; from worldloom.model.preset import load_preset; load_preset('mg3-5b'); "
        "assert not {'torch', 'ray'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_5b_has_the_published_token_count_and_a_pruned_decoder_beside_a_full_encoder() -> None:
    preset = load_preset("mg3-5b")
    assert preset.tokens_per_frame == 880
    assert preset.vae.encoder_widths == (160, 160, 320, 640, 640)
    assert preset.decoder.decoder_widths == (256, 256, 256, 128, 64)


def test_the_base_model_changes_only_what_distillation_changed() -> None:
    base, distilled = load_preset("mg3-5b-base"), load_preset("mg3-5b")
    assert (base.sampling.steps, base.sampling.guidance) == (50, 5.0)
    assert base.sampling.negative_prompt
    assert base.weights.decoder_path == base.weights.vae_file
    assert base.transformer == distilled.transformer


def test_presets_for_small_gpus_are_the_same_model() -> None:
    full = load_preset("mg3-5b")
    for name in ("mg3-5b-24gb", "mg3-5b-16gb"):
        small = load_preset(name)
        assert small.precision is Precision.FP8
        assert small.text_device == "cpu"
        assert (small.transformer, small.weights, small.decoder) == (full.transformer, full.weights, full.decoder)
    assert not small.camera_cache


def test_a_decoder_is_chosen_with_its_file() -> None:
    preset = load_preset("mg3-5b")
    chosen = {choice: preset.with_decoder(choice) for choice in DecoderChoice}
    assert {choice: one.decoder_pruning_rate for choice, one in chosen.items()} == {"full": 0, "p50": 0.5, "p75": 0.75}
    files = [one.weights.decoder_path for one in chosen.values()]
    assert files == ["Wan2.2_VAE.pth", "MG-LightVAE.pth", "MG-LightVAE_v2.pth"]


def test_weights_without_a_pruned_decoder_refuse_it_and_random_ones_do_not(tmp_path: Path) -> None:
    whole = load_preset("tiny")
    preset = replace(whole, weights=replace(whole.weights, decoder_p50_file=""))
    assert preset.with_decoder(DecoderChoice.P50).decoder.pruning_rate == 0.5
    with pytest.raises(ConfigError, match="50%") as caught:
        preset.with_directory(tmp_path).with_decoder(DecoderChoice.P50)
    assert "decoder_p50_file" in caught.value.hint


def test_an_unknown_preset_is_refused_with_the_known_names() -> None:
    with pytest.raises(PresetUnknown, match="no-such") as caught:
        load_preset("no-such")
    assert "pocket" in caught.value.hint


@pytest.mark.parametrize("name", ["../pocket", "presets/pocket", "", "/etc/passwd"])
def test_a_name_cannot_leave_the_preset_folder(name: str) -> None:
    with pytest.raises(PresetUnknown):
        load_preset(name)


def test_a_preset_file_outside_the_package_loads_by_path(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.toml", MINIMAL)
    assert load_preset(path) == load_preset(str(path))
    assert load_preset(path).latent_width == 6


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("steps = 3", "steps = 0", "sampling.steps"),
        ("steps = 3", "steps = 3\ncolour = 1", "sampling.colour"),
        ("height = 64", "height = 72", "video.height"),
        ("frame_rate = 16", "frame_rate = 'fast'", "video.frame_rate"),
        ('source = "random"', 'source = "moon"', "weights.source"),
        ("[vae]", "[vea]\n[vae]", "vea"),
        ("z_dim = 4", "pruning_rate = 1.0", "vae.pruning_rate"),
        ("[vae]", "[mock]\nchunk_time_s = -1\n[vae]", "mock.chunk_time_s"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, old: str, new: str, named: str) -> None:
    path = write(tmp_path / "bad.toml", MINIMAL.replace(old, new))
    with pytest.raises(ConfigError, match=named):
        load_preset(path)


def test_a_file_that_is_not_toml_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not TOML"):
        load_preset(write(tmp_path / "bad.toml", "name = "))


def test_a_vae_of_another_reduction_is_refused(tmp_path: Path) -> None:
    text = MINIMAL.replace("z_dim = 4", "dim_mult = [1, 2]\ntemporal_downsample = [true]")
    with pytest.raises(ConfigError, match="space by 4"):
        load_preset(write(tmp_path / "bad.toml", text))


def test_a_rollout_preset_needs_a_transformer(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="transformer"):
        load_preset(write(tmp_path / "bad.toml", MINIMAL.replace("mock", "rollout")))


def test_only_the_mock_takes_a_time_that_it_is_told(tmp_path: Path) -> None:
    text = 'extends = "{}"\n[mock]\nchunk_time_s = 0.5\n'
    assert load_preset(write(tmp_path / "slow.toml", text.format("mock"))).mock.chunk_time_s == 0.5
    with pytest.raises(ConfigError, match=r"\[mock\]"):
        load_preset(write(tmp_path / "bad.toml", text.format("tiny")))


def test_parts_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    text = 'extends = "tiny"\n[vae]\nz_dim = 5\n'
    with pytest.raises(ConfigError, match=r"in_dim and vae\.z_dim are 4 and 5"):
        load_preset(write(tmp_path / "bad.toml", text))


def test_a_transformer_that_cannot_be_is_refused(tmp_path: Path) -> None:
    text = 'extends = "tiny"\n[transformer]\nnum_heads = 5\n'
    with pytest.raises(ConfigError, match="heads"):
        load_preset(write(tmp_path / "bad.toml", text))


def test_extending_merges_tables_and_replaces_values(tmp_path: Path) -> None:
    parent = write(tmp_path / "parent.toml", MINIMAL)
    child = write(tmp_path / "child.toml", f'extends = "{parent}"\nname = "child"\n[video]\nwidth = 128\n')
    preset = load_preset(child)
    assert (preset.name, preset.video.height, preset.video.width) == ("child", 64, 128)


def test_presets_that_extend_each_other_are_refused(tmp_path: Path) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    write(first, f'extends = "{second}"')
    write(second, f'extends = "{first}"')
    with pytest.raises(ConfigError, match="extends itself"):
        load_preset(first)


def test_package_weights_count_as_trained_only_where_they_are_present(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = (preset_module.PRESETS_DIR / "pocket.toml").read_text(encoding="utf-8")
    write(tmp_path / "small.toml", shipped.replace('name = "pocket"', 'name = "small"'))
    monkeypatch.setattr(preset_module, "PRESETS_DIR", tmp_path)
    absent = load_preset("small")
    assert (absent.weights.source, absent.trained) == ("random", False)
    (tmp_path / "small" / absent.weights.transformer_dir).mkdir(parents=True)
    write(tmp_path / "small" / absent.weights.transformer_dir / "config.json", "{}")
    present = load_preset("small")
    assert (present.weights.path, present.trained) == (str(tmp_path / "small"), True)


def test_weights_can_be_pointed_at_a_directory_or_at_random(tmp_path: Path) -> None:
    preset = load_preset("mg3-5b")
    local = preset.with_directory(tmp_path)
    assert (local.weights.source, local.weights.path, local.trained) == ("directory", str(tmp_path), True)
    seeded = preset.with_random_weights(7)
    assert (seeded.weights.seed, seeded.trained) == (7, False)
    assert replace(seeded, weights=preset.weights) == preset


@pytest.mark.parametrize("decoder, rate", [("full", 0.0), ("p50", 0.5)])
def test_a_preset_file_names_its_decoder_in_one_line(tmp_path: Path, decoder: str, rate: float) -> None:
    path = write(tmp_path / "mine.toml", f'extends = "pocket"\nname = "mine"\ndecoder = "{decoder}"\n')
    preset = load_preset(path)
    assert preset.decoder_pruning_rate == rate
    assert preset.weights.decoder_path == ("vae.safetensors" if rate == 0 else "vae_decoder50.safetensors")


def test_a_decoder_that_there_is_not_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "mine.toml", 'extends = "pocket"\nname = "mine"\ndecoder = "p20"\n')
    with pytest.raises(ConfigError, match="p50"):
        load_preset(path)
