"""The client without `async`: one thread runs the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, TypeVar, Unpack, cast

from .controls import Action, Pose
from .frames import WorldFrame
from .lockstep import step
from .service import StartRequest
from .world import Credential, World, WorldInfo, join_world, open_world

T = TypeVar("T")


class BlockingWorld:
    """A world whose methods wait. Made by `open_world_blocking` or `join_world_blocking`."""

    def __init__(self, world: World, loop: asyncio.AbstractEventLoop) -> None:
        self._world = world
        self._loop = loop

    @property
    def info(self) -> WorldInfo:
        """As World.info."""
        return self._world.info

    @property
    def applied(self) -> dict[int, int]:
        """As World.applied."""
        return dict(self._world.applied)

    def play(self, rows: Iterable[Action], *, pause_after: bool = False) -> int:
        """As World.play."""
        return self._wait(self._world.play(rows, pause_after=pause_after))

    def hold(self, held: Action, *, pitch_motion: float = 0.0, yaw_motion: float = 0.0) -> int:
        """As World.hold."""
        return self._wait(self._world.hold(held, pitch_motion=pitch_motion, yaw_motion=yaw_motion))

    def go_to(self, pose: Pose | None, *, look_only: bool = False) -> int:
        """As World.go_to."""
        return self._wait(self._world.go_to(pose, look_only=look_only))

    def prompt(self, text: str) -> int:
        """As World.prompt."""
        return self._wait(self._world.prompt(text))

    def pause(self) -> int:
        """As World.pause."""
        return self._wait(self._world.pause())

    def resume(self) -> int:
        """As World.resume."""
        return self._wait(self._world.resume())

    def reset(self) -> int:
        """As World.reset."""
        return self._wait(self._world.reset())

    def rewind(self, chunk: int, *, branch: int | None = None) -> int:
        """As World.rewind."""
        return self._wait(self._world.rewind(chunk, branch=branch))

    def settled(self, event_id: int) -> int:
        """As World.settled."""
        return self._wait(self._world.settled(event_id))

    def frames(self, *, is_paced: bool = False) -> Iterator[WorldFrame]:
        """As World.frames."""
        frames = cast(AsyncGenerator[WorldFrame], self._world.frames(is_paced=is_paced))

        async def take() -> WorldFrame | None:
            return await anext(frames, None)

        try:
            while (frame := self._wait(take())) is not None:
                yield frame
        finally:
            # A caller may keep the iterator for longer than the world.
            if self._loop.is_running():
                self._wait(frames.aclose())

    def step(self, rows: Sequence[Action]) -> list[WorldFrame]:
        """As lockstep.step."""
        return self._wait(step(self._world, rows))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


@contextmanager
def open_world_blocking(
    url: str, *, codecs: Sequence[str] | None = None, key: str = "", **start: Unpack[StartRequest]
) -> Iterator[BlockingWorld]:
    """As `open_world`, for code without `async`; keyword arguments are the same."""
    with _in_thread(lambda: open_world(url, codecs=codecs, key=key, **start)) as world:
        yield world


@contextmanager
def join_world_blocking(
    url: str, credential: Credential, *, codecs: Sequence[str] | None = None
) -> Iterator[BlockingWorld]:
    """As `join_world`, for code without `async`; arguments are the same."""
    with _in_thread(lambda: join_world(url, credential, codecs=codecs)) as world:
        yield world


@contextmanager
def _in_thread(open_: Callable[[], AbstractAsyncContextManager[World]]) -> Iterator[BlockingWorld]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="worldloom-client", daemon=True)
    thread.start()
    opened = open_()
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
