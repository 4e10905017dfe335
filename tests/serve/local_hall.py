"""A gateway's servers without Ray: a hall whose neighbours are the test's."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import replace
from typing import Any

from worldloom.cluster.attendance import Admission, Claim, UsedTickets
from worldloom.cluster.directory import hash_token
from worldloom.cluster.limits import SERVICE_LIMITS, SessionLimits
from worldloom.cluster.messages import ClusterHealth, SessionInfo, SnapshotPlace
from worldloom.cluster.verbs import CreatedSession, FromSnapshot, NewWorld
from worldloom.errors import NotAuthorized, SessionUnknown
from worldloom.model.preset import load_preset
from worldloom.serve.channel import Guest
from worldloom.serve.hall import Hall, HallConfig
from worldloom.serve.seat import Seat
from worldloom.serve.tickets import Tickets, new_secret

from .channel_scene import session_info

PRESET = load_preset("mock")
TOKEN = "the token"


class Neighbours:
    """One session, whose token is TOKEN; its home is here, or another hall."""

    def __init__(self) -> None:
        self.info: SessionInfo = session_info()
        self.used = UsedTickets()
        self.present: set[str] = set()
        self.home = "here"
        self.elsewhere: Hall | None = None

    async def admit(self, claim: Claim, connection: str) -> Admission:
        if claim.session != self.info.session and claim.token_hash != hash_token(TOKEN):
            raise NotAuthorized("this token opens no session")
        if claim.ticket:
            self.used.use(claim.ticket, claim.issued_at)
        self.present.add(connection)
        return Admission(info=self.info, home=self.home)

    async def left(self, connection: str) -> None:
        self.present.discard(connection)

    async def sit_elsewhere(self, home: str, info: SessionInfo, guest: Guest, claim: Claim) -> Seat:
        assert self.elsewhere is not None and home == self.home
        return self.elsewhere.sit(info, guest, claim)


class LocalHall:
    """A hall, and what it needs."""

    def __init__(self, **config: Any) -> None:
        self.neighbours = Neighbours()
        self.tickets = Tickets(new_secret())
        self.hall = Hall(
            HallConfig(name="here", **config), preset=PRESET, tickets=self.tickets, neighbours=self.neighbours
        )


class FakeSessions:
    """The verbs, on one session whose token is TOKEN; it remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.info: SessionInfo | None = None
        self.failure: Exception | None = None

    async def create(self, start: NewWorld | FromSnapshot) -> CreatedSession:
        if self.failure is not None:
            raise self.failure
        self.asked.append(start)
        self.info = session_info()
        return CreatedSession(info=self.info, token=TOKEN)

    async def authorize(self, session: str, token: str) -> None:
        if token != TOKEN:
            raise NotAuthorized("this token does not own the session")

    async def describe(self, session: str) -> SessionInfo:
        if self.info is None or session != self.info.session:
            raise SessionUnknown(f"there is no session {session!r}")
        return self.info

    async def close(self, session: str) -> None:
        await self.describe(session)
        self.info = None

    async def take_snapshot(
        self, session: str, *, branch: int | None = None, chunk: int | None = None
    ) -> SnapshotPlace:
        self.asked.append((branch, chunk))
        return SnapshotPlace(snapshot="shot", branch=branch or 0, chunk=4 if chunk is None else chunk)

    async def drop_snapshot(self, snapshot: str) -> None:
        self.asked.append(snapshot)

    async def fork(
        self,
        session: str,
        *,
        branch: int | None = None,
        chunk: int | None = None,
        limits: SessionLimits = SERVICE_LIMITS,
    ) -> CreatedSession:
        self.asked.append((branch, chunk, limits))
        return CreatedSession(info=replace(await self.describe(session), session="fork"), token="another")

    async def export_world(self, session: str) -> AsyncIterator[bytes]:
        await self.describe(session)
        for part in (b"one", b"two"):
            yield part

    async def import_world(
        self, parts: AsyncIterable[bytes], *, limits: SessionLimits = SERVICE_LIMITS
    ) -> CreatedSession:
        self.asked.append(b"".join([part async for part in parts]))
        return CreatedSession(info=session_info(), token=TOKEN)

    async def health(self) -> ClusterHealth:
        return ClusterHealth(groups=1, capacity=1, sessions=0)
