"""What a local pipeline is made of: on one device, or as one of several ranks that all run the same pipeline.

Every rank plans, remembers and commits every session; what they share out is denoising, and decoding: each session's
stream belongs to one rank of those that have its latents, or to all of them, a band of the picture each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from ..model.load import resolve_device
from ..model.preset import Preset
from ..model.transformer import WorldTransformer
from ..parallel.load import load_layout
from ..parallel.planner import Layout
from ..parallel.ranks import Ranks
from .rollout_engine import Launcher, RolloutEngine, VaeDecoder
from .shared_engine import shared_launcher


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PipelineParts:
    """What a pipeline runs on one device."""

    device: torch.device
    engine: Launcher
    decoder: VaeDecoder
    decodes: Callable[[int], bool] = lambda seat: True
    """Whether the streams of the n-th place for a session are decoded here."""
    in_flight: int = 1
    """Chunks of different sessions that are denoised at a time."""
    experts: Mapping[str, WorldTransformer] = field(default_factory=dict)
    """Transformers whose attention other ranks share."""


def parts_alone(preset: Preset, device: str) -> PipelineParts:
    """The parts for one device. Raises ConfigError, CheckpointError or DoesNotFit."""
    place = resolve_device(device)
    engine, decoder = RolloutEngine(preset, str(place)), VaeDecoder(preset, str(place))
    return PipelineParts(device=place, engine=engine, decoder=decoder)


def parts_on_ranks(preset: Preset, ranks: Ranks, layout: Layout, *, bands: bool = False) -> PipelineParts:
    """This rank's parts of a preset laid out so. With `bands`, the ranks that have a chunk's latents all decode it.

    Raises ConfigError, CheckpointError or DoesNotFit.
    """
    shared = load_layout(preset, ranks, layout)
    owners = layout.last_ranks
    # Decoding has messages of its own, which must not wait for those of the denoising beside it.
    team = ranks.among(owners) if bands else None
    return PipelineParts(
        device=ranks.device,
        engine=shared_launcher(preset, shared.rollout, ranks),
        decoder=VaeDecoder(preset, str(ranks.device), ranks=team),
        decodes=lambda seat: ranks.rank in owners if bands else owners[seat % len(owners)] == ranks.rank,
        in_flight=layout.in_flight,
        experts=shared.experts,
    )
