"""Guests of other gateways, in sessions whose home is this one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import WrongGateway
from .protocol.generated import session_pb2 as pb
from .seat import LocalSeat

BATCH_BYTES = 1 << 20
"""What another gateway is handed at a time, if there is more than one message."""
POLL_S = 1.0
"""A gateway that asks for messages hears at least this often that there are none."""
LOST_S = 4.0
"""A gateway that has not asked for so long is gone, and its guests with it."""


@dataclass(slots=True, eq=False)
class _Lodger:
    seat: LocalSeat
    asked_at: float


class Lodgers:
    """Their seats by connection."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lodgers: dict[str, _Lodger] = {}

    def sit(self, connection: str, seat: LocalSeat) -> None:
        """A guest has come to another gateway."""
        self._lodgers[connection] = _Lodger(seat, self._clock())

    async def take(self, connection: str, data: bytes) -> None:
        """A guest's message. Raises WrongGateway when there is no such guest."""
        await self._find(connection).seat.take(pb.ClientMessage.FromString(data))

    async def outgoing(self, connection: str) -> list[bytes] | None:
        """What a guest is to be sent; None if there is nothing for a while; empty: its connection is over.

        Raises WrongGateway when there is no such guest.
        """
        lodger = self._find(connection)
        lodger.asked_at = self._clock()
        try:
            async with asyncio.timeout(POLL_S):
                return await lodger.seat.outgoing(max_bytes=BATCH_BYTES)
        except TimeoutError:
            return None

    async def leave(self, connection: str, *, is_bye: bool) -> None:
        """A guest has left, if there was one."""
        lodger = self._lodgers.pop(connection, None)
        if lodger is not None:
            await lodger.seat.leave(is_bye=is_bye)

    async def sweep(self) -> None:
        """Let go of guests whose gateway is gone: their seats can be resumed."""
        oldest = self._clock() - LOST_S
        for connection in [name for name, lodger in self._lodgers.items() if lodger.asked_at < oldest]:
            await self.leave(connection, is_bye=False)

    def _find(self, connection: str) -> _Lodger:
        if connection not in self._lodgers:
            raise WrongGateway("this gateway does not know the connection", hint="Connect again.")
        return self._lodgers[connection]
