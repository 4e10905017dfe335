"""The service's HTTP side: sessions are opened, looked up and ended there."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any, Self, TypedDict, Unpack
from urllib.parse import quote

import httpx

from ...errors import ServiceError, SessionError, WorldloomError
from .remote_errors import error_from

TIMEOUT_S = 60.0
"""Long enough for a service that is still loading its weights."""


class StartRequest(TypedDict, total=False):
    """What a world starts from. What is left out or None is up to the service."""

    sample: str | None
    """Name of one of the service's start images."""
    image: bytes | None
    """An image file, instead of a sample."""
    prompt: str | None
    """Left out: the sample's own."""
    seed: int | None
    preset: str | None
    viewpoint: str | None
    """'first_person' or 'third_person'."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ticket:
    """A session that has been opened. Its token is the right to play it."""

    session_id: str
    token: str
    stream_url: str
    preset: str
    width: int
    height: int
    frame_rate: float
    trained: bool
    """False: the weights are seeded noise."""


class ServiceClient:
    """Talks HTTP with one service. Everything raises what the service reports, or ServiceError if it is not there."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            self._http = httpx.AsyncClient(base_url=self.url, timeout=TIMEOUT_S, trust_env=not is_loopback(self.url))
        except httpx.InvalidURL as error:
            raise unreachable(self.url, error) from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def open_session(self, **start: Unpack[StartRequest]) -> Ticket:
        """POST /v1/sessions."""
        image = start.pop("image", None)
        given = {name: value for name, value in start.items() if value is not None}
        if image is None:
            body = await self._call("POST", "/v1/sessions", json=given)
        else:
            texts = {name: str(value) for name, value in given.items()}
            body = await self._call("POST", "/v1/sessions", data=texts, files={"image": ("image", image)})
        return Ticket(**{name: body[name] for name in Ticket.__dataclass_fields__})

    async def session(self, ticket: Ticket) -> dict[str, Any]:
        """GET /v1/sessions/{id}: the session's state."""
        return await self._call("GET", _path(ticket), headers=_authorization(ticket))

    async def end_session(self, ticket: Ticket) -> None:
        """DELETE /v1/sessions/{id}. A session that has ended already is fine."""
        try:
            await self._call("DELETE", _path(ticket), headers=_authorization(ticket))
        except SessionError:
            return

    async def samples(self) -> list[dict[str, Any]]:
        """GET /v1/samples: names and prompts of the start images there."""
        listed: list[dict[str, Any]] = (await self._call("GET", "/v1/samples"))["samples"]
        return listed

    async def _call(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        try:
            response = await self._http.request(method, path, **content)
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error
        if response.is_error:
            raise _reported(response)
        body: dict[str, Any] = response.json() if response.content else {}
        return body


def is_loopback(url: str) -> bool:
    """Whether the URL names this machine, which no proxy of the environment can reach."""
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def unreachable(url: str, error: Exception) -> ServiceError:
    """No service answers at `url`."""
    reason = str(error) or type(error).__name__
    return ServiceError(f"no answer from {url}: {reason}", hint="Start one with 'worldloom serve', or check the URL.")


def _reported(response: httpx.Response) -> WorldloomError:
    try:
        problem = response.json()["error"]
        return error_from(problem["code"], problem["message"], problem.get("hint", ""))
    except (ValueError, KeyError, TypeError):
        where = f"{response.request.method} {response.request.url}"
        return ServiceError(f"{where} gave HTTP {response.status_code}", hint="Is this a worldloom service?")


def _path(ticket: Ticket) -> str:
    return f"/v1/sessions/{quote(ticket.session_id, safe='')}"


def _authorization(ticket: Ticket) -> dict[str, str]:
    return {"Authorization": f"Bearer {ticket.token}"}
