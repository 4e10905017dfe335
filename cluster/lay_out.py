"""How a service lies on the GPUs that there are: from a preset and what was asked for, as the planner says.

Importable without torch and Ray.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..errors import ConfigError, DoesNotFit
from ..parallel.planner import HOST_BYTES, Placement, Resources, plan
from ..parallel.times import MeasuredTimes
from .config import ClusterConfig

GPUS_PER_NODE = 8
"""Of a machine that an autoscaler brings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What was asked for; None leaves it to preset and planner."""

    gpus: int | None = None
    """Of all worker groups together; processes, for a preset that runs on the CPU."""
    groups: int | None = None
    placement: Placement | None = None
    sessions: int | None = None
    """Of each group, that are to play at the preset's rate at the same time."""
    decoder_ranks: int | None = None
    """That decode each picture together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """The GPUs that a service may use."""

    gpus: int
    gpu_bytes: int
    """Memory of each."""
    gpus_per_node: int
    gpu_name: str = ""

    def grown_to(self, gpus: int) -> Machine:
        """With so many GPUs at least: an autoscaler brings them. What nobody has seen is taken for large enough."""
        if self.gpus >= gpus:
            return self
        if self.gpus == 0:
            return replace(self, gpus=gpus, gpu_bytes=HOST_BYTES, gpus_per_node=GPUS_PER_NODE)
        return replace(self, gpus=gpus)

    @classmethod
    def cpu(cls, processes: int) -> Machine:
        """No GPU, but processes that share the work."""
        return cls(gpus=processes, gpu_bytes=HOST_BYTES, gpus_per_node=processes)


@dataclass(frozen=True, kw_only=True, slots=True)
class LaidOut:
    """A service that knows its place."""

    config: ClusterConfig
    reasons: tuple[str, ...]
    """Why so, in sentences."""


def shares_work(config: ClusterConfig, wish: Wish) -> bool:
    """Whether there is anything to plan: a mock, or a preset for the CPU that one process runs, has no layout.

    Raises ConfigError for a mock on several ranks.
    """
    wants_several = (wish.gpus or 1) > (wish.groups or 1) or wish.placement not in (None, Placement.SINGLE)
    if config.preset.engine == "mock":
        if wants_several:
            raise ConfigError(f"preset {config.preset.name!r} has no model to share", hint="Leave --gpus away.")
        return False
    return config.uses_gpus or wants_several


def lay_out(config: ClusterConfig, wish: Wish, machine: Machine, times: MeasuredTimes | None = None) -> LaidOut:
    """The config with groups, ranks and decoders as they are planned on this machine.

    Where nothing is said, a group has as many GPUs as its preset asks for, or all that there are. Raises DoesNotFit.
    """
    preset = config.preset
    gpus = wish.gpus or min((wish.groups or 1) * max(1, preset.num_gpus), machine.gpus)
    if gpus > machine.gpus or gpus < (wish.groups or 1):
        raise DoesNotFit(
            f"preset {preset.name!r} is to run on {max(gpus, wish.groups or 1)} GPUs, Ray has {machine.gpus}",
            hint="Give fewer --gpus and --groups, or use a preset for the CPU: pocket.",
        )
    found = plan(
        preset,
        Resources(
            gpus=gpus,
            gpu_bytes=machine.gpu_bytes,
            gpus_per_node=machine.gpus_per_node,
            sessions=(wish.sessions or 1) * (wish.groups or 1),
        ),
        times,
        placement=wish.placement,
        group_gpus=_group_gpus(wish, gpus),
    )
    groups = wish.groups or found.groups
    decoding = found.decoding
    if wish.decoder_ranks is not None and wish.decoder_ranks != decoding.ranks:
        decoding = replace(decoding, ranks=wish.decoder_ranks, decoders=1)
    laid_out = replace(
        config,
        groups=groups,
        layout=found.layout,
        decoders=groups * decoding.decoders,
        decoder_ranks=decoding.ranks,
    )
    return LaidOut(config=laid_out, reasons=found.reasons)


def _group_gpus(wish: Wish, gpus: int) -> int | None:
    """GPUs of each group; None leaves the planner to part them."""
    if wish.placement is Placement.SINGLE:
        return 1
    if wish.gpus is None or wish.groups is not None:
        return gpus // (wish.groups or 1)
    return None
