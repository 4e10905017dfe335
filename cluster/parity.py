"""Runs golden cases without their expected files: what our code computes is written for another to compare.

A case is a file `inputs.safetensors` or `NAME.inputs.safetensors`, with its weights beside it. Its kind follows from
the names of its tensors, so that one folder or a whole tree of them can be given.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import InputError, WorldloomError
from .parity_cases import compute_for

INPUTS = "inputs"
EXPECTED = "expected"


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseResult:
    """One case that was run."""

    name: str
    """Path of its inputs below the cases' root."""
    output: Path | None
    """The file that was written; None after an error."""
    error: WorldloomError | None = None


class CaseTensors(dict[str, Tensor]):
    """The inputs of one case by name, floating ones in float32."""

    def __missing__(self, name: str) -> Tensor:
        raise InputError(f"the case has no tensor {name!r}", hint=f"It has {', '.join(sorted(self))}.")


def find_cases(root: Path) -> list[Path]:
    """Inputs files at or below a folder, sorted. Raises InputError when there are none."""
    cases = sorted(path for path in root.rglob(f"*{INPUTS}.safetensors") if path.is_file())
    if not cases:
        raise InputError(
            f"there are no files *{INPUTS}.safetensors in {root}",
            hint="Give a folder laid out like the golden vectors, or one of its cases.",
        )
    return cases


def run_cases(root: Path, out: Path) -> Iterator[CaseResult]:
    """Run all cases below `root` and write each output to `out`, at the place of its inputs with that word replaced.

    A case that fails is reported in its result, and the others go on.
    """
    for path in find_cases(root):
        name = path.relative_to(root)
        output = out / name.with_name(name.name.replace(INPUTS, EXPECTED))
        try:
            _run_case(path, output)
        except WorldloomError as error:
            yield CaseResult(name=str(name), output=None, error=error)
        else:
            yield CaseResult(name=str(name), output=output)


def _run_case(path: Path, output: Path) -> None:
    tensors = _read(path)
    compute = compute_for(tensors)
    try:
        results = compute(tensors, path.resolve().parent)
    except (ValueError, RuntimeError, IndexError) as error:
        # torch and NumPy speak up here when sizes of the case disagree with each other or with its weights.
        raise InputError(f"the case does not fit together: {error}", hint="Check its sizes.") from error
    output.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in results.items()}, output)


def _read(path: Path) -> CaseTensors:
    try:
        loaded = load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is not a safetensors file: {error}") from error
    floats = (torch.float16, torch.bfloat16, torch.float64)
    return CaseTensors({key: value.float() if value.dtype in floats else value for key, value in loaded.items()})
