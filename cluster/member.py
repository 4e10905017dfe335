"""One process of a gang, as a Ray actor. Importable without torch, which only its process needs."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import ray

from .config import ClusterConfig
from .threads import use_all_cores

if TYPE_CHECKING:
    from ..parallel.ranks import Ranks

LOOPBACK = "127.0.0.1"
"""The ranks of a gang are on one machine."""

Params = ParamSpec("Params")
ValueT = TypeVar("ValueT")


@dataclass(frozen=True, kw_only=True, slots=True)
class Meeting:
    """Where the ranks of a gang meet, and what each of them has."""

    address: str
    gpus: tuple[str, ...]
    """Of each rank; nothing on the CPU."""

    @property
    def init_method(self) -> str:
        """As torch.distributed calls it."""
        return f"tcp://{self.address}"


class Member(ABC):
    """A device, and a thread that alone works with it. Calls answer while that is busy.

    Work is numbered from 0 by the leader: all ranks begin it in that order, however the calls arrive.
    """

    def __init__(self, config: ClusterConfig, rank: int, size: int) -> None:
        self._config = config
        self._rank = rank
        self._size = size
        self._joined = ExitStack()
        self._thread = ThreadPoolExecutor(1, "device")
        self._order = asyncio.Condition()
        self._next = 0

    @abstractmethod
    def _load(self, ranks: Ranks | None) -> None:
        """Load weights, in the device's thread; None: this rank is alone. Ranks do not wait for each other here: one
        may read for minutes more than the others."""

    @abstractmethod
    def _warm_up(self) -> None:
        """Do once what only the first work would have to wait for, in the device's thread and with all ranks."""

    @property
    def device(self) -> str:
        """As torch calls it."""
        return f"cuda:{self._rank}" if self._config.uses_gpus else "cpu"

    def place(self) -> tuple[str, str]:
        """An address at which the gang may meet, and the GPU that Ray gave to this rank, if any."""
        with socket.create_server((LOOPBACK, 0)) as server:
            port: int = server.getsockname()[1]
        gpus = ray.get_gpu_ids()
        return f"{LOOPBACK}:{port}", str(gpus[0]) if gpus else ""

    async def load(self, meeting: Meeting | None = None) -> int:
        """Meet the other ranks where there are some, and load. Returns the process id. Not part of the constructor,
        whose errors would reach the leader as the actor's death and not as what they are."""
        await asyncio.wrap_future(self._thread.submit(self._meet_and_load, meeting))
        return os.getpid()

    async def warm_up(self) -> None:
        """Be as fast from now on as later. Once all ranks have loaded."""
        await asyncio.wrap_future(self._thread.submit(self._warm_up))

    async def is_alive(self) -> bool:
        """Answers at once, also while the device works."""
        return True

    def peak_memory_gb(self) -> float | None:
        """10⁹ bytes that PyTorch has held at most on this rank's GPU; None on the CPU."""
        if not self._config.uses_gpus:
            return None
        import torch

        return torch.cuda.max_memory_reserved(self.device) / 1e9

    async def _in_turn(
        self, number: int, work: Callable[Params, ValueT], *args: Params.args, **kwargs: Params.kwargs
    ) -> ValueT:
        """What `work` returns, done in the device's thread after all work of smaller numbers."""
        async with self._order:
            await self._order.wait_for(lambda: self._next == number)
            working = self._thread.submit(work, *args, **kwargs)
            self._next += 1
            self._order.notify_all()
        return await asyncio.wrap_future(working)

    def _meet_and_load(self, meeting: Meeting | None) -> None:
        logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
        if self._config.preset.engine != "mock":
            use_all_cores()
        self._load(None if meeting is None else self._join(meeting))

    def _join(self, meeting: Meeting) -> Ranks:
        if self._config.uses_gpus:
            # Ranks reach each other's memory only on GPUs that they see.
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(meeting.gpus)
        from .shared_engine import join_group

        group = join_group(self.device, rank=self._rank, size=self._size, address=meeting.init_method)
        return self._joined.enter_context(group)
