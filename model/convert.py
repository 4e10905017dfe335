"""Checkpoints with a transformer's large weights in 8 bits: half the size, and what loads is the same.

A weight in 8 bits becomes `NAME` and `NAME_scale`, as `checkpoint` reads it. The largest number of a row is exact, and
the others round to the same codes again: quantising at load and loading what is quantised give the same bits. (Nearly:
attention in e4m3 estimates the size of its values from the weights as they are read.)
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..errors import ConfigError
from .checkpoint import TRANSFORMER_STEM
from .locations import needed_parts, weights_directory
from .precision import Precision
from .preset import Preset
from .quantization import SCALE_SUFFIX, QuantizedLayers, dequantize_weight, quantize_e4m3, quantize_weight
from .tensor_files import TensorFile, open_tensors, shard_paths

SHARD_BYTES = 2 << 30
_SCALE = SCALE_SUFFIX.removeprefix("weight")
_IN_8_BITS = re.compile("|".join(rf"{group.value}\.weight" for group in QuantizedLayers))


def convert(preset: Preset, target: Path, precision: Precision) -> None:
    """Writes the preset's weights to the new directory `target`, with transformers in the format of `precision`.

    One tensor is converted at a time; what is no transformer is linked, or copied to another disk.
    Raises ConfigError for random weights, for bf16, or where `target` exists; CheckpointError for damaged files.
    """
    source = weights_directory(preset)
    if source is None:
        raise ConfigError(f"preset {preset.name!r} has random weights", hint="Give --weights, or fetch its own.")
    if precision is Precision.BF16:
        raise ConfigError("weights are stored in bf16 as they are", hint="Convert to 'int8' or 'fp8'.")
    if target.exists():
        raise ConfigError(f"{target} exists already", hint="Name a new directory.")
    for part in needed_parts(preset):
        if (source / part / "config.json").is_file() and part.endswith("/"):
            convert_transformer(source / part, target / part, precision)
        elif part.endswith("/"):
            shutil.copytree(source / part, target / part, copy_function=_link)
        else:
            (target / part).parent.mkdir(parents=True, exist_ok=True)
            _link(str(source / part), str(target / part))


def convert_transformer(source: Path, target: Path, precision: Precision, *, shard_bytes: int = SHARD_BYTES) -> None:
    """Writes a transformer's directory. Raises CheckpointError for damaged files."""
    target.mkdir(parents=True)
    shutil.copyfile(source / "config.json", target / "config.json")
    shard: dict[str, Tensor] = {}
    owners: dict[str, str] = {}
    count = 0

    def write() -> None:
        nonlocal count
        file = f"{TRANSFORMER_STEM}-{count:05}.safetensors"
        save_file(shard, target / file)
        owners.update(dict.fromkeys(shard, file))
        shard.clear()
        count += 1

    with open_tensors(*shard_paths(source, TRANSFORMER_STEM)) as file:
        for entries in _entries(file, precision):
            if shard and _nbytes(shard) + _nbytes(entries) > shard_bytes:
                write()
            shard.update(entries)
        write()
    index = {"metadata": {}, "weight_map": owners}
    (target / f"{TRANSFORMER_STEM}.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n")


def _entries(file: TensorFile, precision: Precision) -> Iterator[dict[str, Tensor]]:
    """What each stored tensor becomes."""
    cpu = torch.device("cpu")
    for name in file.shapes:
        if name.removesuffix(_SCALE) in file.shapes and name.endswith(_SCALE):
            continue
        tensor = file.read(name, cpu)
        if name + _SCALE in file.shapes:
            scales = file.read(name + _SCALE, cpu)
            tensor = dequantize_weight(tensor.flatten(1), scales, torch.bfloat16).view(tensor.shape)
        if _IN_8_BITS.fullmatch(name):
            quantize = quantize_weight if precision is Precision.INT8 else quantize_e4m3
            weight, scales = quantize(tensor)
            yield {name: weight, name + _SCALE: scales}
        else:
            yield {name: tensor.contiguous()}


def _nbytes(tensors: dict[str, Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors.values())


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
