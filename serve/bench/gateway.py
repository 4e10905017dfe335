"""How many sessions one gateway carries: load is added until frames are lost or late."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import ray

from ...cluster.attendance import Role
from ...cluster.config import DIRECTORY, GATEWAY, ClusterConfig
from ...cluster.service import start_actor
from ...model.preset import load_preset
from ..gateway import Gateway, GatewayConfig
from ..ports import free_port
from ..ray_start import start_ray
from ..tickets import Tickets, new_secret
from .gateway_load import Audience, Doorman, Load, Senders
from .machine import where_it_ran
from .records import GatewayLoad, GatewayRecord

FRAME_RATE = 40.0
FRAME_BYTES = 60_000
FIRST_TRY = 4
WARM_UP_S = 2.0
MAX_P99_S = 0.2
"""One piece of play: what is later may stall a player with a short buffer."""
LOOPBACK = "127.0.0.1"

OnLoad = Callable[[GatewayLoad], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayBenchConfig:
    """How long each load is held, and where to stop."""

    seconds: float
    most_sessions: int
    commit: str | None = None
    """What is measured, where it is no git checkout."""


def is_carried(load: GatewayLoad) -> bool:
    """Whether no frame was lost, and hardly one late."""
    return load.loss == 0 and load.overhead_p99_s <= MAX_P99_S


def measure_gateway(config: GatewayBenchConfig, on_load: OnLoad) -> GatewayRecord:
    """Start Ray and a gateway, and find its limit. `on_load` hears of each load. Raises ConfigError."""
    loads: dict[int, GatewayLoad] = {}

    def holds(sessions: int) -> bool:
        loads[sessions] = rig.measure(sessions, config.seconds)
        on_load(loads[sessions])
        return is_carried(loads[sessions])

    with _rig() as rig:
        limit = find_limit(holds, first=FIRST_TRY, most=config.most_sessions)
    return GatewayRecord(
        **where_it_ran("cpu", commit=config.commit),
        source="measured",
        frame_rate=FRAME_RATE,
        frame_bytes=FRAME_BYTES,
        seconds=config.seconds,
        limit_sessions=limit,
        loads=tuple(loads[sessions] for sessions in sorted(loads)),
    )


def find_limit(holds: Callable[[int], bool], *, first: int, most: int) -> int:
    """The largest count, up to `most`, that holds, tried by doubling from `first` and then by halves, to an eighth. 0:
    not even `first` does."""
    good, bad = 0, most + 1
    trial = min(first, most)
    while trial < bad:
        if holds(trial):
            good = trial
            trial = min(2 * trial, most) if trial < most else bad
        else:
            bad = trial
    while bad - good > max(1, good // 8) and good:
        trial = (good + bad) // 2
        if holds(trial):
            good = trial
        else:
            bad = trial
    return good


class _Rig:
    """A real gateway between stand-ins."""

    def __init__(self, cluster: ClusterConfig, config: GatewayConfig) -> None:
        self._tickets = Tickets(config.secret)
        self._doorman: Any = start_actor(Doorman, DIRECTORY, cluster)
        self._gateway: Any = start_actor(Gateway, GATEWAY, cluster, config)
        ray.get(self._gateway.ready.remote())
        self._senders: Any = ray.remote(Senders).options(num_cpus=0, max_concurrency=8).remote(self._gateway)
        self._audience: Any = (
            ray.remote(Audience).options(num_cpus=0, max_concurrency=8).remote(config.addresses.stream_url)
        )
        self._runs = 0

    def measure(self, sessions: int, seconds: float) -> GatewayLoad:
        """Put a load on the gateway, with sessions of its own, and take it away again."""
        self._runs += 1
        names = tuple(f"run{self._runs}-{number}" for number in range(sessions))
        load = Load(
            sessions=names, frame_rate=FRAME_RATE, frame_bytes=FRAME_BYTES, warm_up_s=WARM_UP_S, seconds=seconds
        )
        tickets = tuple(self._tickets.mint(name, Role.PLAYER).ticket for name in names)
        ray.get(self._audience.join.remote(tickets))
        heard = self._audience.watch.remote(load)
        ray.get(self._senders.play.remote(load))
        overheads: list[float] = ray.get(heard)
        ray.get([self._gateway.end_session.remote(name, None) for name in names])
        return load_of(overheads, sessions=sessions, offered=sessions * (load.frames - load.first_measured))


def load_of(overheads: list[float], *, sessions: int, offered: int) -> GatewayLoad:
    """What the frames that came say of a load of `offered` frames."""
    p50, p95, p99 = np.percentile(overheads, (50, 95, 99)) if overheads else (0.0, 0.0, 0.0)
    return GatewayLoad(
        sessions=sessions,
        overhead_p50_s=round(float(p50), 5),
        overhead_p95_s=round(float(p95), 5),
        overhead_p99_s=round(float(p99), 5),
        loss=round(1 - len(overheads) / offered, 5),
    )


@contextmanager
def _rig() -> Iterator[_Rig]:
    preset = load_preset("mock")
    preset = replace(preset, video=replace(preset.video, frame_rate=FRAME_RATE))
    cluster = ClusterConfig(preset=preset)
    config = GatewayConfig(host=LOOPBACK, port=free_port(LOOPBACK), grpc_port=free_port(LOOPBACK), secret=new_secret())
    start_ray("local", verbose=False)
    try:
        yield _Rig(cluster, config)
    finally:
        ray.shutdown()
