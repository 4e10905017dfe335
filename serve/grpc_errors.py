"""One table from errors to gRPC: a status code, with the Error itself in the status details."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import status_pb2  # type: ignore[import-untyped]

from .. import errors
from ..errors import WorldloomError
from .wire import error_of

log = logging.getLogger(__name__)

CODES: dict[type[WorldloomError], grpc.StatusCode] = {
    errors.InputError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotAuthorized: grpc.StatusCode.UNAUTHENTICATED,
    errors.PresetUnknown: grpc.StatusCode.NOT_FOUND,
    errors.SessionUnknown: grpc.StatusCode.NOT_FOUND,
    errors.WorldLost: grpc.StatusCode.DATA_LOSS,
    errors.SessionError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.SnapshotInvalid: grpc.StatusCode.INVALID_ARGUMENT,
    errors.StoreError: grpc.StatusCode.ABORTED,
    errors.ConfigError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.ServiceError: grpc.StatusCode.UNAVAILABLE,
    WorldloomError: grpc.StatusCode.INTERNAL,
}
"""The code of the nearest listed ancestor counts."""
DETAILS_KEY = "grpc-status-details-bin"

Context = grpc.aio.ServicerContext[Any, Any]


def code_of(kind: type[WorldloomError]) -> grpc.StatusCode:
    """The status code of an error class."""
    return next(CODES[base] for base in kind.__mro__ if base in CODES)


async def abort(context: Context, error: WorldloomError) -> NoReturn:
    """End the call with this error."""
    code = code_of(type(error))
    details = AnyMessage()
    details.Pack(error_of(error).error)
    status = status_pb2.Status(code=code.value[0], message=error.message, details=[details])
    await context.abort(code, error.message, ((DETAILS_KEY, status.SerializeToString()),))
    raise AssertionError("abort always raises")


def answering(call: Callable[[Any, Context], Awaitable[Any]]) -> Callable[[Any, Context], Awaitable[Any]]:
    """The call; what it raises becomes a status, and never a traceback."""

    async def answer(request: Any, context: Context) -> Any:
        try:
            return await call(request, context)
        except WorldloomError as error:
            await abort(context, error)

    return answer


def streaming(call: Callable[[Any, Context], AsyncIterator[Any]]) -> Callable[[Any, Context], AsyncIterator[Any]]:
    """As `answering`, for a call that answers with a stream."""

    async def answer(request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            async for part in call(request, context):
                yield part
        except WorldloomError as error:
            await abort(context, error)

    return answer
