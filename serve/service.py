"""Starts a whole service on Ray, and stops it again: cluster, gateway, HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import ray
from ray import serve as ray_serve
from ray.serve import RunTarget

from ..cluster.config import DIRECTORY, GATEWAY, ClusterConfig
from ..cluster.lay_out import LaidOut, Machine, Wish, lay_out, shares_work
from ..cluster.machine import ray_machine
from ..cluster.messages import ClusterHealth
from ..cluster.service import (
    check_gpus,
    cluster_targets,
    in_starting_order,
    nodes_by_host,
    start_actor,
    start_actors,
)
from ..errors import ServiceError, WorldloomError
from .app import http_app
from .bench.simulated import known_times
from .gateway import Gateway, GatewayConfig
from .ports import HeldPort
from .ray_start import quiet_serve, start_ray
from .session_routes import Entrance
from .tickets import new_secret
from .tls import TlsFiles, http_options

POLL_S = 0.05
OnPlan = Callable[[tuple[str, ...]], None]
"""Hears sentences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceConfig:
    """What a service runs, and where it listens."""

    cluster: ClusterConfig
    wish: Wish = field(default_factory=Wish)
    """How it is to lie on GPUs."""
    host: str = "127.0.0.1"
    """Of HTTP and of the stream: loopback unless told otherwise."""
    public_host: str = ""
    """What the stream's clients call the host; empty: as it is called here."""
    port: int = 8000
    """Of HTTP; 0 takes a free one. It belongs to the Ray cluster, whose first service sets it."""
    route_prefix: str = "/"
    """Of all HTTP paths: each service on a Ray cluster needs its own."""
    stream_port: int = 0
    """Of the WebSocket; 0 takes a free one."""
    grpc_port: int = 0
    """0 takes a free one."""
    secret: str = field(default_factory=new_secret, repr=False)
    """Signs tickets; services that shall know each other's have the same one."""
    operator_key: str = field(default="", repr=False)
    """Who creates or imports worlds has to know it; empty: anybody may."""
    origins: tuple[str, ...] = ()
    """Web origins whose pages may connect to the stream; empty: any."""
    tls: TlsFiles | None = None
    """Of HTTP, the stream and gRPC; None: no encryption. HTTP's belongs to the Ray cluster, as its port does."""
    address: str = "local"
    """Ray cluster to run on; 'local' starts one on this machine and stops it with the service."""
    verbose: bool = False
    """Show what all processes log."""


class ServiceHandle:
    """A running service. Leaving its context stops it."""

    def __init__(self, config: ServiceConfig, on_plan: OnPlan) -> None:
        """See `start_service`, which makes it."""
        self.config = config
        self._on_plan = on_plan
        self._owns_ray = not ray.is_initialized()
        self._actors: dict[str, Any] = {}
        self._gateways: list[Any] = []
        self._targets: list[RunTarget] = []
        self._held: list[HeldPort] = []
        """Until the service stops: a gateway that restarts needs its ports again."""
        self._port = self._hold(config.port) if self._owns_ray else config.port
        self.gateway = GatewayConfig(
            host=config.host,
            public_host=config.public_host,
            port=self._hold(config.stream_port),
            grpc_port=self._hold(config.grpc_port),
            secret=config.secret,
            operator_key=config.operator_key,
            origins=config.origins,
            tls=config.tls,
        )

    @property
    def url(self) -> str:
        """Of the web page and the HTTP API."""
        scheme = "http" if self.config.tls is None else "https"
        return f"{scheme}://{self.config.host}:{self._port}{self.config.route_prefix.rstrip('/')}"

    @property
    def stream_url(self) -> str:
        """Of the WebSocket."""
        return self.gateway.addresses.stream_url

    @property
    def grpc_target(self) -> str:
        """Host and port of gRPC."""
        return self.gateway.addresses.grpc_target

    def start(self) -> None:
        """Start all and wait until sessions are admitted; until then /healthz says 'warming'."""
        if self._owns_ray:
            start_ray(self.config.address, verbose=self.config.verbose)
        if not self.config.verbose:
            quiet_serve()
        self._lay_out()
        if self.config.address == "local":
            resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
            check_gpus(self.config.cluster, available=resources.get("GPU", 0.0))
        ray_serve.start(http_options=http_options(self.config.host, self._port, self.config.tls))
        self._actors = start_actors(self.config.cluster)
        self._gateways = [self._start_gateway(number, node) for number, node in enumerate(nodes_by_host())]
        http = http_app(self.config.cluster, self._entrance())
        self._targets = [
            *cluster_targets(self.config.cluster),
            RunTarget(target=http, name=f"{self.config.cluster.name}-http", route_prefix=self.config.route_prefix),
        ]
        try:
            for targets in in_starting_order(self._targets, self.config.cluster):
                ray_serve.run_many(targets)
        except RuntimeError as error:
            raise self._start_failure(error) from error
        ray.get([gateway.ready.remote() for gateway in self._gateways])
        while self.health().groups < self.config.cluster.groups:
            time.sleep(POLL_S)

    def _hold(self, port: int) -> int:
        held = HeldPort(self.config.host, port)
        self._held.append(held)
        return held.number

    def _lay_out(self) -> None:
        """Find a place for groups and decoders on what Ray has."""
        cluster, wish = self.config.cluster, self.config.wish
        if cluster.layout is None and shares_work(cluster, wish):
            found = self._laid_out(cluster, wish)
            self.config = replace(self.config, cluster=found.config)
            self._on_plan(found.reasons)

    def _laid_out(self, cluster: ClusterConfig, wish: Wish) -> LaidOut:
        if not cluster.uses_gpus:
            return lay_out(cluster, wish, Machine.cpu(wish.gpus or 1))
        machine = ray_machine()
        if self.config.address != "local":
            wanted = wish.gpus or (wish.groups or 1) * cluster.preset.num_gpus
            machine = machine.grown_to(wanted)
        return lay_out(cluster, wish, machine, known_times(cluster.preset, machine.gpu_name))

    def _start_gateway(self, number: int, node: str) -> Any:
        name = f"{GATEWAY}-{number}" if number else GATEWAY
        return start_actor(Gateway, name, self.config.cluster, replace(self.gateway, name=name), node=node)

    def _entrance(self) -> Entrance:
        gateway = self.gateway
        return Entrance(
            stream_port=gateway.port,
            grpc_port=gateway.grpc_port,
            is_secure=gateway.tls is not None,
            ticket_secret=gateway.secret,
            operator_key=gateway.operator_key,
        )

    def health(self) -> ClusterHealth:
        """What the service can admit."""
        health: ClusterHealth = ray.get(self._actors[DIRECTORY].health.remote())
        return health

    def _start_failure(self, error: RuntimeError) -> WorldloomError:
        failure = self.health().failure
        return failure or ServiceError(f"the service did not start: {error}", hint="Look at Ray's logs.")

    def stop(self) -> None:
        """Say goodbye to the players, then stop all that was started here."""
        self._stop()
        for held in self._held:
            held.release()

    def _stop(self) -> None:
        if not ray.is_initialized():
            return
        ray.get([gateway.stop.remote() for gateway in self._gateways])
        if self._owns_ray and self.config.address == "local":
            ray.shutdown()
            return
        for target in self._targets:
            ray_serve.delete(target.name, _blocking=False)
        for actor in [*self._gateways, *self._actors.values()]:
            ray.kill(actor)
        if self._owns_ray:
            ray.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_service(config: ServiceConfig, *, on_plan: OnPlan = lambda reasons: None) -> ServiceHandle:
    """Start a service and wait until it admits sessions. `on_plan` hears why it lies on GPUs as it does, before weights
    are loaded.

    Where this process is connected to a Ray cluster, the service runs there; else it connects as the config says.
    Raises ConfigError when a port is taken, ServiceError when groups or decoders do not start.
    """
    handle = ServiceHandle(config, on_plan)
    try:
        handle.start()
    except BaseException:
        handle.stop()
        raise
    return handle
