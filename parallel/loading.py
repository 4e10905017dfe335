"""How far the loading of weights is: one bar for all ranks, and a line in the log of each."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import NoReturn

from tqdm import tqdm

from ..model.preset import Preset
from .footprint import expert_configs, transformer_parameters
from .ranks import Ranks

log = logging.getLogger(__name__)


@contextmanager
def loading(preset: Preset, names: Collection[str], ranks: Ranks) -> Iterator[Callable[[int], None]]:
    """Tell what is given of each number of weights that has been loaded.

    The first rank shows a bar where a person looks on: the others load as much at the same time. An error is raised
    through it.
    """
    configs = expert_configs(preset)
    total = sum(transformer_parameters(configs[name]) for name in names)
    where = "" if ranks.size == 1 else f" on rank {ranks.rank} of {ranks.size}"
    bar: tqdm[NoReturn] = tqdm(
        total=total,
        unit=" weights",
        unit_scale=True,
        desc=f"{preset.name}: loading {', '.join(names)}" + (f" on each of {ranks.size} ranks" if where else ""),
        # None: hidden where nobody looks on.
        disable=None if ranks.is_first else True,
        leave=False,
        dynamic_ncols=True,
    )
    began, loaded = time.perf_counter(), 0

    def count(weights: int) -> None:
        nonlocal loaded
        loaded += weights
        bar.update(weights)

    with bar:
        yield count
    log.info("%s: %.2f billion weights%s in %.1f s", preset.name, loaded / 1e9, where, time.perf_counter() - began)
