"""Steps of training as CUDA graphs: recorded once, then launched as a whole.

A step of a small network is thousands of short kernels, and launching them one by one takes Python longer than running
them takes a GPU. What is recorded takes nothing from the host but what tensors hold: random numbers come from the
device's generators, rates and counts are tensors, and whatever the host decides (the kind of clips, a number of solver
steps) tells one recording from another. On a CPU the same steps run as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Step = Callable[[], Mapping[str, Tensor]]
"""Returns scalars to log."""
WARM_UP = 2
"""Calls of a kind that run as they are before one is recorded: they compile kernels and create optimizer states."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    values: Mapping[str, Tensor]
    """Overwritten by each replay."""


class Replay:
    """Runs steps by kind, all of them on one device."""

    def __init__(self, device: torch.device, generators: Sequence[torch.Generator], *, recording: bool = True) -> None:
        """`generators` are the device's that the steps draw from. Without `recording`, and on a CPU, nothing is
        recorded."""
        self._device = device
        self._records = recording and device.type == "cuda"
        self._generators = list(generators)
        self._calls: Counter[Hashable] = Counter()
        self._recordings: dict[Hashable, _Recording] = {}
        if self._records:
            self._stream: torch.cuda.Stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            # Recordings never run at the same time, so they may use the same memory.
            self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, kind: Hashable, step: Step) -> Mapping[str, Tensor]:
        """Does `step`, which for equal kinds must be the same work on the same tensors; returns its values."""
        if not self._records:
            return step()
        self._calls[kind] += 1
        if self._calls[kind] <= WARM_UP:
            return self._warm_up(step)
        if kind not in self._recordings:
            self._recordings[kind] = self._record(step)
        recording = self._recordings[kind]
        recording.graph.replay()
        return {key: value.clone() for key, value in recording.values.items()}

    def _warm_up(self, step: Step) -> Mapping[str, Tensor]:
        """On the stream that records, so that autograd sees one stream from the beginning."""
        outside = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(outside)
        with torch.cuda.stream(self._stream):
            values = step()
        outside.wait_stream(self._stream)
        return values

    def _record(self, step: Step) -> _Recording:
        graph = torch.cuda.CUDAGraph()
        for generator in self._generators:
            graph.register_generator_state(generator)
        # Other threads may go on using the device: those that watch collectives do.
        mode = "thread_local"
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode=mode):
            values = step()
        return _Recording(graph=graph, values=values)
