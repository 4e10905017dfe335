"""Files of named tensors, read one tensor at a time: safetensors, alone or sharded, and pickles of plain tensors."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..errors import CheckpointError

WRAPPERS = ("state_dict", "gen_model", "generator")
"""Keys under which a pickle may hold its tensors."""


class TensorFile(Protocol):
    """Tensors by name. Shapes are known at once, values are read when asked for."""

    @property
    def shapes(self) -> Mapping[str, torch.Size]: ...

    def read(self, name: str, device: torch.device) -> Tensor:
        """One tensor on `device`, in the dtype it is stored in."""
        ...


@contextmanager
def open_tensors(*paths: Path) -> Iterator[TensorFile]:
    """The tensors of one or more files, by the suffix `.safetensors` or else as pickles.

    Raises CheckpointError if a file is missing, damaged, or two files hold tensors of the same name.
    """
    with ExitStack() as stack:
        files = [_open(path, stack) for path in paths]
        yield files[0] if len(files) == 1 else _Union(files)


def shard_paths(directory: Path, stem: str) -> list[Path]:
    """Files `stem*.safetensors` of a directory: those that its index names, or all where there is no index.

    Raises CheckpointError if there are none, or if the index names files that are not there.
    """
    index = directory / f"{stem}.safetensors.index.json"
    if not index.is_file():
        paths = sorted(directory.glob(f"{stem}*.safetensors"))
        if not paths:
            raise CheckpointError(f"there are no weights {stem}*.safetensors in {directory}", hint=FETCH_AGAIN)
        return paths
    paths = [directory / name for name in sorted(set(_weight_map(index).values()))]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise CheckpointError(f"{directory} lacks {', '.join(missing)}, which its index names", hint=FETCH_AGAIN)
    return paths


FETCH_AGAIN = "Fetch the checkpoint again with `worldloom fetch`, or correct the path."


class _Safetensors:
    def __init__(self, path: Path, stack: ExitStack) -> None:
        try:
            self._file = stack.enter_context(safe_open(path, framework="pt"))
        except SafetensorError as error:
            raise _damaged(path, error) from error
        self.shapes = {name: torch.Size(self._file.get_slice(name).get_shape()) for name in self._file.keys()}  # noqa: SIM118

    def read(self, name: str, device: torch.device) -> Tensor:
        # A mapped view of the file on the CPU, which takes no memory of its own until it is moved or converted.
        tensor: Tensor = self._file.get_tensor(name)
        return tensor.to(device)


class _Pickle:
    def __init__(self, path: Path) -> None:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise _damaged(path, error) from error
        self._tensors = _unwrap(content, path)
        self.shapes = {name: tensor.shape for name, tensor in self._tensors.items()}

    def read(self, name: str, device: torch.device) -> Tensor:
        return self._tensors[name].to(device)


class _Union:
    def __init__(self, files: list[TensorFile]) -> None:
        self._owners = {name: file for file in files for name in file.shapes}
        self.shapes = {name: file.shapes[name] for name, file in self._owners.items()}
        if len(self.shapes) < sum(len(file.shapes) for file in files):
            raise CheckpointError("two shards hold tensors of the same name", hint=FETCH_AGAIN)

    def read(self, name: str, device: torch.device) -> Tensor:
        return self._owners[name].read(name, device)


def _open(path: Path, stack: ExitStack) -> TensorFile:
    if not path.is_file():
        raise CheckpointError(f"there is no weights file {path}", hint=FETCH_AGAIN)
    return _Safetensors(path, stack) if path.suffix == ".safetensors" else _Pickle(path)


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    while isinstance(content, dict) and (inner := next((content[key] for key in WRAPPERS if key in content), None)):
        content = inner
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CheckpointError(
            f"{path} holds something else than named tensors",
            hint=f"It must be a state dict, alone or under one of the keys {', '.join(WRAPPERS)}.",
        )
    return content


def _weight_map(index: Path) -> dict[str, str]:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(index, error) from error
    if not isinstance(weight_map, dict) or not all(Path(str(name)).name == name for name in weight_map.values()):
        raise CheckpointError(f"{index} does not map tensors to files of its directory", hint=FETCH_AGAIN)
    return weight_map


def _damaged(path: Path, error: Exception) -> CheckpointError:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return CheckpointError(f"{path} is damaged or of another format: {reason}", hint=FETCH_AGAIN)
