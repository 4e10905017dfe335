"""Torch's threads, set without loading torch in processes that do not need it."""

from __future__ import annotations

import os


def use_all_cores() -> None:
    """Let torch use every core in this process; call it before torch is loaded. Ray's own hint is one thread a worker.

    Rank and decoders share the cores, so threads that have nothing to do sleep: OpenMP's own choice is to spin, which
    takes the core from the other process.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
