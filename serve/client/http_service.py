"""A service's verbs over HTTP, with the standard library."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import Any, Unpack
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import OpenerDirector, ProxyHandler, Request, build_opener

from .address import Address
from .errors import Unreachable, WorldError, error_of
from .protocol import session_pb2 as pb
from .service import OpenedSession, Snapshot, StartRequest, Ticket

CALL_TIMEOUT_S = 60.0
"""Long enough for a service that is still loading its weights."""
WORLD_FILE = "application/x-worldloom-world"
_NO_HEADERS: Mapping[str, str] = {}


class HttpService:
    """See `Service`."""

    def __init__(self, address: Address, *, key: str = "") -> None:
        self._address = address
        self._key = key
        self._opener: OpenerDirector = build_opener(*([ProxyHandler({})] if address.is_loopback else []))

    async def create(self, **start: Unpack[StartRequest]) -> OpenedSession:
        return _opened(await self._call("POST", "/v1/sessions", token=self._key, form=dict(start)))

    async def close(self, session_id: str, *, token: str) -> None:
        await self._call("DELETE", _path(session_id), token=token)

    async def mint_ticket(
        self, session_id: str, *, token: str, is_player: bool, valid_s: int = 0, origins: Sequence[str] = ()
    ) -> Ticket:
        role = "ROLE_PLAYER" if is_player else "ROLE_VIEWER"
        asked = {"role": role, "valid_s": valid_s, "origins": list(origins)}
        body = await self._call("POST", f"{_path(session_id)}/tickets", token=token, form=asked)
        return Ticket(ticket=body["ticket"], url=body["stream_url"], expires_at_s=int(body["expires_at_s"]))

    async def take_snapshot(
        self, session_id: str, *, token: str, branch: int | None = None, chunk: int | None = None
    ) -> Snapshot:
        asked = {"branch": branch, "chunk": chunk}
        body = await self._call("POST", f"{_path(session_id)}/snapshots", token=token, form=asked)
        return Snapshot(snapshot_id=body["snapshot_id"], branch=body["branch"], chunk=body["chunk"])

    async def fork(
        self, session_id: str, *, token: str, branch: int | None = None, chunk: int | None = None
    ) -> OpenedSession:
        asked = {"branch": branch, "chunk": chunk}
        return _opened(await self._call("POST", f"{_path(session_id)}/fork", token=token, form=asked))

    async def export_world(self, session_id: str, *, token: str) -> bytes:
        return await self._exchange("GET", f"{_path(session_id)}/export", token=token)

    async def import_world(self, file: bytes) -> OpenedSession:
        headers = {"Content-Type": WORLD_FILE}
        answer = await self._exchange("POST", "/v1/sessions/import", token=self._key, data=file, headers=headers)
        return _opened(json.loads(answer))

    async def samples(self) -> list[dict[str, Any]]:
        """Names and prompts of the start images there."""
        listed: list[dict[str, Any]] = (await self._call("GET", "/v1/samples"))["samples"]
        return listed

    async def preset(self) -> dict[str, Any]:
        """Of the preset that the service runs: name, size, frame rate, frames of a chunk."""
        presets: list[dict[str, Any]] = (await self._call("GET", "/v1/presets"))["presets"]
        return presets[0]

    async def _call(
        self, method: str, path: str, *, token: str = "", form: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        data, headers = _encode(form) if form is not None else (None, {})
        content = await self._exchange(method, path, token=token, data=data, headers=headers)
        body: dict[str, Any] = json.loads(content) if content else {}
        return body

    async def _exchange(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        data: bytes | None = None,
        headers: Mapping[str, str] = _NO_HEADERS,
    ) -> bytes:
        """What is answered. Raises what the service reports, or Unreachable."""
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        request = Request(self._address.url + path, data=data, headers={**headers, **bearer}, method=method)
        return await asyncio.to_thread(self._send, request)

    def _send(self, request: Request) -> bytes:
        try:
            with self._opener.open(request, timeout=CALL_TIMEOUT_S) as response:
                content: bytes = response.read()
                return content
        except HTTPError as error:
            with error:
                raise self._reported(error) from None
        except (URLError, HTTPException, OSError) as error:
            raise Unreachable(self._address.url, getattr(error, "reason", error)) from error

    def _reported(self, error: HTTPError) -> WorldError:
        try:
            problem = json.loads(error.read())["error"]
            return error_of(pb.Error(**{name: problem[name] for name in _FIELDS if name in problem}))
        except (ValueError, KeyError, TypeError):
            return WorldError(
                f"{error.url} gave HTTP {error.code}", hint="Is this a worldloom service?", code="service_error"
            )


def _opened(body: dict[str, Any]) -> OpenedSession:
    return OpenedSession(
        session_id=body["session_id"],
        token=body["token"],
        url=body["stream_url"],
        grpc_target=body.get("grpc_target", ""),
    )


_FIELDS = ("code", "message", "hint", "retryable", "world_lost")


def _encode(form: dict[str, Any]) -> tuple[bytes, dict[str, str]]:
    """JSON, or a multipart form where there is an image."""
    given = {name: value for name, value in form.items() if value is not None}
    image = given.pop("image", None)
    if image is None:
        return json.dumps(given).encode(), {"Content-Type": "application/json"}
    boundary = uuid.uuid4().hex
    parts = [_part(boundary, f'name="{name}"', str(value).encode()) for name, value in given.items()]
    parts.append(_part(boundary, 'name="image"; filename="image"', image))
    body = b"".join([*parts, f"--{boundary}--\r\n".encode()])
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def _part(boundary: str, name: str, content: bytes) -> bytes:
    head = f"--{boundary}\r\nContent-Disposition: form-data; {name}\r\n\r\n"
    return head.encode() + content + b"\r\n"


def _path(session_id: str) -> str:
    return f"/v1/sessions/{quote(session_id, safe='')}"
