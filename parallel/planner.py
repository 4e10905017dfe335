"""Which ranks hold what: from GPUs, a preset and measured times to a plan, with its reasons. Importable without torch.

One pure function, `plan`, for all that place a model: serving, the doctor, autoscaling, benchmarks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from ..errors import DoesNotFit
from ..model.clip import NEW_FRAMES
from ..model.mixture import LOW_NOISE
from ..model.preset import Preset
from .decoding import Decoding, decoding_reasons, plan_decoding
from .footprint import expert_configs, footprint
from .tiles import cut_grid
from .times import UNIT_TIMES, ChunkEstimate, MeasuredTimes, estimate

RESERVE = 0.06
"""Share of a GPU's memory that is not planned with."""
GB = 1e9
HOST_BYTES = 1 << 40
"""Of memory that a rank on the CPU is planned with."""


class Placement(StrEnum):
    """How the experts lie on the ranks of a group."""

    SINGLE = "single"
    """One rank holds all."""
    REPLICATED = "replicated"
    """Every rank holds all experts, and all ranks share each step: least latency."""
    PIPELINED = "pipelined"
    """High-noise and low-noise experts have ranks of their own, and sessions take turns: least memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What there is, and for how many players."""

    gpus: int
    gpu_bytes: int
    """Memory of each GPU."""
    gpus_per_node: int = 8
    """GPUs that a fast link joins: a group lies within."""
    sessions: int = 1
    """Sessions that play at the same time."""

    @property
    def usable_bytes(self) -> int:
        """What a plan may use of each GPU."""
        return int(self.gpu_bytes * (1 - RESERVE))


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """Ranks that hold the same experts and share their steps."""

    experts: tuple[str, ...]
    """Those on the GPUs."""
    ranks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How one group holds a preset."""

    placement: Placement
    stages: tuple[Stage, ...]
    """In the order in which a chunk passes through them."""
    cold: tuple[str, ...] = ()
    """Experts that wait in the host's memory until a session needs them."""
    text_on_cpu: bool = False
    """Whether the text encoder runs on the host."""

    @property
    def gpus(self) -> int:
        """GPUs of the group."""
        return sum(stage.ranks for stage in self.stages)

    @property
    def last_ranks(self) -> range:
        """The ranks of the last stage: they have a chunk's latents as soon as they are made."""
        return range(self.gpus - self.stages[-1].ranks, self.gpus)

    @property
    def in_flight(self) -> int:
        """Chunks of different sessions that are on their way at the same time: one in each stage."""
        return len(self.stages)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Where a preset runs."""

    layout: Layout
    groups: int
    """Worker groups, all alike."""
    rank_bytes: int
    """Memory of the fullest GPU."""
    chunk: ChunkEstimate
    """On one group; only its proportions count where nothing was measured."""
    measured: bool
    """Whether `chunk` rests on measured times."""
    decoding: Decoding
    """Beside each group."""
    reasons: tuple[str, ...]
    """Why so, in sentences."""

    def fps(self, sessions: int) -> float:
        """Frames a second of each of so many sessions, spread evenly over the groups."""
        return NEW_FRAMES * self.chunk.rate(max(1, -(-sessions // self.groups)))


def plan(
    preset: Preset,
    resources: Resources,
    times: MeasuredTimes | None = None,
    *,
    placement: Placement | None = None,
    group_gpus: int | None = None,
) -> Plan:
    """The best plan: the sessions as near to their frame rate as can be, then the least latency, then the fewest GPUs.

    `placement` and `group_gpus` leave only plans that have them. Raises DoesNotFit, with the numbers, where none is
    left.
    """
    layouts = [
        layout
        for layout in _layouts(preset, min(resources.gpus, resources.gpus_per_node))
        if placement in (None, layout.placement) and group_gpus in (None, layout.gpus)
    ]
    plans = [_planned(preset, resources, times or None, layout) for layout in layouts]
    fitting = [candidate for candidate in plans if candidate.rank_bytes <= resources.usable_bytes]
    if not fitting:
        raise _refusal(preset, resources, plans)
    best = max(fitting, key=lambda candidate: _merit(candidate, preset, resources))
    return replace(best, reasons=tuple(_reasons(best, preset, resources, times or None)))


def _merit(candidate: Plan, preset: Preset, resources: Resources) -> tuple[float, ...]:
    rate = candidate.fps(resources.sessions) / preset.video.frame_rate
    layout = candidate.layout
    return (
        # Rates closer than a percent are the same, and what is faster than the video is played helps nobody.
        round(100 * (min(rate, 1.0) if candidate.measured else rate)),
        candidate.decoding.holds,
        -len(layout.cold),
        -layout.text_on_cpu,
        -candidate.chunk.latency_s,
        -layout.gpus,
    )


def _layouts(preset: Preset, most_gpus: int) -> Iterator[Layout]:
    hot = tuple(expert_configs(preset))
    # High-noise experts of viewpoints that nobody plays may wait in the host's memory.
    idle = tuple(name for name in hot if name != LOW_NOISE)[1:] if preset.mixture is not None else ()
    for gpus in range(1, most_gpus + 1):
        for cold in ((), idle) if idle else ((),):
            resident = tuple(name for name in hot if name not in cold)
            for placement, stages in _splits(preset, resident, gpus):
                if all(_can_cut(preset, stage.ranks) for stage in stages):
                    for text_on_cpu in (False, True):
                        yield Layout(placement=placement, stages=stages, cold=cold, text_on_cpu=text_on_cpu)


def _splits(preset: Preset, experts: tuple[str, ...], gpus: int) -> Iterator[tuple[Placement, tuple[Stage, ...]]]:
    together = Placement.SINGLE if gpus == 1 else Placement.REPLICATED
    yield together, (Stage(experts=experts, ranks=gpus),)
    if preset.mixture is not None:
        high = tuple(name for name in experts if name != LOW_NOISE)
        for ranks in range(1, gpus):
            stages = Stage(experts=high, ranks=ranks), Stage(experts=(LOW_NOISE,), ranks=gpus - ranks)
            yield Placement.PIPELINED, stages


def _can_cut(preset: Preset, ranks: int) -> bool:
    config = preset.transformer
    assert config is not None, "a mock runs anywhere"
    _, rows, columns = config.patch_size
    try:
        cut_grid((preset.latent_height // rows, preset.latent_width // columns), ranks)
    except DoesNotFit:
        return False
    return True


def _planned(preset: Preset, resources: Resources, times: MeasuredTimes | None, layout: Layout) -> Plan:
    groups = resources.gpus // layout.gpus
    sessions = -(-resources.sessions // groups)
    chunk = estimate(preset, [stage.ranks for stage in layout.stages], times or UNIT_TIMES)
    decoding = plan_decoding(preset, times, gpus=layout.gpus, sessions=sessions)
    rank_bytes = _rank_bytes(preset, layout, decoding, sessions=sessions)
    if rank_bytes > resources.usable_bytes:
        # Rather no spare decoder than no place.
        decoding = plan_decoding(preset, times, gpus=layout.gpus, sessions=sessions, spare=1)
        rank_bytes = _rank_bytes(preset, layout, decoding, sessions=sessions)
    return Plan(
        layout=layout,
        groups=groups,
        rank_bytes=rank_bytes,
        chunk=chunk,
        measured=times is not None,
        decoding=decoding,
        reasons=(),
    )


def _rank_bytes(preset: Preset, layout: Layout, decoders: Decoding, *, sessions: int) -> int:
    """Memory of the fullest GPU of a group with so many sessions, whose streams are spread over its decoders."""
    needs = []
    for index, stage in enumerate(layout.stages):
        sizes = footprint(preset, stage.ranks)
        on_each = decoders.on_each(layout.gpus)
        decoding = on_each * sizes.decoder + max(0, sessions - on_each) * sizes.stream // layout.gpus
        encoding = sizes.image_encoder + (0 if layout.text_on_cpu else sizes.text_encoder) if index == 0 else 0
        needs.append(sizes.rank(len(stage.experts)) + decoding + encoding)
    return max(needs)


def _reasons(candidate: Plan, preset: Preset, resources: Resources, times: MeasuredTimes | None) -> Iterator[str]:
    layout, sessions = candidate.layout, resources.sessions
    ranks = " + ".join(str(stage.ranks) for stage in layout.stages)
    yield f"{layout.placement}: {candidate.groups} groups of {ranks} of {resources.gpus} GPUs, for {sessions} sessions"
    yield (
        f"the fullest GPU holds {candidate.rank_bytes / GB:.0f} of {resources.gpu_bytes / GB:.0f} GB, "
        f"{footprint(preset, 1).expert / GB:.0f} GB for each of {max(len(s.experts) for s in layout.stages)} experts"
    )
    if layout.cold:
        yield f"{', '.join(layout.cold)} wait in the host's memory: all experts together do not fit"
    if layout.text_on_cpu:
        yield "the text encoder runs on the host, where a new prompt takes about a second"
    if times is not None:
        yield f"times are {_origin(times, layout)}"
        yield (
            f"a chunk takes {candidate.chunk.latency_s:.2f} s: {candidate.fps(1):.0f} frames/s for one session, "
            f"{candidate.fps(sessions):.0f} for each of {sessions}; played at {preset.video.frame_rate:g}"
        )
    else:
        yield "nothing was measured on such GPUs: chosen by proportions alone"
    yield from decoding_reasons(candidate.decoding, preset, measured=times is not None and times.decode_s is not None)


def _origin(times: MeasuredTimes, layout: Layout) -> str:
    """Where times are from, and whether they were carried over to other numbers of ranks."""
    runs = f"measured in {', '.join(times.runs)}" if times.runs else "measured"
    missing = sorted({stage.ranks for stage in layout.stages} - times.groups.keys())
    if not missing:
        return runs
    known = ", ".join(str(size) for size in sorted(times.groups))
    return f"{runs}, and carried over from {known} to {', '.join(map(str, missing))} ranks"


def _refusal(preset: Preset, resources: Resources, plans: Sequence[Plan]) -> DoesNotFit:
    if not plans:
        return DoesNotFit(
            f"no placement of preset {preset.name!r} has this shape on {resources.gpus} GPUs",
            hint="Leave placement and group size to the planner, or use more GPUs.",
        )
    least = min(candidate.rank_bytes for candidate in plans)
    return DoesNotFit(
        f"preset {preset.name!r} in {preset.precision} needs {least / GB:.0f} GB on a GPU at least, "
        f"{resources.gpus} GPUs have {resources.usable_bytes / GB:.0f} GB each to use",
        hint="Use precision fp8 or int8, a pruned decoder, or more or larger GPUs.",
    )
