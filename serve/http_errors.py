"""One table from errors to HTTP: what a client gets is typed JSON, never a traceback."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from .. import errors
from ..errors import WorldloomError

log = logging.getLogger(__name__)

STATUS: dict[type[WorldloomError], int] = {
    errors.InputError: 400,
    errors.RequestTooLarge: 413,
    errors.ImageTooLarge: 413,
    errors.NotAnImage: 415,
    errors.NotAuthorized: 401,
    errors.PresetUnknown: 404,
    errors.SessionUnknown: 404,
    errors.PlayerTaken: 409,
    errors.StoreError: 409,
    errors.SnapshotInvalid: 400,
    errors.SessionError: 410,
    errors.ConfigError: 400,
    errors.ServiceError: 503,
    WorldloomError: 500,
}
"""The status of the nearest listed ancestor counts."""

RETRY_AFTER_S = 5


def status_of(kind: type[WorldloomError]) -> int:
    """The HTTP status of an error class."""
    return next(STATUS[base] for base in kind.__mro__ if base in STATUS)


def error_response(error: WorldloomError, *, status: int | None = None) -> JSONResponse:
    """The error as JSON."""
    # Errors that crossed Ray have a class of Ray's, derived from ours.
    content = {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
        "world_lost": error.world_lost,
    }
    headers = {"Retry-After": str(RETRY_AFTER_S)} if error.retryable else None
    return JSONResponse({"error": content}, status or status_of(type(error)), headers)


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error of this app in the same form."""
    app.add_exception_handler(WorldloomError, _on_known)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_unknown)


async def _on_known(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, WorldloomError)
    return error_response(error)


def wrong_fields(wrong: Iterable[Mapping[str, Any]]) -> errors.InputError:
    """What is wrong with a request, field by field, from pydantic's list."""
    told = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'body'}: {item['msg']}" for item in wrong)
    return errors.InputError(f"the request is wrong: {told}", hint="Correct these fields.")


async def _on_invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return error_response(wrong_fields(error.errors()))


async def _on_http(request: Request, error: Exception) -> JSONResponse:
    """What the web framework refuses by itself: unknown paths and methods, forms that do not parse."""
    assert isinstance(error, HTTPException)
    known = errors.InputError(f"{request.method} {request.url.path}: {error.detail}", hint="See /docs.")
    return error_response(known, status=error.status_code)


async def _on_unknown(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return error_response(WorldloomError("the server failed", hint="Try again; the service's log says more."))
