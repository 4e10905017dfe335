"""One rank of a worker group, as a Ray actor. Importable without torch, which only its process needs."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass

import ray

from .config import ClusterConfig
from .engine import ChunkJob, ChunkResult, Engine
from .engines import make_engine
from .gateways import ProgressTeller
from .messages import Phase, Progress
from .threads import use_all_cores

LOOPBACK = "127.0.0.1"
"""The ranks of a group are on one machine."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Meeting:
    """Where the ranks of a group meet, and what each of them has."""

    address: str
    gpus: tuple[str, ...]
    """Of each rank; nothing on the CPU."""

    @property
    def init_method(self) -> str:
        """As torch.distributed calls it."""
        return f"tcp://{self.address}"


class Rank:
    """One device, and an engine on it that the other ranks of the group share."""

    def __init__(self, config: ClusterConfig, rank: int = 0) -> None:
        self._config = config
        self._rank = rank
        self._teller = ProgressTeller(config)
        self._joined = ExitStack()

    def place(self) -> tuple[str, str]:
        """An address at which the group may meet, and the GPU that Ray gave to this rank, if any."""
        with socket.create_server((LOOPBACK, 0)) as server:
            port: int = server.getsockname()[1]
        gpus = ray.get_gpu_ids()
        return f"{LOOPBACK}:{port}", str(gpus[0]) if gpus else ""

    def load(self, meeting: Meeting | None = None) -> int:
        """Load and warm the engine, with the other ranks where there are some. Returns the process id. Not part of the
        constructor, whose errors would reach the leader as the actor's death and not as what they are."""
        if self._config.preset.engine != "mock":
            use_all_cores()
        self._engine = make_engine(self._config.preset, self._config.device) if meeting is None else self._join(meeting)
        self._engine.warm_up()
        return os.getpid()

    def step(self, job: ChunkJob, gateway: str) -> ChunkResult | None:
        """See `Engine.step`. The first rank has the result, and tells the gateway of each denoising step."""

        def report(step: int, num_steps: int) -> None:
            clip = job.clip
            self._teller.tell(
                gateway,
                job.session,
                Progress(phase=Phase.PLAYING, branch=clip.branch, chunk=clip.chunk, step=step, num_steps=num_steps),
            )

        if self._rank > 0:
            self._engine.step(job)
            return None
        return self._engine.step(job, on_step=report)

    def peak_memory_gb(self) -> float | None:
        """10⁹ bytes that PyTorch has held at most on this rank's GPU; None on the CPU."""
        if not self._config.uses_gpus:
            return None
        import torch

        return torch.cuda.max_memory_reserved() / 1e9

    def _join(self, meeting: Meeting) -> Engine:
        if self._config.uses_gpus:
            # Ranks reach each other's memory only on GPUs that they see.
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(meeting.gpus)
        from .shared_engine import join_group, make_shared_engine

        device = f"cuda:{self._rank}" if self._config.uses_gpus else "cpu"
        group = join_group(device, rank=self._rank, size=self._config.group_ranks, address=meeting.init_method)
        return make_shared_engine(self._config.preset, self._joined.enter_context(group))
