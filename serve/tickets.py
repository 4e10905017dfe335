"""Signed credentials: tickets that a game hands to its players' browsers, and resume tokens for broken connections.

Both are JSON Web Tokens (RFC 7519), signed with HS256 by a secret that all gateways of a service share. That a ticket
works only once is the directory's to see to.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jwt

from ..cluster.attendance import MAX_TICKET_S, Claim, Role
from ..cluster.directory import hash_token
from ..errors import ConfigError, InputError, NotAuthorized
from .protocol.generated import session_pb2 as pb

TICKET_S = 60
"""How long a ticket is valid if nobody says."""
MAX_ORIGINS = 16
ALGORITHM = "HS256"
MIN_SECRET_BYTES = 32
TICKET, RESUME = "ticket", "resume"


def new_secret() -> str:
    """A secret for a service that was given none: it lives as long as the service."""
    return secrets.token_urlsafe(MIN_SECRET_BYTES)


def checked_secret(secret: str | None) -> str:
    """The secret, or a new one for None. Raises ConfigError when it is short enough to be guessed."""
    if secret is None:
        return new_secret()
    if len(secret.encode()) < MIN_SECRET_BYTES:
        raise ConfigError(
            f"the secret has {len(secret.encode())} bytes", hint=f"Give {MIN_SECRET_BYTES} or more random ones."
        )
    return secret


@dataclass(frozen=True, kw_only=True, slots=True)
class MintedTicket:
    """A ticket, and when it ends."""

    ticket: str
    expires_at_s: int
    """Since the Unix epoch."""


class Tickets:
    """Mints and reads credentials under one secret."""

    def __init__(self, secret: str, *, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock

    def mint(
        self,
        session: str,
        role: Role,
        *,
        valid_s: int = 0,
        origins: tuple[str, ...] = (),
        max_kbit_per_s: int = 0,
    ) -> MintedTicket:
        """A ticket that opens the session once, within `valid_s` seconds (0: a minute), from these web origins (none:
        from anywhere). Raises InputError."""
        if not 0 <= valid_s <= MAX_TICKET_S:
            raise InputError(f"valid_s is {valid_s}", hint=f"Give at most {MAX_TICKET_S} seconds; 0 means {TICKET_S}.")
        if len(origins) > MAX_ORIGINS:
            raise InputError(f"{len(origins)} origins", hint=f"Give at most {MAX_ORIGINS}.")
        now = self._clock()
        expires_at = int(now) + (valid_s or TICKET_S)
        content = {
            "kind": TICKET,
            "sub": session,
            "role": role.value,
            "jti": secrets.token_urlsafe(16),
            "issued": now,
            "exp": expires_at,
            "origins": list(origins),
            "kbit": max_kbit_per_s,
        }
        return MintedTicket(ticket=self._sign(content), expires_at_s=expires_at)

    def resume_token(self, claim: Claim, session: str, seat: str) -> str:
        """For the holder of this seat: it works as long as the session lives, and within the limits of the claim."""
        return self._sign(
            {
                "kind": RESUME,
                "sub": session,
                "role": claim.role.value,
                "seat": seat,
                "origins": list(claim.origins),
                "kbit": claim.max_kbit_per_s,
            }
        )

    def read(self, hello: pb.Hello) -> Claim:
        """What the Hello's credential says. Raises NotAuthorized when it is missing, forged or too old."""
        match hello.WhichOneof("credential"):
            case "token":
                return Claim(token_hash=hash_token(hello.token))
            case "ticket":
                content = self._verify(hello.ticket, TICKET)
                return self._claim(content, ticket=content["jti"], issued_at=content["issued"])
            case "resume_token":
                content = self._verify(hello.resume_token, RESUME)
                return self._claim(content, seat=content["seat"])
        raise NotAuthorized("Hello has no credential", hint="Set token, ticket or resume_token.")

    def _claim(self, content: dict[str, Any], **more: Any) -> Claim:
        return Claim(
            role=Role(content["role"]),
            session=content["sub"],
            origins=tuple(content["origins"]),
            max_kbit_per_s=content["kbit"],
            **more,
        )

    def _sign(self, content: dict[str, Any]) -> str:
        return jwt.encode(content, self._secret, algorithm=ALGORITHM)

    def _verify(self, token: str, kind: str) -> dict[str, Any]:
        try:
            content: dict[str, Any] = jwt.decode(
                token, self._secret, algorithms=[ALGORITHM], options={"verify_exp": False}
            )
        except jwt.InvalidTokenError as error:
            raise NotAuthorized(f"this {kind} was not made here", hint="Ask the game for a new ticket.") from error
        if content["kind"] != kind:
            raise NotAuthorized(f"this {content['kind']} is no {kind}", hint="Put it into its own field of Hello.")
        if "exp" in content and content["exp"] <= self._clock():
            raise NotAuthorized("this ticket has expired", hint="Ask the game for a new one.")
        return content


def check_origin(origin: str | None, *, claim: Claim, allowed: tuple[str, ...]) -> None:
    """Raises NotAuthorized where a page of this origin may not use the claim. `origin` is None where no browser tells
    one; `allowed` is the service's own list, empty for any."""
    if origin is not None and allowed and origin not in allowed:
        raise NotAuthorized(f"pages of {origin} may not connect", hint="The service's operator allows origins.")
    if claim.origins and origin not in claim.origins:
        raise NotAuthorized(f"this ticket is not for pages of {origin or 'no origin'}", hint="Mint one for them.")
