"""Who may create worlds: everybody, or whoever has the operator's key."""

from __future__ import annotations

import hmac

from ..errors import NotAuthorized

BEARER = "bearer"


def bearer_token(authorization: str | None) -> str:
    """The token of an `authorization: Bearer …` header or metadata; empty without one."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() if scheme.lower() == BEARER else ""


def check_operator(key: str, given: str) -> None:
    """Raises NotAuthorized unless the key is the operator's. An empty `key` lets everybody in."""
    if key and not hmac.compare_digest(key.encode(), given.encode()):
        raise NotAuthorized("only the operator creates worlds here", hint="Send its key: 'Authorization: Bearer …'.")
