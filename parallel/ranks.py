"""The processes that run one model together, and what they say to each other.

A group of one needs no torch.distributed: every collective is then the identity, so that one code path serves one
device and many. Collectives must be called by all ranks, in the same order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import ConfigError, WorldloomError

TIMEOUT_S = 120.0
"""How long a collective waits for a rank that does not come, before it fails."""

ValueT = TypeVar("ValueT")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranks:
    """This process among those of a group."""

    rank: int
    size: int
    device: torch.device
    group: dist.ProcessGroup | None = None
    """None: this process alone."""

    @classmethod
    def alone(cls, device: torch.device | str) -> Ranks:
        """A group of this process."""
        return cls(rank=0, size=1, device=torch.device(device))

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def all_to_all(self, received: Tensor, sent: Tensor, *, counts: Sequence[int], sends: Sequence[int]) -> dist.Work:
        """Start to send `sends[r]` elements of `sent` to each rank r, and to take `counts[r]` from it into `received`.

        Both are contiguous and of one dimension. Wait for the result before `received` is read or `sent` is written to.
        """
        assert self.group is not None, "a rank that is alone exchanges nothing"
        work = dist.all_to_all_single(received, sent, list(counts), list(sends), group=self.group, async_op=True)
        assert isinstance(work, dist.Work)
        return work

    def gather(self, part: Tensor) -> list[Tensor]:
        """The parts of all ranks, in their order; of the same shape and dtype."""
        if self.group is None:
            return [part]
        parts = [torch.empty_like(part) for _ in range(self.size)]
        dist.all_gather(parts, part.contiguous(), group=self.group)
        return parts

    def average(self, values: Tensor) -> Tensor:
        """The mean of all ranks' values, summed in their order: the same bits on all."""
        return torch.stack(self.gather(values)).mean(dim=0)

    def share(self, compute: Callable[[], Tensor]) -> Tensor:
        """What `compute` returns on the first rank, on the device of every rank. It runs there only.

        A WorldloomError of it is raised on all ranks.
        """
        if self.group is None:
            return compute().to(self.device)
        value: Tensor | None = None
        header: tuple[torch.Size, torch.dtype] | WorldloomError | None = None
        if self.is_first:
            try:
                value = compute().to(self.device).contiguous()
                header = (value.shape, value.dtype)
            except WorldloomError as error:
                header = error
        header = self.share_object(header)
        if isinstance(header, WorldloomError):
            raise header
        assert header is not None
        shared = torch.empty(header[0], dtype=header[1], device=self.device) if value is None else value
        dist.broadcast(shared, group=self.group, group_src=0)
        return shared

    def share_object(self, value: ValueT) -> ValueT:
        """The first rank's value, on all; it can be pickled."""
        if self.group is None:
            return value
        values = [value]
        dist.broadcast_object_list(values, group=self.group, group_src=0, device=self.device)
        return values[0]

    def gather_objects(self, value: ValueT) -> list[ValueT]:
        """The values of all ranks, in their order; they can be pickled."""
        if self.group is None:
            return [value]
        values: list[ValueT | None] = [None] * self.size
        dist.all_gather_object(values, value, group=self.group)
        return [value for value in values if value is not None]

    def spread(self, tensor: Tensor, *, source: int = 0) -> dist.Work | None:
        """Start to overwrite `tensor` with that of rank `source`; contiguous, of one shape and dtype. None when alone.

        Wait for the result before `tensor` is read, or the source's is written to.
        """
        if self.group is None:
            return None
        work = dist.broadcast(tensor, group=self.group, group_src=source, async_op=True)
        assert isinstance(work, dist.Work)
        return work

    def among(self, members: Sequence[int], *, on_host: bool = False) -> Ranks | None:
        """These of all processes as a group of their own, in rising order; None for one that is not among them.

        All processes call it. Groups talk beside each other; with `on_host`, of tensors on the host.
        """
        assert list(members) == sorted(set(members)), "torch sorts the members of a group"
        device = torch.device("cpu") if on_host else self.device
        if len(members) > 1:
            group = dist.new_group(list(members), backend="gloo" if device.type == "cpu" else None)
        if self.rank not in members:
            return None
        if len(members) == 1:
            return Ranks.alone(device)
        assert isinstance(group, dist.ProcessGroup)
        return Ranks(rank=members.index(self.rank), size=len(members), device=device, group=group)

    def wait(self) -> None:
        """Return when all ranks have come here."""
        if self.group is not None:
            dist.barrier(group=self.group)


@contextmanager
def join(
    device: torch.device | str,
    *,
    rank: int,
    size: int,
    address: str = "env://",
    timeout_s: float = TIMEOUT_S,
    also_on_host: bool = False,
) -> Iterator[Ranks]:
    """Meet the other ranks at `address`, for as long as the context lasts; a group of one meets nobody.

    Ranks on GPUs talk through NCCL, others through gloo; with `also_on_host` the group takes tensors on the host and on
    GPUs. `address` is torch's init_method: 'env://' or 'tcp://HOST:PORT'.
    """
    place = torch.device(device)
    if place.type == "cuda":
        torch.cuda.set_device(place)
    if size == 1:
        yield Ranks.alone(place)
        return
    is_cuda = place.type == "cuda"
    gpu_backend = "cpu:gloo,cuda:nccl" if also_on_host else "nccl"
    dist.init_process_group(
        gpu_backend if is_cuda else "gloo",
        init_method=address,
        rank=rank,
        world_size=size,
        timeout=timedelta(seconds=timeout_s),
        device_id=place if is_cuda and not also_on_host else None,
    )
    try:
        yield Ranks(rank=rank, size=size, device=place, group=dist.group.WORLD)
    finally:
        dist.destroy_process_group()


@contextmanager
def join_launched(device: str, *, timeout_s: float = TIMEOUT_S, also_on_host: bool = False) -> Iterator[Ranks]:
    """The group of processes that torchrun has started, or this one alone; `device` is 'cpu', 'cuda' or 'auto'.

    Raises ConfigError where there are fewer GPUs than ranks.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    gpus = torch.cuda.device_count()
    if device == "auto":
        device = "cuda" if gpus > local else "cpu"
    if device == "cuda" and local >= gpus:
        raise ConfigError(
            f"rank {local} of this machine has no GPU: there are {gpus}",
            hint="Start as many ranks as there are GPUs, or use device 'cpu'.",
        )
    place = torch.device("cuda", local) if device == "cuda" else torch.device(device)
    rank = int(os.environ.get("RANK", "0"))
    with join(place, rank=rank, size=size, timeout_s=timeout_s, also_on_host=also_on_host) as ranks:
        yield ranks
