"""A trace of all that this process's CPU and GPU do, for Perfetto or chrome://tracing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def write_trace(path: Path) -> Iterator[None]:
    """Trace the block and write the file; folders are made."""
    from torch.profiler import profile

    path.parent.mkdir(parents=True, exist_ok=True)
    with profile() as profiler:
        yield
    profiler.export_chrome_trace(str(path))
