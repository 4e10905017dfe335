"""Weights stored in 8 bits: what is read from them, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from worldloom.errors import ConfigError
from worldloom.model.convert import convert, convert_transformer
from worldloom.model.load import load_rollout
from worldloom.model.precision import Precision
from worldloom.model.preset import Preset, load_preset
from worldloom.model.rehearsal import still_clips
from worldloom.model.tensor_files import open_tensors, shard_paths
from worldloom.model.weights import load_decoder, load_parts
from worldloom.serve.commands.convert import convert as command

from .test_weights import same_weights, write_checkpoint

TINY = replace(load_preset("tiny"), dtype="bfloat16")
STEM = "diffusion_pytorch_model"


@pytest.fixture
def stored(tmp_path: Path) -> Preset:
    return write_checkpoint(TINY, tmp_path / "plain")


@pytest.mark.parametrize("precision", [Precision.INT8, Precision.FP8])
def test_what_loads_is_what_quantising_at_load_makes(stored: Preset, tmp_path: Path, precision: Precision) -> None:
    convert(stored, tmp_path / "small", precision)
    small = stored.with_directory(tmp_path / "small")
    clip = still_clips(TINY)[1]
    converted, plain = (load_rollout(one.with_precision(precision), "cpu").denoise(clip) for one in (small, stored))
    assert torch.equal(converted.latents, plain.latents)
    assert same_weights(load_decoder(small, "cpu"), load_decoder(stored, "cpu"))
    assert load_parts(small, "cpu").encode_text("stone hall").shape == (3, TINY.text.dim)


def test_converting_again_changes_nothing(stored: Preset, tmp_path: Path) -> None:
    convert(stored, tmp_path / "once", Precision.FP8)
    convert(stored.with_directory(tmp_path / "once"), tmp_path / "twice", Precision.FP8)
    once, twice = (
        load_file(tmp_path / name / TINY.weights.transformer_dir / f"{STEM}-00000.safetensors")
        for name in ("once", "twice")
    )
    assert once.keys() == twice.keys()
    assert all(torch.equal(tensor.float(), twice[name].float()) for name, tensor in once.items())
    assert once["blocks.0.ffn.0.weight"].dtype == torch.float8_e4m3fn
    assert once["blocks.0.ffn.0.weight_scale"].dtype == torch.float32
    assert once["head.head.weight"].dtype == torch.bfloat16


def test_shards_stay_below_their_size_and_hold_everything(stored: Preset, tmp_path: Path) -> None:
    source = Path(stored.weights.path) / stored.weights.transformer_dir
    convert_transformer(source, tmp_path / "sharded", Precision.INT8, shard_bytes=400_000)
    paths = shard_paths(tmp_path / "sharded", STEM)
    assert len(paths) > 1
    assert all(path.stat().st_size < 420_000 for path in paths)
    with open_tensors(*paths) as parts, open_tensors(*shard_paths(source, STEM)) as whole:
        assert {name for name in parts.shapes if not name.endswith("_scale")} == set(whole.shapes)


def test_nothing_is_overwritten_and_random_weights_are_refused(stored: Preset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="exists already"):
        convert(stored, tmp_path, Precision.FP8)
    with pytest.raises(ConfigError, match="random weights"):
        convert(TINY, tmp_path / "new", Precision.FP8)
    with pytest.raises(ConfigError, match="bf16"):
        convert(stored, tmp_path / "new", Precision.BF16)
    assert not (tmp_path / "new").exists()


def test_the_command_converts_a_directory(stored: Preset, tmp_path: Path) -> None:
    target = tmp_path / "small"
    arguments = [str(target), "--preset", "tiny", "--weights", stored.weights.path, "--precision", "int8"]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0 and str(target) in result.output
    assert (target / TINY.weights.transformer_dir / f"{STEM}.safetensors.index.json").is_file()
