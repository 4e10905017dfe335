"""Starts a whole service on Ray, and stops it again: cluster, gateway, HTTP."""

from __future__ import annotations

import logging
import os
import socket
import time
from dataclasses import dataclass
from typing import Any, Self

import ray
from ray import serve as ray_serve
from ray.serve import RunTarget

from ..cluster.config import GATEWAY, ClusterConfig
from ..cluster.messages import ClusterHealth
from ..cluster.service import serve_targets, start_actor, start_cluster
from .app import http_app
from .gateway import Gateway, GatewayConfig

POLL_S = 0.1
RAY_OBJECT_STORE_BYTES = 512 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceConfig:
    """Where a service runs and listens."""

    cluster: ClusterConfig
    host: str = "127.0.0.1"
    """Of HTTP and of the stream: loopback unless told otherwise."""
    port: int = 8000
    """Of HTTP. It belongs to the Ray cluster: its first service sets it."""
    stream_port: int = 0
    """Of the WebSocket; 0 takes a free one."""
    address: str = "local"
    """Ray cluster to run on; 'local' starts one on this machine and stops it with the service."""
    verbose: bool = False
    """Show what all processes log."""


class ServiceHandle:
    """A running service. Leaving its context stops it."""

    def __init__(self, config: ServiceConfig, actors: list[Any], *, stream_port: int, owns_ray: bool) -> None:
        self.url = f"http://{config.host}:{config.port}"
        self.stream_url = f"ws://{config.host}:{stream_port}/"
        self._config = config
        self._actors = actors
        self._owns_ray = owns_ray

    def health(self) -> ClusterHealth:
        """What the service can admit."""
        health: ClusterHealth = ray.get(self._actors[1].health.remote())
        return health

    def stop(self) -> None:
        """Say goodbye to the players, then stop all that `start_service` started."""
        ray.get(self._actors[-1].stop.remote())
        for target in (*serve_targets(self._config.cluster), None):
            ray_serve.delete(target.name if target else _http_name(self._config.cluster))
        for actor in self._actors:
            ray.kill(actor)
        if self._owns_ray:
            ray_serve.shutdown()
            ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_service(config: ServiceConfig) -> ServiceHandle:
    """Start everything and wait until sessions are admitted."""
    owns_ray = not ray.is_initialized()
    if owns_ray:
        start_ray(config)
    ray_serve.start(
        http_options={"host": config.host, "port": config.port, "access_log": False},
        logging_config={"log_level": "INFO" if config.verbose else "WARNING"},
    )
    stream_port = config.stream_port or free_port(config.host)
    gateway_config = GatewayConfig(host=config.host, port=stream_port)
    actors = start_cluster(config.cluster)
    actors.append(start_actor(Gateway, GATEWAY, config.cluster, gateway_config))
    targets = [
        *serve_targets(config.cluster),
        RunTarget(
            target=http_app(config.cluster, stream_port=stream_port),
            name=_http_name(config.cluster),
            route_prefix="/",
        ),
    ]
    ray_serve.run_many(targets)
    ray.get(actors[-1].ready.remote())
    handle = ServiceHandle(config, actors, stream_port=stream_port, owns_ray=owns_ray)
    while handle.health().groups == 0:
        time.sleep(POLL_S)
    return handle


def start_ray(config: ServiceConfig) -> None:
    """Connect this process to the cluster of `config`, or start one with nothing that a service does not use."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if config.address != "local":
        ray.init(address=config.address, log_to_driver=config.verbose)
        return
    ray.init(
        address="local",
        # CPUs are logical here: they bound nothing but how many processes Ray keeps ready.
        num_cpus=max(4, os.cpu_count() or 1),
        object_store_memory=RAY_OBJECT_STORE_BYTES,
        include_dashboard=False,
        log_to_driver=config.verbose,
        logging_level=logging.INFO if config.verbose else logging.WARNING,
    )


def free_port(host: str) -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _http_name(config: ClusterConfig) -> str:
    return f"{config.name}-http"
