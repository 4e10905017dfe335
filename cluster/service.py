"""Starts and stops the Ray side of a service: named actors, worker groups, decoders."""

from __future__ import annotations

from typing import Any

import ray
from ray.serve import RunTarget

from .config import DIRECTORY, STORE, ClusterConfig
from .decoders import decoders_app
from .directory import Directory
from .group import groups_app
from .store import StoreActor


def start_actor(kind: type, name: str, config: ClusterConfig, *args: Any) -> Any:
    """A named actor that restarts by itself and lives as long as the process that starts it. Returns its handle."""
    actor = ray.remote(kind).options(  # type: ignore[call-overload]
        name=name, namespace=config.name, num_cpus=0, max_restarts=-1, max_concurrency=10_000
    )
    return actor.remote(config, *args)


def start_cluster(config: ClusterConfig) -> list[Any]:
    """Start store, directory and the Serve applications, and do not wait for them. Returns the actors' handles."""
    actors = [start_actor(StoreActor, STORE, config), start_actor(Directory, DIRECTORY, config)]
    return actors


def serve_targets(config: ClusterConfig) -> list[RunTarget]:
    """The Serve applications of the cluster side; none has a route."""
    return [
        RunTarget(target=groups_app(config), name=config.groups_app, route_prefix=None),
        RunTarget(target=decoders_app(config), name=config.decoders_app, route_prefix=None),
    ]
