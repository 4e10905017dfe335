"""The gateways, as groups and decoders call them: each session is looked for at its home."""

from __future__ import annotations

from typing import Any

from ..errors import WorkerLost, WorldloomError, WrongGateway
from .clients import DirectoryClient
from .config import ClusterConfig
from .events import Pace
from .messages import BranchNote, InputBatch, Progress
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

    async def wanted_video(self, session: str, epoch: int) -> tuple[RungWish, ...]:
        wishes: tuple[RungWish, ...] = await self._ask(session, "wanted_video", epoch)
        return wishes

    async def next_frame_id(self, session: str) -> int:
        frame_id: int = await self._ask(session, "next_frame_id")
        return frame_id

    async def until_moved_back(self, session: str) -> None:
        """Return when frames are wanted that have been sent already."""
        while not await self._ask(session, "moved_back"):
            continue

    async def push(self, session: str, pieces: tuple[VideoPiece, ...]) -> None:
        """Raises WorkerLost when the session's gateway is gone: its stream has to be followed anew."""
        try:
            await self._gateways[await self._home(session)].call("push", session, pieces)
        except WrongGateway as error:
            self._homes.pop(session, None)
            raise WorkerLost("the session has another gateway", hint="Follow its stream anew.") from error
        except WorkerLost:
            self._homes.pop(session, None)
            raise

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
