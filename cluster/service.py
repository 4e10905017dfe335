"""Starts and stops the Ray side of a service: named actors, worker groups, decoders."""

from __future__ import annotations

from typing import Any

import ray
from ray.serve import RunTarget
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ..errors import DoesNotFit
from .config import DIRECTORY, STORE, ClusterConfig
from .decoders import decoders_app
from .directory import Directory
from .group import groups_app
from .store import StoreActor

MAX_CALLS = 10_000
"""Calls that an actor may have open at once; most of them wait for something to happen."""


def start_actor(kind: type, name: str, config: ClusterConfig, *args: Any, node: str | None = None) -> Any:
    """A named actor that restarts by itself, on this Ray node (None: on any), and lives as long as the process that
    starts it. Returns its handle."""
    remote: Any = ray.remote(kind)
    options = {"name": name, "namespace": config.name, "num_cpus": 0, "max_restarts": -1, "max_concurrency": MAX_CALLS}
    if node is not None:
        options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False)
    return remote.options(**options).remote(config, *args)


def nodes_by_host() -> list[str]:
    """Ids of the cluster's Ray nodes, one a host, this process's own first."""
    own = ray.get_runtime_context().get_node_id()
    alive = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    alive.sort(key=lambda node: node["NodeID"] != own)
    return list({node["NodeManagerAddress"]: node["NodeID"] for node in reversed(alive)}.values())[::-1]


def start_actors(config: ClusterConfig) -> dict[str, Any]:
    """Start the memory store and the directory. Returns their handles by name."""
    return {STORE: start_actor(StoreActor, STORE, config), DIRECTORY: start_actor(Directory, DIRECTORY, config)}


def check_gpus(config: ClusterConfig, *, available: float) -> None:
    """Raises DoesNotFit where Ray would wait for GPUs that will never come."""
    if not config.uses_gpus:
        return
    ranks = config.groups * config.group_ranks
    decoding = config.decoders * config.decoder_ranks
    shares = round(ranks * config.rank_share + decoding * config.decoder_share, 6)
    # Ranks that decode together need a GPU each, and more than half of one leaves no room for another rank.
    needed = max(shares, config.decoder_ranks, ranks if config.rank_gpus > 0.5 else 0)
    if needed > available:
        raise DoesNotFit(
            f"preset {config.preset.name!r} needs {needed:g} GPUs for {config.groups} groups of "
            f"{config.group_ranks} and {config.decoders} decoders of {config.decoder_ranks}, Ray has {available:g}",
            hint="Use a machine with more GPUs, ask for fewer, or use a preset for the CPU: pocket.",
        )


def cluster_targets(config: ClusterConfig) -> list[RunTarget]:
    """The Serve applications of worker groups and decoders. HTTP does not reach them."""
    return [
        RunTarget(target=groups_app(config), name=config.groups_app, route_prefix=None),
        RunTarget(target=decoders_app(config), name=config.decoders_app, route_prefix=None),
    ]


def in_starting_order(targets: list[RunTarget], config: ClusterConfig) -> list[list[RunTarget]]:
    """Those of each list start at the same time. Where decoders need a GPU for each of their ranks, worker groups take
    theirs first: beside each of them there is then room for just one."""
    if not config.uses_gpus or config.decoder_ranks == 1:
        return [targets]
    groups = [target for target in targets if target.name == config.groups_app]
    return [groups, [target for target in targets if target.name != config.groups_app]]
