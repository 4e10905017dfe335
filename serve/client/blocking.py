"""The client without `async`: one thread runs the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, Unpack

from ..actions import Actions, Held
from .frames import WorldFrame
from .http import StartRequest, Ticket
from .world import World, open_world

T = TypeVar("T")


class BlockingWorld:
    """A world whose methods wait. Made by `open_world_blocking`."""

    def __init__(self, world: World, loop: asyncio.AbstractEventLoop) -> None:
        self._world = world
        self._loop = loop

    @property
    def ticket(self) -> Ticket:
        """The session's id, size and frame rate."""
        return self._world.ticket

    @property
    def applied(self) -> dict[int, int]:
        """Event id → first frame id that the event shaped."""
        return dict(self._world.applied)

    def play(self, actions: Actions) -> int:
        """As World.play."""
        return self._wait(self._world.play(actions))

    def hold(self, held: Held, *, pitch_motion: float = 0.0, yaw_motion: float = 0.0) -> int:
        """As World.hold."""
        return self._wait(self._world.hold(held, pitch_motion=pitch_motion, yaw_motion=yaw_motion))

    def frames(self) -> Iterator[WorldFrame]:
        """As World.frames."""
        frames = self._world.frames()

        async def take() -> WorldFrame | None:
            return await anext(frames, None)

        while (frame := self._wait(take())) is not None:
            yield frame

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


@contextmanager
def open_world_blocking(url: str, **start: Unpack[StartRequest]) -> Iterator[BlockingWorld]:
    """As `open_world`, for code without `async`; keyword arguments are the same."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="worldloom-client", daemon=True)
    thread.start()
    opened = open_world(url, **start)
    try:
        world = asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result()
        try:
            yield BlockingWorld(world, loop)
        finally:
            asyncio.run_coroutine_threadsafe(opened.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
