"""Ray with nothing that a service does not use."""

from __future__ import annotations

import logging
import os

import ray

OBJECT_STORE_BYTES = 256 << 20
"""Holds only what is on its way between two processes: latents and start images."""


def start_ray(address: str, *, verbose: bool) -> None:
    """Connect this process to the Ray cluster at `address`, or start one for it alone if that is 'local'."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    level = logging.INFO if verbose else logging.ERROR
    if address != "local":
        ray.init(address=address, log_to_driver=verbose, logging_level=level)
        return
    ray.init(
        address="local",
        # Logical: they bound nothing but how many processes Ray keeps ready.
        num_cpus=max(4, os.cpu_count() or 1),
        object_store_memory=OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=verbose,
        logging_level=level,
    )


def quiet_serve() -> None:
    """Keep Serve's progress reports off this process's terminal."""
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
