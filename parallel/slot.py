"""A place on the device for one of several experts, while the weights of the others wait in the host's memory.

High-noise experts of different viewpoints have the same shape: one network can be any of them. Where memory is too
short for all, its weights are exchanged when a session of another viewpoint comes. They travel on a stream of their
own, as soon as the last step that needs the old ones is done: low-noise steps and decoding, of the same session or
others, go on beside it. Only who needs the new weights waits for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn

from ..errors import ConfigError
from ..model.transformer import WorldTransformer


class ExpertSlot:
    """The network, and which expert it is. Weights do not change otherwise."""

    def __init__(self, name: str, model: WorldTransformer) -> None:
        """`model` is on its device, with the weights of expert `name`."""
        self.model = model
        self.holds = name
        self._tensors = list(_tensors_of(model))
        self._waiting = {name: host_copies(model)}
        is_gpu = model.device.type == "cuda"
        self._stream = torch.cuda.Stream(model.device) if is_gpu else None  # type: ignore[no-untyped-call]
        self._in_use = False
        self._used: torch.cuda.Event | None = None
        self._ready: torch.cuda.Event | None = None

    def add(self, name: str, weights: list[Tensor]) -> None:
        """Another expert, whose weights are those of `host_copies`. Raises ConfigError for one of another shape."""
        shapes = [tensor.shape for tensor in self._tensors]
        if [tensor.shape for tensor in weights] != shapes:
            raise ConfigError(
                f"expert {name!r} has not the shape of {self.holds!r}: they cannot take turns in one place",
                hint="Use GPUs with room for all experts.",
            )
        self._waiting[name] = weights

    def bring(self, name: str) -> None:
        """Start to exchange the weights, if the network is another expert now."""
        if name == self.holds:
            return
        self.holds = name
        if self._stream is None:
            self._copy(self._waiting[name])
            return
        if self._in_use:
            self.leave()
        if self._used is not None:
            self._stream.wait_event(self._used)
        with torch.cuda.stream(self._stream):
            self._copy(self._waiting[name])
            self._ready = _mark(self.model.device)

    def take(self, name: str) -> WorldTransformer:
        """The network as expert `name`, for what is launched on the current stream until `leave`."""
        self.bring(name)
        if self._ready is not None:
            torch.cuda.current_stream(self.model.device).wait_event(self._ready)
        self._in_use = True
        return self.model

    def leave(self) -> None:
        """What has been launched on the current stream is the last that needs the present weights for now."""
        if self._in_use and self._stream is not None:
            self._used = _mark(self.model.device)
        self._in_use = False

    @torch.no_grad()
    def _copy(self, weights: Iterable[Tensor]) -> None:
        for tensor, host in zip(self._tensors, weights, strict=True):
            tensor.copy_(host, non_blocking=True)


def host_copies(model: nn.Module) -> list[Tensor]:
    """A model's parameters and buffers on the host, pinned where they come from a GPU."""
    copies = []
    for tensor in _tensors_of(model):
        copy = torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda)
        copies.append(copy.copy_(tensor.detach()))
    return copies


def choose_with_slot(
    name_for: Callable[[float, str], str], experts: Mapping[str, WorldTransformer], slot: ExpertSlot
) -> Callable[[int, str], WorldTransformer]:
    """Which network runs at a timestep for a viewpoint: one of `experts`, which stay, or the slot's."""

    def choose(timestep: int, viewpoint: str) -> WorldTransformer:
        name = name_for(timestep, viewpoint)
        if name in experts:
            slot.leave()
            return experts[name]
        return slot.take(name)

    return choose


def _tensors_of(model: nn.Module) -> Iterable[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def _mark(device: torch.device) -> torch.cuda.Event:
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return event
