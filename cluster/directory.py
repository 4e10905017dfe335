"""The session directory: which worker group owns a session, under which epoch, and whether a player is there."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RequestCancelledError

from ..errors import NotAuthorized, Overloaded, PlayerTaken, ServiceError, SessionUnknown, WorldloomError
from .clients import GatewayClient, StoreClient
from .config import ClusterConfig
from .messages import ClusterHealth, GroupBeat, Phase, Progress, SessionInfo, SessionRecord, SessionSpec

log = logging.getLogger(__name__)

PLACE_AGAIN_S = 0.25


def hash_token(token: str) -> str:
    """What is kept of a player's token."""
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(slots=True, eq=False)
class _Entry:
    record: SessionRecord
    phase: Phase = Phase.QUEUED
    group: str | None = None
    epoch: int = 0
    lease_until: float = 0.0
    player: tuple[str, str] | None = None
    """(gateway, connection)."""
    placing: asyncio.Task[None] | None = None
    """Runs as long as a worker group plays the session."""


class Directory:
    """A Ray actor. It restarts from the store's records; groups that still own sessions then tell so by their beats.

    A session is placed by one long call through Serve's router, `WorkerGroup.play`: the router picks a group that has
    room, and the call ends with an error as soon as the group dies.
    """

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._store = StoreClient(config)
        self._gateway = GatewayClient(config)
        self._entries: dict[str, _Entry] = {}
        self._groups: dict[str, tuple[GroupBeat, float]] = {}
        self._restored = asyncio.ensure_future(self._restore())
        self._watch = asyncio.ensure_future(self._watch_leases())
        self._background: set[asyncio.Task[None]] = set()

    async def create(self, spec: SessionSpec) -> SessionInfo:
        """Open a world and place it. Raises Overloaded when no group has room."""
        await self._restored
        if spec.session not in self._entries:
            await self._open(spec)
        return self._info(self._entries[spec.session])

    async def describe(self, session: str) -> SessionInfo:
        """Raises SessionUnknown."""
        await self._restored
        return self._info(self._entry(session))

    async def end(self, session: str, error: WorldloomError | None) -> None:
        """Delete a session and its world, and tell the player, with the error if there is one."""
        await self._restored
        entry = self._entries.pop(session, None)
        if entry is None:
            return
        if entry.placing is not None:
            entry.placing.cancel()
        self._in_background(self._gateway.end_session(session, error))
        await self._store.delete(session)

    async def claim(self, session: str, group: str) -> int:
        """Make the group the session's owner: returns the new epoch. From now on older owners can commit nothing."""
        await self._restored
        entry = self._entry(session)
        entry.epoch = await self._store.take_over(session)
        entry.group, entry.phase = group, Phase.PLAYING
        entry.lease_until = time.monotonic() + self._config.lease_s
        return entry.epoch

    async def beat(self, beat: GroupBeat) -> tuple[str, ...]:
        """Renew a group's leases. Returns the sessions that it does not own any more."""
        await self._restored
        now = time.monotonic()
        self._groups[beat.group] = (beat, now)
        lost = []
        for session, epoch in beat.epochs.items():
            entry = self._entries.get(session)
            if entry is None or epoch < entry.epoch:
                lost.append(session)
            else:
                entry.group, entry.phase, entry.lease_until = beat.group, Phase.PLAYING, now + self._config.lease_s
        return tuple(lost)

    async def health(self) -> ClusterHealth:
        """Groups that have shown themselves lately, and what they hold."""
        await self._restored
        alive = self._alive()
        return ClusterHealth(
            groups=len(alive), capacity=sum(beat.capacity for beat in alive), sessions=len(self._entries)
        )

    async def attach_player(self, token: str, gateway: str, connection: str) -> SessionInfo:
        """Admit a player to the session of this token. Raises NotAuthorized, PlayerTaken."""
        await self._restored
        token_hash = hash_token(token)
        entry = next((entry for entry in self._entries.values() if entry.record.token_hash == token_hash), None)
        if entry is None:
            raise NotAuthorized("this token opens no session", hint="Take the token of a new POST /v1/sessions.")
        # A player of another gateway's life is gone with it.
        if entry.player is not None and entry.player[0] == gateway and entry.player[1] != connection:
            raise PlayerTaken("this session has a player", hint="Close the other page or client first.")
        entry.player = (gateway, connection)
        return self._info(entry)

    async def detach_player(self, session: str, connection: str) -> None:
        """The player of this connection has left."""
        await self._restored
        entry = self._entries.get(session)
        if entry is not None and entry.player is not None and entry.player[1] == connection:
            entry.player = None

    async def _restore(self) -> None:
        now = time.monotonic()
        for record in await self._store.records():
            entry = _Entry(record=record, phase=Phase.RECOVERING, epoch=record.epoch)
            entry.lease_until = now + self._config.lease_s
            self._entries[record.session] = entry

    async def _open(self, spec: SessionSpec) -> None:
        health = await self.health()
        if health.groups == 0:
            raise Overloaded("the model is still warming up", hint="Try again when /healthz says ready.")
        if health.sessions >= health.capacity:
            raise Overloaded(f"all {health.capacity} places are taken", hint="Try again later.")
        entry = self._entries[spec.session] = _Entry(record=spec.record)
        try:
            await self._store.open(spec)
            await self._place_first(entry)
        except WorldloomError:
            await self.end(spec.session, None)
            raise

    async def _place_first(self, entry: _Entry) -> None:
        """Returns once a group has claimed the session; raises what the first try to place it raised."""
        entry.placing = asyncio.ensure_future(self._play_once(entry))
        while entry.epoch == 0:
            done, _ = await asyncio.wait({entry.placing}, timeout=0.01)
            if done:
                entry.placing.result()
        entry.placing = asyncio.ensure_future(self._keep_placed(entry, entry.placing))

    async def _play_once(self, entry: _Entry) -> None:
        groups = serve.get_app_handle(self._config.groups_app)
        response: Any = groups.play.remote(entry.record.session)
        try:
            await response
        except asyncio.CancelledError:
            response.cancel()
            raise

    async def _keep_placed(self, entry: _Entry, current: asyncio.Task[None] | None) -> None:
        """Place the session again whenever its group has lost it, until it ends."""
        while True:
            try:
                await (current or self._play_once(entry))
                log.info("group %s has let session %s go", entry.group, entry.record.session)
            except (RayError, RequestCancelledError, ServiceError) as error:
                log.warning("session %s needs another group: %s", entry.record.session, _first_line(error))
            current = None
            entry.phase, entry.group = Phase.RECOVERING, None
            self._in_background(self._gateway.report(entry.record.session, Progress(phase=Phase.RECOVERING)))
            await asyncio.sleep(PLACE_AGAIN_S)

    async def _watch_leases(self) -> None:
        """Place sessions again whose group neither answers nor fails, or that nobody has claimed after a restart."""
        await self._restored
        while True:
            await asyncio.sleep(self._config.beat_s)
            now = time.monotonic()
            for entry in self._entries.values():
                is_placed = entry.epoch > 0 and entry.phase is Phase.PLAYING
                is_orphan = entry.phase is Phase.RECOVERING and entry.placing is None
                if (is_placed or is_orphan) and entry.lease_until < now:
                    if entry.placing is not None:
                        entry.placing.cancel()
                    entry.phase = Phase.RECOVERING
                    entry.placing = asyncio.ensure_future(self._keep_placed(entry, None))

    def _alive(self) -> list[GroupBeat]:
        oldest = time.monotonic() - self._config.lease_s
        return [beat for beat, seen in self._groups.values() if seen >= oldest]

    def _entry(self, session: str) -> _Entry:
        if session not in self._entries:
            raise SessionUnknown(f"there is no session {session!r}", hint="It may have ended; create a new one.")
        return self._entries[session]

    def _info(self, entry: _Entry) -> SessionInfo:
        record = entry.record
        return SessionInfo(
            session=record.session,
            preset=record.preset,
            prompt=record.prompt,
            seed=record.seed,
            viewpoint=record.viewpoint,
            phase=entry.phase,
            group=entry.group,
            epoch=entry.epoch,
            has_player=entry.player is not None,
        )

    def _in_background(self, job: Coroutine[Any, Any, None]) -> None:
        """Run without waiting; the set keeps the task from being collected."""
        task = asyncio.ensure_future(job)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
