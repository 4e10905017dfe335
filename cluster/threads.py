"""Torch's threads, set without loading torch in processes that do not need it."""

from __future__ import annotations


def set_torch_threads(count: int) -> None:
    """Let torch use `count` CPU threads in this process. Ray sets the environment's hint to one thread a worker."""
    import torch

    torch.set_num_threads(count)
