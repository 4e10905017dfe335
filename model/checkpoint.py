"""Checkpoints of the published layout, loaded into our modules.

A module is built without memory (on the meta device), and each tensor goes from its file straight to the device and
dtype that it stays in: there never is a second copy of the weights. Everything in a file must fit, nothing may lack.

Weights that a file stores as int8 with a scale for each row (`NAME` and `NAME_scale`) are turned back into numbers,
except where the module itself computes in int8; and the other way round.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from ..errors import CheckpointError
from .latent_stats import default_latent_stats
from .quantization import SCALE_SUFFIX, dequantize_weight, quantize_module, quantize_weight
from .tensor_files import FETCH_AGAIN, TensorFile, open_tensors, shard_paths
from .text import UMT5Encoder
from .text_config import TextConfig
from .transformer import WorldTransformer
from .transformer_config import TransformerConfig
from .vae import Decoder, Encoder
from .vae_config import VAEConfig
from .vae_names import wan_name

TRANSFORMER_STEM = "diffusion_pytorch_model"
ENCODER_PREFIXES = ("encoder.", "conv1.")
DECODER_PREFIXES = ("decoder.", "conv2.")
STATS = ("latents_mean", "latents_std")
"""Statistics of the latent channels, in VAE files that bring their own."""

_SCALE = SCALE_SUFFIX.removeprefix("weight")
_NAMES_SHOWN = 5

ModuleT = TypeVar("ModuleT", bound=nn.Module)
Rename = Callable[[str], str | None]
Materialise = Callable[[nn.Module, str], None]
"""Gives a part of a model on the meta device its weights; the part's names begin with the given prefix in the model."""
Assemble = Callable[[WorldTransformer, Materialise], None]
"""Makes a transformer on the meta device ready to run."""


def fill_at_once(model: WorldTransformer, materialise: Materialise) -> None:
    """The plain model."""
    materialise(model, "")


def _same_name(name: str) -> str:
    return name


def load_transformer(
    directory: str | Path,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    int8: bool = False,
    assemble: Assemble = fill_at_once,
) -> WorldTransformer:
    """The transformer of a directory with `config.json` and `diffusion_pytorch_model*.safetensors`.

    With `int8`, the linear layers of both attentions compute in int8. `assemble` fills the model, which has no memory
    yet, part by part. Raises CheckpointError or ConfigError.
    """
    directory = Path(directory)
    config = TransformerConfig.from_dict(read_json(directory / "config.json"))
    with torch.device("meta"):
        model = WorldTransformer(config)
        if int8:
            quantize_module(model)
    with open_tensors(*shard_paths(directory, TRANSFORMER_STEM)) as file:
        check_fits(model, file, where=str(directory))
        assemble(model.eval(), lambda part, prefix: fill(part, file, device=device, dtype=dtype, prefix=prefix))
    return model


def load_vae_encoder(path: str | Path, config: VAEConfig, *, device: torch.device | str, dtype: torch.dtype) -> Encoder:
    """The encoder of a VAE file, which may hold the decoder too, under Wan2.2's or LightVAE's names.

    Raises CheckpointError.
    """
    return _load_vae_half(lambda: Encoder(config), Path(path), ENCODER_PREFIXES, device=device, dtype=dtype)


def load_vae_decoder(path: str | Path, config: VAEConfig, *, device: torch.device | str, dtype: torch.dtype) -> Decoder:
    """The decoder of a VAE file; see `load_vae_encoder`."""
    return _load_vae_half(lambda: Decoder(config), Path(path), DECODER_PREFIXES, device=device, dtype=dtype)


def load_text(path: str | Path, config: TextConfig, *, device: torch.device | str, dtype: torch.dtype) -> UMT5Encoder:
    """The text encoder's network. Raises CheckpointError."""
    with torch.device("meta"):
        network = UMT5Encoder(config)
    with open_tensors(Path(path)) as file:
        check_fits(network, file, where=str(path))
        fill(network, file, device=device, dtype=dtype)
    return network.eval()


def read_json(path: Path) -> dict[str, object]:
    """A JSON object. Raises CheckpointError if the file is missing or holds something else."""
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}", hint=FETCH_AGAIN)
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}", hint=FETCH_AGAIN) from error
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path} holds no object", hint=FETCH_AGAIN)
    return raw


def check_fits(module: nn.Module, file: TensorFile, *, where: str, rename: Rename = _same_name) -> None:
    """Raises CheckpointError that lists all that is missing, not expected, or of another shape.

    `where` names the file in errors; for `rename` see `fill`.
    """
    stored = {ours: file.shapes[name] for name in file.shapes if (ours := rename(name)) is not None}
    _check(module.state_dict(), stored, where)


def fill(
    module: nn.Module,
    file: TensorFile,
    *,
    device: torch.device | str,
    dtype: torch.dtype,
    rename: Rename = _same_name,
    prefix: str = "",
) -> None:
    """Gives every parameter of a module on the meta device its tensor of `file`, which fits; floating ones become
    `dtype`.

    `rename` turns a name of the file into the module's, or None if the tensor is not for this module. What the file
    knows as `prefix` and a name is the module's name.
    """
    expected = module.state_dict()
    stored = {ours.removeprefix(prefix): name for name in file.shapes if (ours := rename(name)) is not None}
    state: dict[str, Tensor] = {}
    for name in expected:
        if not _is_scale(name, expected):
            scale = stored.get(name + _SCALE)
            weight = file.read(stored[name], torch.device(device))
            scales = None if scale is None else file.read(scale, torch.device(device))
            state |= _entries(name, weight, scales, int8=name + _SCALE in expected, dtype=dtype)
    module.load_state_dict(state, assign=True)


def _load_vae_half(
    build: Callable[[], ModuleT],
    path: Path,
    prefixes: tuple[str, ...],
    *,
    device: torch.device | str,
    dtype: torch.dtype,
) -> ModuleT:
    with torch.device("meta"):
        half = build()
    other = DECODER_PREFIXES if prefixes == ENCODER_PREFIXES else ENCODER_PREFIXES

    def rename(name: str) -> str | None:
        ours = wan_name(name)
        return None if ours is None or ours in STATS or ours.startswith(other) else ours

    with open_tensors(path) as file:
        check_fits(half, file, where=str(path), rename=rename)
        fill(half, file, device=device, dtype=dtype, rename=rename)
        _set_stats(half, file)
    return half.eval()


def _set_stats(half: nn.Module, file: TensorFile) -> None:
    assert isinstance(half, Encoder | Decoder)
    if all(name in file.shapes for name in STATS):
        mean, std = (file.read(name, torch.device("cpu")) for name in STATS)
        half.set_latent_stats(mean, std)
    else:
        half.set_latent_stats(*default_latent_stats(half.config.z_dim))


def _entries(name: str, weight: Tensor, scales: Tensor | None, *, int8: bool, dtype: torch.dtype) -> dict[str, Tensor]:
    """The state dict's entries of one stored tensor, in the form that the module has: int8 with scales, or not."""
    if int8:
        weight, scales = quantize_weight(weight) if scales is None else (weight, scales.float())
        return {name: weight, name + _SCALE: scales}
    if scales is not None:
        return {name: dequantize_weight(weight.flatten(1), scales, dtype).view(weight.shape)}
    return {name: weight.to(dtype) if weight.is_floating_point() else weight}


def _is_scale(name: str, others: Mapping[str, object]) -> bool:
    return name.endswith(_SCALE) and name.removesuffix(_SCALE) in others


def _check(expected: Mapping[str, Tensor], stored: Mapping[str, torch.Size], where: str) -> None:
    missing = [name for name in expected if name not in stored and not _is_scale(name, expected)]
    unexpected = [name for name in stored if name not in expected and not _is_scale(name, stored)]
    reshaped = [
        f"{name} {tuple(stored[name])} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in stored and stored[name] != tensor.shape
    ]
    parts = [("missing", missing), ("not expected", unexpected), ("of another shape", reshaped)]
    problems = [f"{len(names)} {what} ({_shorten(names)})" for what, names in parts if names]
    if problems:
        raise CheckpointError(
            f"the weights in {where} do not fit the model: {'; '.join(problems)}",
            hint="Check that the preset and the checkpoint belong together.",
        )


def _shorten(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:_NAMES_SHOWN]) + (", …" if len(names) > _NAMES_SHOWN else "")
