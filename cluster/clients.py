"""The named actors, as other processes call them: typed, idempotent, and patient while an actor restarts."""

from __future__ import annotations

from ..errors import WorldloomError
from ..memory.records import ChunkRecord
from ..model.clip import MemoryQuery, MemoryView
from .attendance import Admission, Claim, GatewayBeat
from .config import DIRECTORY, STORE, ClusterConfig
from .events import ControlState, Rewind
from .losses import Place
from .messages import (
    ClusterHealth,
    CommittedChunk,
    GroupBeat,
    SavedWorld,
    SessionCopy,
    SessionInfo,
    SessionRecord,
    SessionSpec,
    SnapshotPlace,
    WorldPlace,
)
from .peer import Peer


class StoreClient:
    """See `StoreActor`."""

    def __init__(self, config: ClusterConfig) -> None:
        self._peer = Peer(STORE, namespace=config.name, patience_s=config.patience_s)

    async def create(self, start: SessionSpec | SessionCopy) -> SessionRecord:
        record: SessionRecord = await self._peer.call("create", start)
        return record

    async def place(self, session: str) -> WorldPlace:
        place: WorldPlace = await self._peer.call("place", session)
        return place

    async def take_snapshot(
        self, session: str, snapshot: str, created_at: float, branch: int | None, chunk: int | None
    ) -> SnapshotPlace:
        place: SnapshotPlace = await self._peer.call("take_snapshot", session, snapshot, created_at, branch, chunk)
        return place

    async def drop_snapshot(self, snapshot: str) -> None:
        await self._peer.call("drop_snapshot", snapshot)

    async def export_world(self, session: str) -> bytes:
        blob: bytes = await self._peer.call("export_world", session)
        return blob

    async def import_world(self, snapshot: str, blob: bytes, created_at: float) -> None:
        await self._peer.call("import_world", snapshot, blob, created_at)

    async def take_over(self, session: str) -> int:
        epoch: int = await self._peer.call("take_over", session)
        return epoch

    async def load(self, session: str) -> SavedWorld:
        world: SavedWorld = await self._peer.call("load", session)
        return world

    async def retrieve(self, session: str, branch: int, query: MemoryQuery) -> MemoryView:
        view: MemoryView = await self._peer.call("retrieve", session, branch, query)
        return view

    async def commit(self, session: str, epoch: int, record: ChunkRecord) -> int:
        place: int = await self._peer.call("commit", session, epoch, record)
        return place

    async def rewind(self, session: str, epoch: int, rewind: Rewind, controls: ControlState) -> SavedWorld:
        world: SavedWorld = await self._peer.call("rewind", session, epoch, rewind, controls)
        return world

    async def chunk(self, session: str, epoch: int, branch: int, chunk: int) -> CommittedChunk | None:
        found: CommittedChunk | None = await self._peer.call("chunk", session, epoch, branch, chunk)
        return found

    async def place_of_frame(self, session: str, frame_id: int) -> tuple[int, int, int]:
        place: tuple[int, int, int] = await self._peer.call("place_of_frame", session, frame_id)
        return place

    async def last_event_id(self, session: str) -> int:
        event_id: int = await self._peer.call("last_event_id", session)
        return event_id

    async def sessions(self) -> list[SessionRecord]:
        records: list[SessionRecord] = await self._peer.call("sessions")
        return records

    async def delete(self, session: str) -> None:
        await self._peer.call("delete", session)


class DirectoryClient:
    """See `Directory`."""

    def __init__(self, config: ClusterConfig) -> None:
        self._peer = Peer(DIRECTORY, namespace=config.name, patience_s=config.patience_s)

    async def create(self, start: SessionSpec | SessionCopy) -> SessionInfo:
        info: SessionInfo = await self._peer.call("create", start)
        return info

    async def authorize(self, session: str, token: str) -> None:
        await self._peer.call("authorize", session, token)

    async def describe(self, session: str) -> SessionInfo:
        info: SessionInfo = await self._peer.call("describe", session)
        return info

    async def end(self, session: str, error: WorldloomError | None = None) -> None:
        await self._peer.call("end", session, error)

    async def claim(self, session: str, group: str) -> int:
        epoch: int = await self._peer.call("claim", session, group)
        return epoch

    async def begin(self, session: str, epoch: int, place: Place) -> bool:
        is_suspect: bool = await self._peer.call("begin", session, epoch, place)
        return is_suspect

    async def passed(self, session: str, epoch: int) -> None:
        await self._peer.call("passed", session, epoch)

    async def beat(self, beat: GroupBeat) -> tuple[str, ...]:
        lost: tuple[str, ...] = await self._peer.call("beat", beat)
        return lost

    async def start_failed(self, error: WorldloomError) -> None:
        await self._peer.call("start_failed", error)

    async def health(self) -> ClusterHealth:
        health: ClusterHealth = await self._peer.call("health")
        return health

    async def attach(self, claim: Claim, gateway: str, connection: str) -> Admission:
        admission: Admission = await self._peer.call("attach", claim, gateway, connection)
        return admission

    async def detach(self, gateway: str, connection: str) -> None:
        await self._peer.call("detach", gateway, connection)

    async def home(self, session: str) -> str | None:
        home: str | None = await self._peer.call("home", session)
        return home

    async def gateway_started(self, gateway: str) -> None:
        await self._peer.call("gateway_started", gateway)

    async def gateway_beat(self, beat: GatewayBeat) -> tuple[str, ...]:
        moved: tuple[str, ...] = await self._peer.call("gateway_beat", beat)
        return moved
