"""The gateways, as groups and decoders call them: each session is looked for at its home."""

from __future__ import annotations

from typing import Any

from ..errors import WorkerLost, WorldloomError, WrongGateway
from .clients import DirectoryClient
from .config import ClusterConfig
from .events import Pace
from .messages import BranchNote, InputBatch, Progress, StreamPlace
from .peer import Peer
from .video import RungWish, VideoPiece

MAX_KNOWN = 4096
"""Homes that are remembered."""


class Gateways:
    """Gateways by name."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._peers: dict[str, Peer] = {}

    def __getitem__(self, name: str) -> Peer:
        """The gateway, there or not. Calls do not wait for one that is gone for longer than its lease lasts."""
        if name not in self._peers:
            self._peers[name] = Peer(name, namespace=self._config.name, patience_s=self._config.lease_s)
        return self._peers[name]


class ProgressTeller:
    """Tells gateways of progress, from a process without an event loop."""

    def __init__(self, config: ClusterConfig) -> None:
        self._gateways = Gateways(config)

    def tell(self, gateway: str, session: str, progress: Progress) -> None:
        """Does not wait for it to arrive; an empty name is no gateway."""
        if gateway:
            self._gateways[gateway].tell("report", session, progress)


class GatewayClient:
    """See `worldloom.serve.gateway.Gateway`, which these are calls of. Where nobody has come to a session yet, or its
    gateway is gone, who asks for something waits, and what is told is lost."""

    def __init__(self, config: ClusterConfig) -> None:
        self._directory = DirectoryClient(config)
        self._gateways = Gateways(config)
        self._homes: dict[str, str] = {}

    async def collect(
        self, session: str, *, epoch: int, after_event: int, next_frame_id: int, pace: Pace
    ) -> InputBatch:
        batch: InputBatch = await self._ask(session, "collect", epoch, after_event, next_frame_id, pace)
        return batch

    async def begin_stream(self, session: str, epoch: int) -> StreamPlace:
        place: StreamPlace = await self._ask(session, "begin_stream", epoch)
        return place

    async def until_stream_ends(self, session: str, stream: str) -> None:
        """Return when the stream has to be begun anew, at another frame or another gateway."""
        while not await self._ask(session, "stream_has_ended", stream):
            continue

    async def wanted_video(self, session: str, stream: str) -> tuple[RungWish, ...]:
        """Raises WorkerLost when the stream has to be begun anew."""
        wishes: tuple[RungWish, ...] = await self._send(session, "wanted_video", stream)
        return wishes

    async def push(self, session: str, stream: str, pieces: tuple[VideoPiece, ...]) -> None:
        """Raises WorkerLost when the stream has to be begun anew."""
        await self._send(session, "push", stream, pieces)

    async def next_frame_id(self, session: str) -> int:
        frame_id: int = await self._ask(session, "next_frame_id")
        return frame_id

    async def report(self, session: str, progress: Progress) -> None:
        await self._tell(session, "report", progress)

    async def branched(self, session: str, note: BranchNote) -> None:
        await self._tell(session, "branched", note)

    async def refuse(self, session: str, event_id: int, error: WorldloomError) -> None:
        await self._tell(session, "refuse", event_id, error)

    def known_home(self, session: str) -> str:
        """Where the session was found last; empty if it was not."""
        return self._homes.get(session, "")

    async def _ask(self, session: str, method: str, *args: Any) -> Any:
        while True:
            try:
                return await self._gateways[await self._home(session)].call(method, session, *args)
            except (WrongGateway, WorkerLost):
                self._homes.pop(session, None)

    async def _send(self, session: str, method: str, *args: Any) -> Any:
        try:
            return await self._gateways[await self._home(session)].call(method, session, *args)
        except (WrongGateway, WorkerLost) as error:
            self._homes.pop(session, None)
            raise WorkerLost("the session's stream is somewhere else", hint="Begin it anew.") from error

    async def _tell(self, session: str, method: str, *args: Any) -> None:
        home = self._homes.get(session) or await self._directory.home(session)
        if home is None:
            return
        try:
            await self._gateways[home].call(method, session, *args)
        except (WrongGateway, WorkerLost):
            self._homes.pop(session, None)

    async def _home(self, session: str) -> str:
        """Waits until there is one. Raises SessionUnknown when the session has ended."""
        while session not in self._homes:
            home = await self._directory.home(session)
            if home is not None:
                self._homes[session] = home
                if len(self._homes) > MAX_KNOWN:
                    del self._homes[next(iter(self._homes))]
        return self._homes[session]
