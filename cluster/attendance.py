"""Who plays and watches which session, and which gateway is each session's home. Values and state, without Ray.

A session's home is the gateway where its inputs wait and from where its frames are fanned out. The first gateway that
somebody comes to becomes it, and stays it while it lives. All is told again by the gateways' beats: a directory that
restarts learns it from them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from ..errors import NotAuthorized
from .messages import SessionInfo

MAX_TICKET_S = 3600
"""No ticket is valid for longer, so none has to be remembered for longer."""


class Role(Enum):
    """What a connection may do."""

    PLAYER = "player"
    VIEWER = "viewer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """What a connection's credential says, once its signature has been checked."""

    role: Role = Role.PLAYER
    session: str = ""
    """Empty: the session of the token."""
    token_hash: str = ""
    """Of the session's own token; empty where the credential is another one."""
    ticket: str = ""
    """Id of a ticket, which works once."""
    issued_at: float = 0.0
    """Of the ticket, in seconds since the Unix epoch."""
    seat: str = ""
    """Of a resume token: the place that its connection had. Else empty."""
    origins: tuple[str, ...] = ()
    """Web origins that may use it; empty: any."""
    max_kbit_per_s: int = 0
    """0: no limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Admission:
    """A session that a connection may enter, and where."""

    info: SessionInfo
    home: str
    """Name of the gateway."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayBeat:
    """A gateway's sign of life, with all that the directory has to know of it."""

    gateway: str
    homes: tuple[str, ...]
    """Sessions whose home it is."""
    guests: dict[str, tuple[str, Role]]
    """Connection → (session, role), of the connections that it serves."""


@dataclass(slots=True, eq=False)
class _Gateway:
    seen_at: float
    guests: dict[str, tuple[str, Role]] = field(default_factory=dict)
    entered: dict[str, float] = field(default_factory=dict)
    """Connection → when it came, of guests that no beat has told of yet."""
    left: dict[str, float] = field(default_factory=dict)
    """Connection → when it went."""

    def hear(self, told: dict[str, tuple[str, Role]], *, now: float, since: float) -> None:
        """Take in the guests that a beat tells of. It was written while others came and went: what has been heard of
        them from `since` on counts more."""
        self.left = {connection: at for connection, at in self.left.items() if at >= since}
        self.entered = {
            connection: at for connection, at in self.entered.items() if at >= since and connection not in told
        }
        new = {connection: self.guests[connection] for connection in self.entered if connection in self.guests}
        self.guests = new | {connection: guest for connection, guest in told.items() if connection not in self.left}
        self.seen_at = now


class Attendance:
    """What the directory knows of gateways. Times are seconds of `clock`.

    Who comes or goes is told at once, by `enter` and `leave`; beats tell again of all who are there. A beat may be on
    its way while somebody comes, who is not in it, or goes, who still is: for a lease, `enter` and `leave` win.
    """

    def __init__(self, *, lease_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """A gateway that has been silent for `lease_s` is gone, with all its guests."""
        self._lease_s = lease_s
        self._clock = clock
        self._gateways: dict[str, _Gateway] = {}
        self._homes: dict[str, str] = {}

    def enter(self, session: str, gateway: str, connection: str, role: Role) -> str:
        """Somebody has come to the session at this gateway. Returns the session's home."""
        now = self._clock()
        known = self._gateways.setdefault(gateway, _Gateway(now))
        known.seen_at = known.entered[connection] = now
        known.guests[connection] = (session, role)
        home = self.home(session)
        if home is None:
            home = self._homes[session] = gateway
        return home

    def leave(self, gateway: str, connection: str) -> None:
        """The connection has ended."""
        if gateway in self._gateways:
            known = self._gateways[gateway]
            known.guests.pop(connection, None)
            known.entered.pop(connection, None)
            known.left[connection] = self._clock()

    def started(self, gateway: str) -> None:
        """A gateway begins its life: it knows nothing of an earlier one."""
        self._gateways[gateway] = _Gateway(self._clock())
        for session in [session for session, home in self._homes.items() if home == gateway]:
            del self._homes[session]

    def beat(self, beat: GatewayBeat) -> tuple[str, ...]:
        """A gateway lives. Returns those of its sessions whose home is another gateway by now."""
        now = self._clock()
        known = self._gateways.setdefault(beat.gateway, _Gateway(now))
        known.hear(beat.guests, now=now, since=now - self._lease_s)
        return tuple(session for session in beat.homes if self._homes.setdefault(session, beat.gateway) != beat.gateway)

    def home(self, session: str) -> str | None:
        """The session's home, while that gateway lives."""
        home = self._homes.get(session)
        return home if home in self._alive() else None

    def forget(self, session: str) -> None:
        """The session has ended."""
        self._homes.pop(session, None)
        for gateway in self._gateways.values():
            gateway.guests = {key: guest for key, guest in gateway.guests.items() if guest[0] != session}

    def has_player(self, session: str) -> bool:
        """Whether somebody plays."""
        return self._count(session, Role.PLAYER) > 0

    def viewers(self, session: str) -> int:
        """How many watch."""
        return self._count(session, Role.VIEWER)

    def _count(self, session: str, role: Role) -> int:
        guests = (guest for gateway in self._alive().values() for guest in gateway.guests.values())
        return sum(guest == (session, role) for guest in guests)

    def _alive(self) -> dict[str, _Gateway]:
        oldest = self._clock() - self._lease_s
        return {name: gateway for name, gateway in self._gateways.items() if gateway.seen_at >= oldest}


class UsedTickets:
    """Tickets work once. Times are seconds since the Unix epoch."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._since = clock()
        self._used: dict[str, float] = {}

    def use(self, ticket: str, issued_at: float) -> None:
        """Raises NotAuthorized unless this is the ticket's first use, as far as can be known: those from before the
        directory's life may have been used."""
        now = self._clock()
        self._used = {name: at for name, at in self._used.items() if at > now - MAX_TICKET_S}
        if ticket in self._used or issued_at < self._since:
            raise NotAuthorized("this ticket has been used, or is too old", hint="Ask the game for a new one.")
        self._used[ticket] = now
