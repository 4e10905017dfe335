"""ASGI middleware that refuses large request bodies before they are in memory."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..errors import RequestTooLarge
from .http_errors import error_response


class BodyLimit:
    """By the length that the client announces, and by what really comes."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, larger: Mapping[str, int] | None = None) -> None:
        """`larger` has the limits of single paths."""
        self._app = app
        self._max_bytes = max_bytes
        self._larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope["path"])
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdecimal() and int(announced) > limit:
            await error_response(_too_large(int(announced), limit))(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _too_large(received, limit)
            return message

        await self._app(scope, counted, send)

    def _limit(self, path: str) -> int:
        # Below a route prefix, paths begin with it.
        return next((limit for end, limit in self._larger.items() if path.endswith(end)), self._max_bytes)


def _too_large(size: int, limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"the request has at least {size} bytes", hint=f"Send at most {limit} bytes.")
