"""Times of a computation's stages, measured where it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Stages:
    """Seconds that each stage takes on `device`. On a GPU nothing waits: events mark the stream, and are read later."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._host: dict[str, float] = {}
        self._marks: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Times what is launched inside, on the current stream. A stage measured twice takes the sum."""
        if self.device.type == "cuda":
            started = self._mark()
            yield
            self._marks.append((name, started, self._mark()))
        else:
            began = time.perf_counter()
            yield
            self._host[name] = self._host.get(name, 0.0) + time.perf_counter() - began

    def wait(self) -> None:
        """Returns when all that has been measured is done."""
        if self._marks:
            self._marks[-1][2].synchronize()

    @property
    def seconds(self) -> dict[str, float]:
        """The stages so far, in the order in which they began; waits until they are done."""
        self.wait()
        taken = dict(self._host)
        for name, started, ended in self._marks:
            taken[name] = taken.get(name, 0.0) + started.elapsed_time(ended) / 1e3
        return taken

    def _mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self.device))
        return event
