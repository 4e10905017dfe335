"""A game's back end as a script: it creates a world over gRPC, mints tickets, and watches what becomes of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from worldloom_client import Credential, Service, Ticket, WorldError, WorldFrame, join_world, open_service
from worldloom_client.grpc_service import GrpcService
from worldloom_client.protocol import worlds_pb2

T = TypeVar("T")


class Viewer:
    """Somebody who watches, and remembers all frames."""

    def __init__(self, codec: str) -> None:
        self.codec = codec
        self.frames: list[WorldFrame] = []
        self.problem: WorldError | None = None
        self.is_done = False

    async def watch(self, url: str, ticket: str) -> None:
        """Until the session ends."""
        try:
            async with join_world(url, Credential(ticket=ticket), codecs=[self.codec]) as world:
                async for frame in world.frames(is_paced=True):
                    self.frames.append(frame)
        except WorldError as error:
            self.problem = error
        self.is_done = True


class Game:
    """Runs in a thread of its own; methods wait."""

    def __init__(self, url: str) -> None:
        """`url` begins with grpc://."""
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._service: Service | None = None
        self.session_id = self.token = ""

    @contextmanager
    def running(self) -> Iterator[Game]:
        """With a world that ends with the block."""
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        opened = open_service(self._url)
        try:
            self._service = self._wait(opened.__aenter__())
            session = self._wait(self._service.create(sample="garden", seed=11))
            self.session_id, self.token = session.session_id, session.token
            yield self
        finally:
            self.close()
            self._wait(opened.__aexit__(None, None, None))
            self._loop.call_soon_threadsafe(self._loop.stop)
            thread.join()

    def ticket(self, *, is_player: bool) -> Ticket:
        """A ticket for one."""
        assert self._service is not None
        return self._wait(self._service.mint_ticket(self.session_id, token=self.token, is_player=is_player))

    def describe(self) -> worlds_pb2.Session:
        """The session as it is."""
        assert isinstance(self._service, GrpcService)
        reference = worlds_pb2.SessionRef(session_id=self.session_id)
        session: worlds_pb2.Session = self._wait(self._service.call("Describe", reference, token=self.token))
        return session

    def let_watch(self, viewer: Viewer, *, over_grpc: bool) -> None:
        """Give the viewer a ticket, and let it watch in the background."""
        ticket = self.ticket(is_player=False)
        url = self._url if over_grpc else ticket.url
        asyncio.run_coroutine_threadsafe(viewer.watch(url, ticket.ticket), self._loop)

    def close(self) -> None:
        """End the world, once."""
        session_id, self.session_id = self.session_id, ""
        if session_id:
            assert self._service is not None
            self._wait(self._service.close(session_id, token=self.token))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)
