"""Thousands of different worlds by seed, batched as tensors of fixed shape."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from typing import Final

import numpy as np
import torch
from torch import Tensor

from .air import FIELDS
from .blueprint import Attributes
from .drawing import draw_compactly
from .patterns import atlas

HELD_OUT_FROM: Final = 1_000_000
"""Seeds below train, seeds from here on are for evaluation and samples only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Worlds:
    """B worlds on one device; metres, light in linear units. See `drawing.DrawnWorld` for what the columns mean."""

    seeds: tuple[int, ...]
    attributes: tuple[Attributes, ...]
    cells: Tensor
    """(B, GRID, GRID, 7)."""
    materials: Tensor
    """(B, MAX_MATERIALS, 9)."""
    solids: Tensor
    """(B, MAX_SOLIDS, 9)."""
    air: Tensor
    """(B, sum of air.FIELDS)."""
    light: Tensor
    """(B, TEXELS, TEXELS, 5), float16."""
    clearance: Tensor
    """(B, TEXELS, TEXELS), float16, metres to the nearest obstacle."""
    atlas: Tensor
    """(texels, 4) the patterns that all worlds share, see `patterns.atlas`."""

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def device(self) -> torch.device:
        return self.cells.device

    def to(self, device: torch.device | str) -> Worlds:
        """The same worlds on another device."""
        moved = {name: getattr(self, name).to(device) for name in _TENSORS}
        return replace(self, atlas=self.atlas.to(device), **moved)

    def select(self, indices: Sequence[int]) -> Worlds:
        """Some of the worlds, repeats allowed, in the order given."""
        at = torch.as_tensor(list(indices), device=self.device)
        chosen = {name: getattr(self, name)[at] for name in _TENSORS}
        return Worlds(
            seeds=tuple(self.seeds[i] for i in indices),
            attributes=tuple(self.attributes[i] for i in indices),
            atlas=self.atlas,
            **chosen,
        )


_AT_A_TIME: Final = 4
"""Worlds that a process draws before it hands them over."""
_TENSORS: Final = ("cells", "materials", "solids", "air", "light", "clearance")


def air_field(air: Tensor, name: str) -> Tensor:
    """(…, width) one named field of rows of `Worlds.air`."""
    names = list(FIELDS)
    start = sum(FIELDS[before] for before in names[: names.index(name)])
    return air[..., start : start + FIELDS[name]]


def sample_worlds(seeds: Sequence[int], device: torch.device | str = "cpu", *, workers: int = 0) -> Worlds:
    """The worlds of these seeds; about 15 ms each on one core, so `workers` processes may share the drawing. They stay
    for further calls until this process ends."""
    numbers = [int(seed) for seed in seeds]
    if workers > 1:
        drawn = list(_drawers(workers).map(draw_compactly, numbers, chunksize=_AT_A_TIME))
    else:
        drawn = [draw_compactly(seed) for seed in numbers]
    return Worlds(
        seeds=tuple(world.seed for world in drawn),
        attributes=tuple(world.attributes for world in drawn),
        atlas=torch.from_numpy(atlas()).to(device),
        **{name: torch.from_numpy(np.stack([getattr(world, name) for world in drawn])).to(device) for name in _TENSORS},
    )


@cache
def _drawers(workers: int) -> ProcessPoolExecutor:
    # Spawned, since forking after torch has started threads can hang; they import NumPy only.
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
