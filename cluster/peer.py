"""Calls to named actors that may restart."""

from __future__ import annotations

import asyncio
from typing import Any

import ray
from ray.exceptions import RayActorError

from ..errors import WorkerLost, WorldloomError

RETRY_S = 0.1


def plain(error: WorldloomError) -> WorldloomError:
    """The error as it was raised. One that came from an actor has a class that Ray derives, and a remote traceback."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, WorldloomError) else error


class Peer:
    """A named actor. A call waits while the actor restarts, and may reach it twice: methods must bear that."""

    def __init__(self, name: str, *, namespace: str, patience_s: float) -> None:
        self._name = name
        self._namespace = namespace
        self._patience_s = patience_s
        self._handle: Any = None

    async def call(self, method: str, *args: Any) -> Any:
        """The method's result, or the error it raised. Raises WorkerLost when the actor stays away."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._patience_s
        while True:
            handle = self._find()
            if handle is not None:
                try:
                    return await getattr(handle, method).remote(*args)
                except RayActorError:
                    self._handle = None
            if clock() > deadline:
                raise WorkerLost(
                    f"the {self._name} has not answered for {self._patience_s:g} s",
                    hint="Try again; if it lasts, look at the service's log.",
                )
            await asyncio.sleep(RETRY_S)

    def tell(self, method: str, *args: Any) -> None:
        """Call without waiting. What an absent actor misses is lost."""
        handle = self._find()
        if handle is not None:
            getattr(handle, method).remote(*args)

    def _find(self) -> Any:
        if self._handle is None:
            try:
                self._handle = ray.get_actor(self._name, namespace=self._namespace)
            except ValueError:
                return None
        return self._handle
