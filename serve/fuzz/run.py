"""One fuzzing run against a running service."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from worldloom_client import OpenedSession, WorldError, open_service, open_world

from .attacker import Attacker, Tally
from .canary import Watch, sing
from .noise import is_ended_by, nonsense
from .shots import Shots
from .wires import GrpcWire, WebSocketWire, Wire

MOST_MESSAGES = 800
"""Of one connection: fewer than what a burst may have."""
NOISE_EVERY = 20
"""So many connections come between two that are no connections at all."""
GRPC_SHARE = 0.3
OnMessages = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class FuzzConfig:
    """What is sent."""

    messages: int
    seed: int
    attackers: int = 2
    """Side by side, each with a session of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FuzzReport:
    """What came of it."""

    tally: Tally
    canary: Watch

    @property
    def violations(self) -> list[str]:
        """What must not happen. Empty: the service has kept its promises."""
        return [*self.tally.violations, *self.canary.violations]


def fuzz(url: str, config: FuzzConfig, on_messages: OnMessages) -> FuzzReport:
    """Attack the service at `url` while a canary plays. `on_messages` hears of each message sent.

    Raises what the service reports before the attack begins.
    """
    return asyncio.run(_fuzz(url, config, on_messages))


async def _fuzz(url: str, config: FuzzConfig, on_messages: OnMessages) -> FuzzReport:
    tally, watch = Tally(), Watch()
    async with open_world(url, seed=config.seed) as world:
        singing = asyncio.create_task(sing(world, watch))
        try:
            attacks = (_attack(url, config, number, tally, on_messages) for number in range(config.attackers))
            await asyncio.gather(*attacks)
            await _check_alive(url, tally)
        finally:
            singing.cancel()
            await asyncio.gather(singing, return_exceptions=True)
    return FuzzReport(tally=tally, canary=watch)


async def _attack(url: str, config: FuzzConfig, number: int, tally: Tally, on_messages: OnMessages) -> None:
    seed = config.seed + 1000 * number
    chance, shots = random.Random(seed), Shots(seed)
    while tally.messages < config.messages:
        async with _session(url, seed) as session:
            attacker = Attacker(
                lambda: _dial(session, chance),  # used only within this turn of the loop
                session.token,
                shots,
                tally,
                on_messages=on_messages,
            )
            lets_in = True
            while lets_in and tally.messages < config.messages:
                left = config.messages - tally.messages
                lets_in = await attacker.connect_once(min(MOST_MESSAGES, left))
                if chance.randrange(NOISE_EVERY) == 0:
                    await _make_noise(session.url, chance, tally)


async def _dial(session: OpenedSession, chance: random.Random) -> Wire:
    if session.grpc_target and chance.random() < GRPC_SHARE:
        return await GrpcWire.dial(session.grpc_target)
    return await WebSocketWire.dial(session.url)


async def _make_noise(url: str, chance: random.Random, tally: Tally) -> None:
    parts = urlsplit(url)
    data = nonsense(chance)
    tally.connections += 1
    if not await is_ended_by(parts.hostname or "", parts.port or 80, data):
        tally.violations.append(f"a connection that sent {data[:60]!r} stayed open")


async def _check_alive(url: str, tally: Tally) -> None:
    """A new session can still be had."""
    try:
        async with open_world(url) as world:
            await world.pause()
    except (WorldError, OSError) as error:
        tally.violations.append(f"after the attack no session can be had: {error}")


@asynccontextmanager
async def _session(url: str, seed: int) -> AsyncIterator[OpenedSession]:
    """A session to attack; it may be gone before it is closed."""
    async with open_service(url) as service:
        session = await service.create(seed=seed)
        try:
            yield session
        finally:
            with contextlib.suppress(WorldError):
                await service.close(session.session_id, token=session.token)
