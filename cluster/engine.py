"""The two seams of the service: an engine makes latents, a decoder makes frames. Importable without torch and Ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..model.clip import Array, ClipInputs, OnStep
from .pictures import Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkJob:
    """One chunk of one session, ready to be denoised."""

    session: str
    epoch: int
    clip: ClipInputs


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkResult:
    """New latents (C, 15 or 10, h, w) and the seconds each stage took: 'prepare', 'step0', 'step1', …"""

    latents: Array
    timings: dict[str, float]


class Engine(Protocol):
    """Denoises clips. Holds weights and caches that can be rebuilt, and no session."""

    def warm_up(self) -> None:
        """Do what only the first steps would have to wait for, so that they are as fast as later ones."""
        ...

    def step(self, job: ChunkJob, *, on_step: OnStep | None = None) -> ChunkResult: ...


class Decoder(Protocol):
    """Turns a stream's latents into frames, piece by piece, with the stream's cache as an explicit value."""

    reach_latents: int
    """How many latents before a piece its frames depend on: decoding those again rebuilds a lost state exactly."""

    def warm_up(self) -> None:
        """As an engine's."""
        ...

    def decode(
        self, latents: Array, state: Any | None, *, layout: Layout = Layout.RGB
    ) -> tuple[npt.NDArray[np.uint8], Any]:
        """Latents (C, n, h, w) and the state after the latents before them (None at a stream's start) to RGB frames
        (4n, H, W, 3), 4n - 3 of them at a stream's start, and the next state. Where that is cheaper than doing it
        later, frames come in the other `layout` that is asked for."""
        ...
