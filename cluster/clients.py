"""The named actors, as other processes call them: typed, idempotent, and patient while an actor restarts."""

from __future__ import annotations

from ..errors import WorldloomError
from ..memory.records import ChunkRecord
from ..model.clip import MemoryQuery, MemoryView
from .config import DIRECTORY, GATEWAY, STORE, ClusterConfig
from .messages import (
    BranchNote,
    ClusterHealth,
    CommittedChunk,
    GroupBeat,
    InputBatch,
    Progress,
    SavedWorld,
    SessionCopy,
    SessionInfo,
    SessionRecord,
    SessionSpec,
    SnapshotPlace,
    WorldPlace,
)
from .peer import Peer
from .video import RungWish, VideoPiece


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

    async def drop_old_snapshots(self, now: float) -> None:
        await self._peer.call("drop_old_snapshots", now)

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

    async def commit(self, session: str, epoch: int, record: ChunkRecord) -> None:
        await self._peer.call("commit", session, epoch, record)

    async def rewind(self, session: str, epoch: int, chunk: int, branch: int | None) -> SavedWorld:
        world: SavedWorld = await self._peer.call("rewind", session, epoch, chunk, branch)
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

    async def beat(self, beat: GroupBeat) -> tuple[str, ...]:
        lost: tuple[str, ...] = await self._peer.call("beat", beat)
        return lost

    async def start_failed(self, error: WorldloomError) -> None:
        await self._peer.call("start_failed", error)

    async def health(self) -> ClusterHealth:
        health: ClusterHealth = await self._peer.call("health")
        return health

    async def attach_player(self, token: str, gateway: str, connection: str) -> SessionInfo:
        info: SessionInfo = await self._peer.call("attach_player", token, gateway, connection)
        return info

    async def detach_player(self, session: str, connection: str) -> None:
        await self._peer.call("detach_player", session, connection)


class GatewayClient:
    """See `worldloom.serve.gateway.Gateway`, which these are calls of."""

    def __init__(self, config: ClusterConfig) -> None:
        self._peer = Peer(GATEWAY, namespace=config.name, patience_s=config.patience_s)

    async def collect(self, session: str, *, epoch: int, after_event: int, next_frame_id: int) -> InputBatch:
        batch: InputBatch = await self._peer.call("collect", session, epoch, after_event, next_frame_id)
        return batch

    async def wanted_video(self, session: str, epoch: int) -> tuple[RungWish, ...]:
        wishes: tuple[RungWish, ...] = await self._peer.call("wanted_video", session, epoch)
        return wishes

    async def push(self, session: str, pieces: tuple[VideoPiece, ...]) -> None:
        await self._peer.call("push", session, pieces)

    async def report(self, session: str, progress: Progress) -> None:
        await self._peer.call("report", session, progress)

    async def branched(self, session: str, note: BranchNote) -> None:
        await self._peer.call("branched", session, note)

    async def refuse(self, session: str, event_id: int, error: WorldloomError) -> None:
        await self._peer.call("refuse", session, event_id, error)

    def tell_progress(self, session: str, progress: Progress) -> None:
        """As `report`, from a process without an event loop, and without waiting for it to arrive."""
        self._peer.tell("report", session, progress)

    async def next_frame_id(self, session: str) -> int | None:
        frame_id: int | None = await self._peer.call("next_frame_id", session)
        return frame_id

    async def end_session(self, session: str, error: WorldloomError | None) -> None:
        await self._peer.call("end_session", session, error)
