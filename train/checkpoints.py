"""Checkpoints of a stage: weights to ship, and the state to go on from. Every file appears whole or not at all.

A stage's folder holds `weights*.safetensors` (the averaged weights, in shards small enough to carry between machines)
and `state.pt` (live weights, optimizer, step). A stage goes on from `state.pt` where there is one, else from the
weights alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import CheckpointError

SHARD_BYTES = 15 * 2**20
STATE = "state.pt"


def save_weights(
    folder: Path, tensors: Mapping[str, Tensor], *, meta: Mapping[str, Any] | None = None, name: str = "weights"
) -> None:
    """Writes tensors as bf16 shards `<name>-0.safetensors` … of at most 15 MiB, with `meta` as JSON in the first."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, shard in enumerate(_shards(tensors)):
        note = {"meta": json.dumps(dict(meta or {}))} if index == 0 else {}
        _replace(folder / f"{name}-{index}.safetensors", lambda path, s=shard, n=note: save_file(s, path, metadata=n))


def load_weights(folder: Path, *, name: str = "weights") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (float32) and meta of `save_weights`. Raises CheckpointError when there are none."""
    paths = sorted(folder.glob(f"{name}-*.safetensors"))
    if not paths:
        raise CheckpointError(f"no {name} in {folder}", hint="run the stage that makes them first")
    tensors: dict[str, Tensor] = {}
    meta: dict[str, Any] = {}
    for path in paths:
        with safe_open(path, framework="pt") as file:
            meta.update(json.loads((file.metadata() or {}).get("meta", "{}")))
            tensors.update({key: file.get_tensor(key).float() for key in file.keys()})  # noqa: SIM118
    return tensors, meta


def has_weights(folder: Path, *, name: str = "weights") -> bool:
    return any(folder.glob(f"{name}-*.safetensors"))


def save_state(folder: Path, state: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / STATE, lambda path: torch.save(dict(state), path))


def load_state(folder: Path, device: torch.device) -> dict[str, Any] | None:
    """What `save_state` wrote, or None."""
    path = folder / STATE
    if not path.exists():
        return None
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state


def _shards(tensors: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for key, tensor in tensors.items():
        value = tensor.detach().to("cpu", torch.bfloat16 if tensor.is_floating_point() else tensor.dtype).contiguous()
        size += value.nbytes
        if size > SHARD_BYTES and shards[-1]:
            shards.append({})
            size = value.nbytes
        shards[-1][key] = value.clone()
    return shards


def _replace(path: Path, write: Any) -> None:
    temporary = path.with_name(path.name + ".tmp")
    write(temporary)
    os.replace(temporary, path)
