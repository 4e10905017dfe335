"""Thousands of different worlds by seed, batched as tensors of fixed shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Final

import numpy as np
import torch
from torch import Tensor

from .air import FIELDS
from .blueprint import Attributes
from .drawing import DrawnWorld, draw
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


_TENSORS: Final = ("cells", "materials", "solids", "air", "light", "clearance")


def air_field(air: Tensor, name: str) -> Tensor:
    """(…, width) one named field of rows of `Worlds.air`."""
    names = list(FIELDS)
    start = sum(FIELDS[before] for before in names[: names.index(name)])
    return air[..., start : start + FIELDS[name]]


def sample_worlds(seeds: Sequence[int], device: torch.device | str = "cpu", *, workers: int = 0) -> Worlds:
    """The worlds of these seeds; about 15 ms each on one core, so `workers` processes may share the drawing."""
    with _mapper(workers) as run:
        drawn = run([int(seed) for seed in seeds])
    light = np.stack([world.light for world in drawn]).astype(np.float16)
    clearance = np.stack([world.clearance for world in drawn]).astype(np.float16)
    return Worlds(
        seeds=tuple(world.seed for world in drawn),
        attributes=tuple(world.attributes for world in drawn),
        cells=torch.from_numpy(np.stack([world.cells for world in drawn])).to(device),
        materials=torch.from_numpy(np.stack([world.materials for world in drawn])).to(device),
        solids=torch.from_numpy(np.stack([world.solids for world in drawn])).to(device),
        air=torch.from_numpy(np.stack([world.air for world in drawn])).to(device),
        light=torch.from_numpy(light).to(device),
        clearance=torch.from_numpy(clearance).to(device),
        atlas=torch.from_numpy(atlas()).to(device),
    )


class _Runner:
    def __init__(self, pool: ProcessPoolExecutor | None) -> None:
        self.pool = pool

    def __call__(self, seeds: list[int]) -> list[DrawnWorld]:
        if self.pool is None:
            return [draw(seed) for seed in seeds]
        return list(self.pool.map(draw, seeds, chunksize=8))


@contextmanager
def _mapper(workers: int) -> Iterator[_Runner]:
    if workers <= 1:
        yield _Runner(None)
        return
    # Spawned, since forking after torch has started threads can hang; workers import NumPy only.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield _Runner(pool)
