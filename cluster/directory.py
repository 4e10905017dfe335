"""The session directory: which worker group owns a session, under which epoch, and whether a player is there."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import time
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..errors import (
    ChunkFailed,
    NotAuthorized,
    Overloaded,
    SessionEnded,
    SessionUnknown,
    StaleEpoch,
    WorkerLost,
    WorldloomError,
    WorldLost,
)
from .attendance import Admission, Attendance, Claim, GatewayBeat, Role, UsedTickets
from .clients import StoreClient
from .config import ClusterConfig
from .gateways import Gateways
from .line import Line
from .losses import MAX_LOSSES, Losses, Place
from .messages import ClusterHealth, GroupBeat, Phase, Progress, SessionCopy, SessionInfo, SessionRecord, SessionSpec
from .placement import Placement, play_on_some_group

log = logging.getLogger(__name__)

HOME_POLL_S = 1.0
"""Who waits for a session's gateway hears at least this often that there is none."""
GATEWAY_BEATS = 3
"""After so many, each gateway that lives has told of itself."""
MAX_ENDED = 256
BETWEEN_GROUPS = (Phase.RECOVERING, Phase.WARMING_UP)


def hash_token(token: str) -> str:
    """What is kept of a player's token."""
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass(slots=True, eq=False)
class _Entry:
    record: SessionRecord
    placement: Placement
    phase: Phase
    epoch: int
    deadline: float
    """The owner's lease ends here."""
    idle_since: float
    group: str | None = None
    queue_position: int = 0
    failure: ChunkFailed | None = None
    """Why nobody can play the session any more. Its world is kept for a while."""


class Directory:
    """A Ray actor. It restarts from the store's records; groups that still own sessions tell so by their beats."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._store = StoreClient(config)
        self._gateways = Gateways(config)
        self._attendance = Attendance(lease_s=config.lease_s)
        self._tickets = UsedTickets()
        self._home_found = asyncio.Event()
        self._ended: dict[str, WorldloomError | None] = {}
        """The last sessions that ended, and why: their gateways may not have heard of it."""
        self._entries: dict[str, _Entry] = {}
        self._line = Line()
        """Sessions that have lost their group and find no other with room."""
        self._losses = Losses()
        self._groups: dict[str, tuple[GroupBeat, float]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._failure: WorldloomError | None = None
        self._started_at = time.monotonic()
        self._restored = asyncio.ensure_future(self._restore())
        self._watch = asyncio.ensure_future(self._watch_over())

    async def create(self, start: SessionSpec | SessionCopy) -> SessionInfo:
        """Open a world and place it. Raises Overloaded when no group has room, and what the store does."""
        await self._restored
        if start.session not in self._entries:
            await self._open(start)
        return self._info(self._entry(start.session))

    async def authorize(self, session: str, token: str) -> None:
        """Raises NotAuthorized unless the token is the session's own, SessionUnknown."""
        await self._restored
        entry = self._entry(session)
        if not hmac.compare_digest(entry.record.token_hash, hash_token(token)):
            raise NotAuthorized("this token does not own the session", hint="Send the token of the session's creation.")

    async def describe(self, session: str) -> SessionInfo:
        """Raises SessionUnknown."""
        await self._restored
        return self._info(self._entry(session))

    async def end(self, session: str, error: WorldloomError | None) -> None:
        """Delete a session and its world, and tell the player, with the error if there is one."""
        await self._restored
        entry = self._entries.pop(session, None)
        if entry is not None:
            entry.placement.stop()
            self._line.leave(session)
            self._losses.forget(session)
            self._note_end(session, error)
            await self._store.delete(session)

    async def claim(self, session: str, group: str) -> int:
        """Make the group the session's owner: returns the new epoch. From now on older owners can commit nothing."""
        await self._restored
        entry = self._playable(session)
        try:
            entry.epoch = await self._store.take_over(session)
        except SessionUnknown:
            self._fail(session, WorldLost("the store has lost this world", hint="Create a new session."))
            raise
        entry.group, entry.phase, entry.queue_position = group, Phase.PLAYING, 0
        entry.deadline = time.monotonic() + self._config.lease_s
        entry.placement.claimed()
        self._losses.let_go(session)
        self._line.leave(session)
        return entry.epoch

    async def begin(self, session: str, epoch: int, place: Place) -> bool:
        """The session's owner is about to make its first chunk; see `Losses.begin`. Raises StaleEpoch to another one,
        SessionEnded, SessionUnknown."""
        await self._restored
        entry = self._playable(session)
        is_suspect = await self._losses.begin(session, place, is_owner=lambda: self._is_owner(session, epoch))
        if not self._is_owner(session, epoch):
            raise StaleEpoch(f"epoch {epoch} of session {session} has been replaced by {entry.epoch}")
        return is_suspect

    async def passed(self, session: str, epoch: int) -> None:
        """The session's owner has made its first chunk."""
        await self._restored
        if self._is_owner(session, epoch):
            self._losses.passed(session)

    async def beat(self, beat: GroupBeat) -> tuple[str, ...]:
        """Renew a group's leases. Returns the sessions that it does not own any more."""
        await self._restored
        now = time.monotonic()
        self._groups[beat.group] = (beat, now)
        if not beat.is_warm:
            self._tell_warming()
        lost = []
        for session, epoch in beat.epochs.items():
            entry = self._entries.get(session)
            if entry is None or entry.failure is not None or epoch < entry.epoch:
                lost.append(session)
            else:
                entry.group, entry.phase, entry.deadline = beat.group, Phase.PLAYING, now + self._config.lease_s
        return tuple(lost)

    async def health(self) -> ClusterHealth:
        """Groups that have shown themselves lately, and what they hold."""
        await self._restored
        alive = self._alive()
        return ClusterHealth(
            groups=len(alive),
            capacity=sum(beat.capacity for beat in alive),
            sessions=sum(entry.failure is None for entry in self._entries.values()),
            failure=self._failure,
        )

    async def start_failed(self, error: WorldloomError) -> None:
        """A group or a decoder could not start."""
        self._failure = error

    async def attach(self, claim: Claim, gateway: str, connection: str) -> Admission:
        """Let a connection at a gateway into the session that its credential names.

        Raises NotAuthorized when there is none or its ticket has been used, Overloaded when too many watch, ChunkFailed
        where nobody can play any more.
        """
        await self._restored
        entry = self._claimed(claim)
        if entry.failure is not None:
            raise entry.failure
        session, attendance = entry.record.session, self._attendance
        if claim.role is Role.VIEWER and not claim.seat and attendance.viewers(session) >= entry.record.limits.viewers:
            raise Overloaded(f"{attendance.viewers(session)} watch this session already", hint="Come back later.")
        if claim.ticket:
            self._tickets.use(claim.ticket, claim.issued_at)
        await self._gateways_known()
        place = await self._store.place(session)
        home = attendance.enter(session, gateway, connection, claim.role)
        self._home_found.set()
        info = replace(
            self._info(entry),
            prompt=place.prompt,
            branch=place.branch,
            chunk=place.chunk,
            next_frame_id=place.next_frame_id,
            last_event_id=place.last_event_id,
        )
        return Admission(info=info, home=home)

    async def detach(self, gateway: str, connection: str) -> None:
        """The connection has ended."""
        self._attendance.leave(gateway, connection)

    async def home(self, session: str) -> str | None:
        """The session's home gateway; None if nobody has come to it for a while. Raises SessionUnknown,
        SessionEnded."""
        await self._restored
        self._playable(session)
        if (home := self._attendance.home(session)) is None:
            self._home_found.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HOME_POLL_S):
                    await self._home_found.wait()
            home = self._attendance.home(session)
        return home

    async def gateway_started(self, gateway: str) -> None:
        """A gateway begins its life."""
        self._attendance.started(gateway)

    async def gateway_beat(self, beat: GatewayBeat) -> tuple[str, ...]:
        """Keep what a gateway says of itself. Returns those of its sessions whose home is another one by now."""
        await self._restored
        moved = self._attendance.beat(beat)
        self._home_found.set()
        for session in beat.homes:
            entry = self._entries.get(session)
            if entry is None or entry.failure is not None:
                # Ended, or forgotten by directory and store together: who plays it must hear of it.
                self._attendance.forget(session)
                error = self._ended.get(session, WorldLost("nobody knows this world any more"))
                self._in_background(self._tell(beat.gateway, "end_session", session, error))
        return moved

    def _claimed(self, claim: Claim) -> _Entry:
        if claim.session:
            return self._entry(claim.session)
        for entry in self._entries.values():
            if hmac.compare_digest(entry.record.token_hash, claim.token_hash):
                return entry
        raise NotAuthorized("this token opens no session", hint="Take the token of a new POST /v1/sessions.")

    async def _gateways_known(self) -> None:
        """A directory that has just started waits for the gateways to tell it who is where."""
        await asyncio.sleep(self._started_at + GATEWAY_BEATS * self._config.beat_s - time.monotonic())

    async def _tell(self, gateway: str | None, method: str, *args: Any) -> None:
        """Tell a gateway; one that is gone, or None, need not hear it."""
        if gateway is not None:
            with contextlib.suppress(WorkerLost):
                await self._gateways[gateway].call(method, *args)

    async def _restore(self) -> None:
        for record in await self._store.sessions():
            self._entries[record.session] = self._new_entry(record, Phase.RECOVERING)

    def _new_entry(self, record: SessionRecord, phase: Phase) -> _Entry:
        now = time.monotonic()
        return _Entry(
            record=record,
            placement=Placement(
                record.session,
                partial(play_on_some_group, self._config.groups_app),
                queue_s=self._config.queue_s,
                on_lost=self._lose,
                on_full=self._queue,
                on_failed=self._fail,
            ),
            phase=phase,
            epoch=record.epoch,
            deadline=now + self._config.lease_s,
            idle_since=now,
        )

    async def _open(self, start: SessionSpec | SessionCopy) -> None:
        health = await self._settled_health()
        if health.groups == 0:
            raise Overloaded("the model is still warming up", hint="Try again when /healthz says ready.")
        if health.sessions >= health.capacity:
            raise Overloaded(f"all {health.capacity} places are taken", hint="Try again later.")
        entry = self._entries[start.session] = self._new_entry(start.record(), Phase.QUEUED)
        is_placed = False
        try:
            entry.record = await self._store.create(start)
            await entry.placement.start()
            is_placed = True
        finally:
            if not is_placed:
                self._in_background(self.end(start.session, None))

    async def _settled_health(self) -> ClusterHealth:
        """A directory that has just started waits for the groups to tell it that they are there."""
        while not self._alive() and time.monotonic() < self._started_at + self._config.lease_s:
            await asyncio.sleep(0.05)
        return await self.health()

    def _lose(self, session: str, has_died: bool) -> bool:
        """A session is between two groups. False: there will be no other, for it is what they die of."""
        entry = self._entries[session]
        if not has_died:
            self._losses.let_go(session)
        elif (place := self._losses.lost(session)) is not None:
            self._give_up(entry, place)
            return False
        entry.phase, entry.group, entry.queue_position = Phase.RECOVERING, None, 0
        entry.deadline = time.monotonic() + self._config.lease_s
        self._report(session, Progress(phase=Phase.RECOVERING))
        return True

    def _give_up(self, entry: _Entry, place: Place) -> None:
        """End a session that nobody can play, and keep its world for as long as one that nobody plays."""
        session, (branch, chunk) = entry.record.session, place
        entry.failure = ChunkFailed(
            f"chunk {chunk} of branch {branch} has ended the worker group that made it {MAX_LOSSES} times",
            hint=f"For {entry.record.limits.idle_s:g} s the owner can export the world or fork it at an earlier chunk.",
        )
        log.error("session %s: %s", session, entry.failure.message)
        entry.phase, entry.group, entry.idle_since = Phase.ENDED, None, time.monotonic()
        self._losses.forget(session)
        self._line.leave(session)
        self._note_end(session, entry.failure)

    def _tell_warming(self) -> None:
        """What sessions without a group wait for is one that warms up."""
        for session, entry in self._entries.items():
            if entry.phase is Phase.RECOVERING:
                entry.phase = Phase.WARMING_UP
                self._report(session, Progress(phase=Phase.WARMING_UP))

    def _queue(self, session: str) -> int:
        """A session finds no group that has room. Returns its place among those."""
        entry = self._entries[session]
        entry.phase, entry.group = Phase.QUEUED, None
        place = self._line.ask(session)
        if place != entry.queue_position:
            entry.queue_position = place
            self._report(session, Progress(phase=Phase.QUEUED, queue_position=place))
        return place

    def _report(self, session: str, progress: Progress) -> None:
        self._in_background(self._tell(self._attendance.home(session), "report", session, progress))

    def _fail(self, session: str, error: WorldloomError) -> None:
        """A session is beyond help."""
        self._in_background(self.end(session, error))

    async def _watch_over(self) -> None:
        """Place sessions again whose group neither answers nor fails, or that nobody has claimed after a restart; end
        those that nobody plays."""
        await self._restored
        while True:
            await asyncio.sleep(self._config.beat_s)
            now = time.monotonic()
            for session, entry in list(self._entries.items()):
                is_orphan = entry.phase in BETWEEN_GROUPS and not entry.placement.is_running
                if entry.deadline < now and (is_orphan or entry.phase is Phase.PLAYING):
                    log.warning("session %s: the lease of group %s has ended", session, entry.group)
                    entry.placement.restart()
                if self._attendance.has_player(session):
                    entry.idle_since = now
                elif entry.idle_since + entry.record.limits.idle_s < now:
                    self._fail(session, SessionEnded(f"nobody has played for {entry.record.limits.idle_s:g} s"))

    def _note_end(self, session: str, error: WorldloomError | None) -> None:
        """Tell those who play and watch."""
        self._ended[session] = error
        if len(self._ended) > MAX_ENDED:
            del self._ended[next(iter(self._ended))]
        self._in_background(self._tell(self._attendance.home(session), "end_session", session, error))
        self._attendance.forget(session)

    def _is_owner(self, session: str, epoch: int) -> bool:
        entry = self._entries.get(session)
        return entry is not None and entry.failure is None and entry.epoch == epoch

    def _playable(self, session: str) -> _Entry:
        entry = self._entry(session)
        if entry.failure is not None:
            raise SessionEnded(entry.failure.message)
        return entry

    def _alive(self) -> list[GroupBeat]:
        oldest = time.monotonic() - self._config.lease_s
        return [beat for beat, seen in self._groups.values() if seen >= oldest and beat.is_warm]

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
            has_player=self._attendance.has_player(entry.record.session),
            viewers=self._attendance.viewers(entry.record.session),
            created_at=record.created_at,
            limits=record.limits,
        )

    def _in_background(self, job: Coroutine[Any, Any, None]) -> None:
        """Run without waiting; the set keeps the task from being collected."""
        task = asyncio.ensure_future(job)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
