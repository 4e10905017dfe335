"""How long a chunk takes on groups of ranks: measured where it was, else carried over. Importable without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import log2

from ..model.mixture import TIMESTEPS
from ..model.preset import Preset
from ..model.sampler import unipc_schedule

DOUBLING_EFFICIENCY = 0.94
"""Share of a rank's speed that is left when the number of ranks doubles, where nothing else is known: messages take
time, and matrices get too small to fill a GPU."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupTimes:
    """Seconds of one chunk on a group of some ranks."""

    prepare_s: float
    """Camera, text and actions, for one expert."""
    step_s: float
    decode_s: float
    """On one GPU that does nothing else."""

    def __post_init__(self) -> None:
        if min(self.prepare_s, self.step_s, self.decode_s) < 0 or self.step_s == 0:
            raise ValueError(f"times are {self}; none can be negative, and a step takes some")


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredTimes:
    """Times of one preset in one precision on one kind of GPU, by the number of ranks."""

    groups: Mapping[int, GroupTimes] = field(default_factory=dict)
    runs: tuple[str, ...] = ()
    """Names of the records that they are from."""
    decode_s: float | None = None
    """Seconds of decoding a chunk with the preset's own decoder on one GPU; None where it was not measured."""

    def __bool__(self) -> bool:
        return bool(self.groups)

    def on(self, ranks: int) -> GroupTimes:
        """The times of a group, carried over from the next smaller measured one, or else from the smallest."""
        source = max((size for size in self.groups if size <= ranks), default=min(self.groups))
        known = self.groups[source]
        factor = source / ranks * DOUBLING_EFFICIENCY ** -log2(ranks / source)
        return replace(known, prepare_s=known.prepare_s * factor, step_s=known.step_s * factor)


DECODER_S = {0.0: 1.24, 0.5: 0.40, 0.75: 0.145}
"""Seconds of 40 frames at 704×1280 on one H200 by the share of channels that is gone, before the fused decoder: where
nothing else was measured."""
DECODER_PIXELS = 704 * 1280

UNIT_TIMES = MeasuredTimes(groups={1: GroupTimes(prepare_s=0.2, step_s=1.0, decode_s=0.3)})
"""Proportions of a chunk, for choices where nothing was measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkEstimate:
    """One chunk's way through the stages of a group."""

    stage_s: tuple[float, ...]
    """What each stage is busy for; decoding counts for the last one."""

    @property
    def latency_s(self) -> float:
        """Of a session that is alone: its next chunk waits for this one."""
        return sum(self.stage_s)

    def rate(self, sessions: int) -> float:
        """Chunks a second of each of so many sessions, which take turns."""
        return 1 / max(self.latency_s, sessions * max(self.stage_s))


def estimate(preset: Preset, ranks: Sequence[int], times: MeasuredTimes) -> ChunkEstimate:
    """A chunk on one stage with all experts, or on one for high noise and one for low noise, of so many ranks each.

    All ranks share the decoding.
    """
    forwards = 2 if preset.sampling.guidance > 1 else 1
    high, low = expert_steps(preset)

    def busy(stage_ranks: int, steps: int, experts: int) -> float:
        known = times.on(stage_ranks)
        return forwards * (experts * known.prepare_s + steps * known.step_s)

    decode_s = times.on(sum(ranks)).decode_s / sum(ranks)
    if len(ranks) == 1:
        stages = [busy(ranks[0], high + low, (high > 0) + (low > 0))]
    else:
        stages = [busy(ranks[0], high, 1), busy(ranks[1], low, 1)]
    return ChunkEstimate(stage_s=(*stages[:-1], stages[-1] + decode_s))


def expert_steps(preset: Preset) -> tuple[int, int]:
    """Steps of a high-noise and of the low-noise expert; all are of the former where there is no mixture."""
    steps = unipc_schedule(preset.sampling.steps, preset.sampling.shift).steps
    if preset.mixture is None:
        return len(steps), 0
    low = sum(step.timestep < preset.mixture.boundary * TIMESTEPS for step in steps)
    return len(steps) - low, low


def decoding_s(preset: Preset, times: MeasuredTimes | None) -> float:
    """Seconds of decoding a chunk on one GPU: measured, else as those of the next decoder that is no smaller."""
    if times is not None and times.decode_s is not None:
        return times.decode_s
    known = max(rate for rate in DECODER_S if rate <= preset.decoder_pruning_rate)
    return DECODER_S[known] * preset.video.height * preset.video.width / DECODER_PIXELS
