"""The GPUs of the Ray cluster that this process is connected to."""

from __future__ import annotations

from typing import Any

import ray

from .lay_out import Machine

GPU_SHARE = 0.01
"""Enough to be shown one."""


def ray_machine() -> Machine:
    """What Ray has now; a GPU's name and memory are those of any one of them."""
    per_node = [int(node["Resources"].get("GPU", 0)) for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    if not any(per_node):
        return Machine(gpus=0, gpu_bytes=0, gpus_per_node=0)
    # A process of its own, which ends: what has touched a GPU holds some of its memory.
    remote: Any = ray.remote(_first_gpu)
    name, memory = ray.get(remote.options(num_cpus=0, num_gpus=GPU_SHARE, max_calls=1).remote())
    return Machine(gpus=sum(per_node), gpu_bytes=memory, gpus_per_node=max(per_node), gpu_name=name)


def _first_gpu() -> tuple[str, int]:
    import torch

    found = torch.cuda.get_device_properties(0)
    return found.name, found.total_memory
