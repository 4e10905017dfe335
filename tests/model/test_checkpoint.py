from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from worldloom.errors import CheckpointError
from worldloom.model.checkpoint import load_text, load_transformer, load_vae_decoder, load_vae_encoder
from worldloom.model.init import init_weights
from worldloom.model.preset import load_preset
from worldloom.model.quantization import Int8Linear, quantize_module, quantize_weight
from worldloom.model.text import UMT5Encoder
from worldloom.model.transformer import WorldTransformer
from worldloom.model.vae import Decoder, Encoder

PRESET = load_preset("tiny")
CPU: dict[str, Any] = {"device": "cpu", "dtype": torch.float32}
assert PRESET.transformer is not None
TRANSFORMER = PRESET.transformer


@pytest.fixture(scope="module")
def transformer() -> WorldTransformer:
    model = WorldTransformer(TRANSFORMER)
    init_weights(model, seed=3)
    return model


@pytest.fixture
def directory(tmp_path: Path, transformer: WorldTransformer) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(TRANSFORMER.to_dict()))
    save_file(transformer.state_dict(), tmp_path / "diffusion_pytorch_model.safetensors")
    return tmp_path


def shard(directory: Path) -> None:
    """Splits the one file of a directory into two with an index."""
    whole = directory / "diffusion_pytorch_model.safetensors"
    tensors = load_file(whole)
    names = {name: f"diffusion_pytorch_model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(tensors)}
    for file in set(names.values()):
        save_file({name: tensors[name] for name in tensors if names[name] == file}, directory / file)
    whole.with_name(f"{whole.name}.index.json").write_text(json.dumps({"weight_map": names}))
    whole.unlink()


def rewrite(directory: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    path = directory / "diffusion_pytorch_model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(tensors)
    save_file(tensors, path)


def assert_same_weights(loaded: nn.Module, original: nn.Module) -> None:
    expected = original.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in loaded.state_dict().items())


def test_a_single_file_loads(directory: Path, transformer: WorldTransformer) -> None:
    assert_same_weights(load_transformer(directory, **CPU), transformer)


def test_shards_load_by_their_index(directory: Path, transformer: WorldTransformer) -> None:
    shard(directory)
    assert_same_weights(load_transformer(directory, **CPU), transformer)


def test_a_model_that_was_loaded_can_be_used(directory: Path) -> None:
    model = load_transformer(directory, device="cpu", dtype=torch.bfloat16)
    assert not model.training
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.bfloat16}
    assert {tensor.device.type for tensor in [*model.parameters(), *model.buffers()]} == {"cpu"}


def test_all_that_does_not_fit_is_listed(directory: Path) -> None:
    def change(tensors: dict[str, Tensor]) -> None:
        del tensors["blocks.0.ffn.0.weight"], tensors["head.modulation"]
        tensors["blocks.7.extra"] = torch.zeros(1)
        tensors["patch_embedding.bias"] = torch.zeros(5)

    rewrite(directory, change)
    with pytest.raises(CheckpointError) as caught:
        load_transformer(directory, **CPU)
    message = caught.value.message
    assert "2 missing (blocks.0.ffn.0.weight, head.modulation)" in message
    assert "1 not expected (blocks.7.extra)" in message
    assert "1 of another shape (patch_embedding.bias (5,) instead of (32,))" in message
    assert caught.value.hint


def test_a_long_list_is_shortened_but_counted(directory: Path) -> None:
    rewrite(directory, lambda tensors: [tensors.pop(name) for name in list(tensors) if "blocks.1" in name][:0])
    with pytest.raises(CheckpointError, match=r"\d\d missing \(.*, …\)") as caught:
        load_transformer(directory, **CPU)
    assert len(caught.value.message) < 500


def test_a_missing_shard_is_named(directory: Path) -> None:
    shard(directory)
    (directory / "diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="00002-of-00002"):
        load_transformer(directory, **CPU)


@pytest.mark.parametrize("name", ["config.json", "diffusion_pytorch_model.safetensors"])
def test_a_missing_file_is_named(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(CheckpointError, match=str(directory)):
        load_transformer(directory, **CPU)


@pytest.mark.parametrize("name", ["config.json", "diffusion_pytorch_model.safetensors"])
def test_a_truncated_file_is_refused(directory: Path, name: str) -> None:
    path = directory / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=name if name.startswith("diff") else "JSON"):
        load_transformer(directory, **CPU)


@pytest.mark.parametrize("content", ["[]", '{"weight_map": 3}', '{"weight_map": {"a": "../../secret"}}', "{"])
def test_an_index_that_is_not_one_is_refused(directory: Path, content: str) -> None:
    (directory / "diffusion_pytorch_model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"index\.json"):
        load_transformer(directory, **CPU)


def vae_tensors() -> dict[str, Tensor]:
    return {**Encoder(PRESET.vae).state_dict(), **Decoder(PRESET.decoder).state_dict()}


def light_name(name: str) -> str:
    """LightVAE's name of the few tensors that are renamed here."""
    return {"conv1.weight": "quant_conv.weight", "decoder.head.2.bias": "decoder.conv_out.bias"}.get(name, name)


@pytest.mark.parametrize("wrapper", [None, "state_dict", "gen_model", "generator"])
def test_both_halves_of_a_vae_load_from_one_pickle_wrapped_or_not(tmp_path: Path, wrapper: str | None) -> None:
    tensors = vae_tensors()
    stored = {light_name(name): tensor for name, tensor in tensors.items()}
    stored["dynamic_feature_projection_heads.0.weight"] = torch.zeros(1)
    torch.save(stored if wrapper is None else {wrapper: stored, "step": 3}, tmp_path / "vae.pth")
    encoder = load_vae_encoder(tmp_path / "vae.pth", PRESET.vae, **CPU)
    decoder = load_vae_decoder(tmp_path / "vae.pth", PRESET.decoder, **CPU)
    loaded = {**encoder.state_dict(), **decoder.state_dict()}
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


def test_a_tensor_of_neither_half_is_not_expected(tmp_path: Path) -> None:
    save_file({**vae_tensors(), "discriminator.weight": torch.zeros(1)}, tmp_path / "vae.safetensors")
    with pytest.raises(CheckpointError, match=r"discriminator\.weight"):
        load_vae_decoder(tmp_path / "vae.safetensors", PRESET.decoder, **CPU)


def test_a_decoder_of_another_width_is_refused(tmp_path: Path) -> None:
    save_file(vae_tensors(), tmp_path / "vae.safetensors")
    with pytest.raises(CheckpointError, match="of another shape"):
        load_vae_decoder(tmp_path / "vae.safetensors", replace(PRESET.vae, pruning_rate=0.5), **CPU)


def test_a_vae_file_may_bring_its_own_latent_statistics(tmp_path: Path) -> None:
    mean, std = torch.tensor([1.0, 2, 3, 4]), torch.tensor([0.5, 1, 2, 4])
    save_file({**vae_tensors(), "latents_mean": mean, "latents_std": std}, tmp_path / "own.safetensors")
    save_file(vae_tensors(), tmp_path / "plain.safetensors")
    for dtype in (torch.float32, torch.bfloat16):
        own = load_vae_encoder(tmp_path / "own.safetensors", PRESET.vae, device="cpu", dtype=dtype)
        assert own.latents_mean.dtype == torch.float32
        assert torch.equal(own.latents_mean.flatten(), mean)
        assert torch.equal(own.latents_std.flatten(), std)
    plain = load_vae_encoder(tmp_path / "plain.safetensors", PRESET.vae, **CPU)
    assert torch.equal(plain.latents_std.flatten(), torch.ones(4))


def test_the_published_statistics_hold_for_48_channels() -> None:
    stored = json.loads((Path(__file__).parents[1] / "golden" / "latent_stats.json").read_text())
    encoder = Encoder(replace(PRESET.vae, z_dim=48))
    assert encoder.latents_mean.flatten().tolist() == pytest.approx(stored["mean"])
    assert encoder.latents_std.flatten().tolist() == pytest.approx(stored["std"])


def test_the_text_encoder_loads(tmp_path: Path) -> None:
    network = UMT5Encoder(PRESET.text)
    torch.save(network.state_dict(), tmp_path / "text.pth")
    assert_same_weights(load_text(tmp_path / "text.pth", PRESET.text, **CPU), network)


def test_an_old_pickle_without_an_archive_loads_too(tmp_path: Path) -> None:
    network = UMT5Encoder(PRESET.text)
    torch.save(network.state_dict(), tmp_path / "text.pth", _use_new_zipfile_serialization=False)
    assert_same_weights(load_text(tmp_path / "text.pth", PRESET.text, **CPU), network)


class Exploit:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    for name, save in (
        ("new.pth", torch.save),
        ("plain.pth", lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))),
    ):
        save({"weight": Exploit(tmp_path / "ran")}, tmp_path / name)
        with pytest.raises(CheckpointError, match=name):
            load_text(tmp_path / name, PRESET.text, **CPU)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [{"weight": 3}, [torch.zeros(1)], {"state_dict": {"lr": 0.1}}])
def test_a_pickle_of_something_else_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "text.pth")
    with pytest.raises(CheckpointError, match="named tensors"):
        load_text(tmp_path / "text.pth", PRESET.text, **CPU)


def int8_layers(model: nn.Module) -> set[str]:
    return {name for name, module in model.named_modules() if isinstance(module, Int8Linear)}


def test_layers_stored_in_full_are_quantised_while_they_load(directory: Path, transformer: WorldTransformer) -> None:
    model = load_transformer(directory, **CPU, int8=True)
    layers = int8_layers(model)
    assert "blocks.0.self_attn.q" in layers
    for name in layers:
        weight, scales = quantize_weight(transformer.get_submodule(name).get_parameter("weight"))
        assert torch.equal(model.get_submodule(name).get_buffer("weight"), weight)
        assert torch.equal(model.get_submodule(name).get_buffer("weight_scale"), scales)


@pytest.fixture
def int8_directory(directory: Path, transformer: WorldTransformer) -> Path:
    """A checkpoint that stores the attention layers in int8."""
    model = WorldTransformer(TRANSFORMER)
    model.load_state_dict(transformer.state_dict())
    quantize_module(model)
    save_file(model.state_dict(), directory / "diffusion_pytorch_model.safetensors")
    return directory


def test_layers_stored_in_int8_compute_in_int8_where_asked(int8_directory: Path) -> None:
    stored = load_file(int8_directory / "diffusion_pytorch_model.safetensors")
    model = load_transformer(int8_directory, device="cpu", dtype=torch.bfloat16, int8=True)
    state = model.state_dict()
    for name in int8_layers(model):
        assert torch.equal(state[f"{name}.weight"], stored[f"{name}.weight"])
        assert torch.equal(state[f"{name}.weight_scale"], stored[f"{name}.weight_scale"])


def test_layers_stored_in_int8_become_numbers_elsewhere(int8_directory: Path, transformer: WorldTransformer) -> None:
    model = load_transformer(int8_directory, **CPU)
    assert int8_layers(model) == set()
    name = "blocks.1.cross_attn.o.weight"
    original, loaded = transformer.get_parameter(name), model.get_parameter(name)
    step = original.abs().amax(dim=1, keepdim=True) / 127
    assert ((loaded - original).abs() <= 0.5001 * step).all()


def test_convolutions_may_be_stored_in_int8(tmp_path: Path) -> None:
    tensors = vae_tensors()
    name = "decoder.conv1.weight"
    weight, scales = quantize_weight(tensors[name].flatten(1))
    stored = {**tensors, name: weight.view(tensors[name].shape), f"{name}_scale": scales}
    save_file(stored, tmp_path / "vae.safetensors")
    decoder = load_vae_decoder(tmp_path / "vae.safetensors", PRESET.decoder, **CPU)
    load_vae_encoder(tmp_path / "vae.safetensors", PRESET.vae, **CPU)
    torch.testing.assert_close(decoder.get_parameter(name), tensors[name], rtol=0, atol=float(scales.max()))


class Allocations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of real memory that operations return, views of what exists left out."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nbytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        inputs = {id(a) for a in args if isinstance(a, Tensor)}
        if isinstance(out, Tensor) and out.device.type != "meta" and not func.is_view and id(out) not in inputs:
            self.nbytes += out.nbytes
        return out


@pytest.mark.parametrize("sharded", [False, True])
def test_weights_in_the_right_dtype_take_no_copy_and_others_one(directory: Path, sharded: bool) -> None:
    if sharded:
        shard(directory)
    with Allocations() as same:
        load_transformer(directory, **CPU)
    with Allocations() as converted:
        model = load_transformer(directory, device="cpu", dtype=torch.bfloat16)
    assert same.nbytes < 0.02 * sum(tensor.nbytes for tensor in model.state_dict().values())
    assert converted.nbytes <= 1.02 * sum(tensor.nbytes for tensor in model.state_dict().values())


PEAK = """
import re, sys, torch
from pathlib import Path
from worldloom.model.checkpoint import load_text
from worldloom.model.text_config import TextConfig
config = TextConfig(vocab=1000, dim=1024, dim_attn=1024, dim_ffn=4096, num_heads=8, num_layers=2)
peak = lambda: 1024 * int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
before = peak()
network = load_text(Path(sys.argv[1]), config, device="cpu", dtype=torch.float32)
print((peak() - before) / sum(tensor.nbytes for tensor in network.parameters()))
"""


@pytest.fixture(scope="module")
def large_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("large")
    config = replace(PRESET.text, vocab=1000, dim=1024, dim_attn=1024, dim_ffn=4096, num_heads=8, num_layers=2)
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in UMT5Encoder(config).state_dict().items()}
    tensors = {name: torch.zeros(shape, dtype=torch.bfloat16) for name, shape in shapes.items()}
    save_file(tensors, folder / "text.safetensors")
    torch.save(tensors, folder / "text.pth")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", ["text.safetensors", "text.pth"])
def test_the_peak_of_memory_is_the_file_and_the_weights_once(large_files: Path, name: str) -> None:
    command = [sys.executable, "-c", PEAK, str(large_files / name)]
    peak = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    # The weights in float32 are 1, the mapped bfloat16 file is 0.5.
    assert 1 <= peak < 1.75
