"""The engine of a group's ranks, which share each step or pass chunks on."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from ..model.clip import OnStep
from ..model.preset import Preset
from ..model.rehearsal import still_clips
from ..model.rollout import Rollout
from ..parallel.load import load_layout
from ..parallel.planner import HOST_BYTES, Layout, Placement, Resources, plan
from ..parallel.ranks import Ranks, join
from ..parallel.relay import RelayRollout
from .engine import ChunkJob
from .rollout_engine import LATENTS_DTYPE, LaunchedChunk, Launcher, RolloutEngine

STEP_TIMEOUT_S = 120.0
"""How long a rank waits for one that does not come, which may compile a kernel; a rank that died is noticed at once."""


class RelayEngine:
    """Begins or ends chunks with the experts of this rank."""

    def __init__(self, rollout: RelayRollout) -> None:
        self._rollout = rollout

    @torch.inference_mode()
    def launch(self, job: ChunkJob, *, on_step: OnStep | None = None) -> LaunchedChunk:
        """See `RolloutEngine.launch`; all ranks launch the same chunks in the same order. Nobody hears of steps: who
        waited for them would launch the next chunk too late."""
        chunk = self._rollout.launch(job.clip)
        latents = None if chunk.latents is None else chunk.latents.to(LATENTS_DTYPE)
        # Holds the whole chunk: what it has sent must not go before it has arrived.
        return LaunchedChunk(latents=latents, arrive=lambda: chunk.host.result(), stages=chunk.stages)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SharedEngine:
    """One rank's engine; all ranks launch the same jobs in the same order."""

    launcher: Launcher
    answers: bool
    """Whether this rank is the one that gives the latents away."""

    def warm_up(self, preset: Preset) -> None:
        """Run a first and a later clip of nothing, with all ranks."""
        for clip in still_clips(preset):
            self.launcher.launch(ChunkJob(session="warm-up", epoch=0, clip=clip)).wait()


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


def shared_launcher(preset: Preset, rollout: Rollout | RelayRollout, ranks: Ranks) -> Launcher:
    """What launches chunks on this rank."""
    if isinstance(rollout, RelayRollout):
        return RelayEngine(rollout)
    return RolloutEngine(preset, str(ranks.device), rollout=rollout)


def make_shared_engine(preset: Preset, ranks: Ranks, layout: Layout) -> SharedEngine:
    """This rank's engine. Raises ConfigError, CheckpointError or DoesNotFit."""
    launcher = shared_launcher(preset, load_layout(preset, ranks, layout).rollout, ranks)
    return SharedEngine(launcher=launcher, answers=ranks.rank == layout.last_ranks[0])
