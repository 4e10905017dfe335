"""The engine of a group's ranks, which share each step."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch

from ..model.preset import Preset
from ..parallel.load import load_layout
from ..parallel.planner import Layout, Placement, Resources, plan
from ..parallel.ranks import Ranks, join
from ..parallel.relay import RelayRollout
from .rollout_engine import RolloutEngine

HOST_BYTES = 1 << 40
"""Of memory that a rank on the CPU is planned with."""
STEP_TIMEOUT_S = 60.0
"""How long a rank waits for one that does not come; a rank that died is noticed at once."""


def join_group(device: str, *, rank: int, size: int, address: str) -> AbstractContextManager[Ranks]:
    """The group of ranks that meet at `address`, for as long as the context lasts."""
    return join(device, rank=rank, size=size, address=address, timeout_s=STEP_TIMEOUT_S)


def layout_on(preset: Preset, ranks: Ranks, *, placement: Placement | None = None, sessions: int = 1) -> Layout:
    """How the planner lays the preset out on all ranks. Raises DoesNotFit."""
    memory = HOST_BYTES
    if ranks.device.type == "cuda":
        memory = torch.cuda.get_device_properties(ranks.device).total_memory
    resources = Resources(gpus=ranks.size, gpu_bytes=memory, gpus_per_node=ranks.size, sessions=sessions)
    return plan(preset, resources, placement=placement, group_gpus=ranks.size).layout


def make_shared_engine(preset: Preset, ranks: Ranks) -> RolloutEngine:
    """This rank's engine; all ranks step the same jobs in the same order. Raises ConfigError, CheckpointError or
    DoesNotFit."""
    layout = layout_on(preset, ranks, placement=Placement.REPLICATED if ranks.size > 1 else Placement.SINGLE)
    rollout = load_layout(preset, ranks, layout).rollout
    assert not isinstance(rollout, RelayRollout), "replicated experts need no relay"
    return RolloutEngine(preset, str(ranks.device), rollout=rollout)
