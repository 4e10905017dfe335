"""Messages over gRPC's Worlds.Play."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import grpc

from .address import Address
from .protocol import session_pb2 as pb
from .protocol import worlds_pb2_grpc
from .transport import CLOSE_TIMEOUT_S, CONNECT_TIMEOUT_S, MAX_MESSAGE_BYTES, Lost


class GrpcTransport:
    """See `Transport`."""

    def __init__(self, channel: grpc.aio.Channel, call: Any) -> None:
        self._channel = channel
        self._call = call
        self._is_aborted = False
        # A call bears one write at a time.
        self._sending = asyncio.Lock()

    @classmethod
    async def dial(cls, address: Address) -> Self:
        """Raises Lost."""
        channel = open_channel(address)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await channel.channel_ready()
        except TimeoutError as error:
            await channel.close()
            raise Lost(f"no gRPC server answered within {CONNECT_TIMEOUT_S:g} s") from error
        return cls(channel, worlds_of(channel).Play())

    async def send(self, message: pb.ClientMessage) -> None:
        """Raises Lost."""
        async with self._sending:
            with self._telling_loss():
                await self._call.write(message)

    async def receive(self) -> pb.ServerMessage:
        """Raises Lost."""
        with self._telling_loss():
            message: pb.ServerMessage | Any = await self._call.read()
        if not isinstance(message, pb.ServerMessage):
            raise Lost("the service ended the call")
        return message

    async def close(self) -> None:
        if not self._call.done():
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._call.done_writing()
                    while isinstance(await self._call.read(), pb.ServerMessage):
                        continue
            except (TimeoutError, grpc.RpcError, asyncio.InvalidStateError):
                self._call.cancel()
        await self._channel.close()

    def abort(self) -> None:
        self._is_aborted = True
        self._call.cancel()

    @contextmanager
    def _telling_loss(self) -> Iterator[None]:
        try:
            yield
        except (grpc.RpcError, asyncio.InvalidStateError) as error:
            raise Lost(reason_of(error)) from error
        except asyncio.CancelledError:
            # A call that was cancelled cancels those who wait for it, who are not meant.
            task = asyncio.current_task()
            if self._is_aborted and task is not None and not task.cancelling():
                raise Lost("the connection was broken") from None
            raise


def open_channel(address: Address) -> grpc.aio.Channel:
    """A channel that connects by itself, and again when it breaks."""
    options = [
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
        ("grpc.enable_http_proxy", 0 if address.is_loopback else 1),
        # Each connection its own socket: one that broke must not be shared with the next.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if address.is_secure:
        return grpc.aio.secure_channel(address.target, grpc.ssl_channel_credentials(), options=options)
    return grpc.aio.insecure_channel(address.target, options=options)


def worlds_of(channel: grpc.aio.Channel) -> Any:
    """The Worlds service, whose generated stub has no types."""
    return worlds_pb2_grpc.WorldsStub(channel)  # type: ignore[no-untyped-call]


def reason_of(error: Exception) -> str:
    """What a failed call says of itself."""
    details = error.details() if isinstance(error, grpc.aio.AioRpcError) else None
    return details or str(error) or type(error).__name__
