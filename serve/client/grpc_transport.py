"""Messages over gRPC's Worlds.Play."""

from __future__ import annotations

import asyncio
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
        self._closed = asyncio.Event()

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
        try:
            await self._call.write(message)
        except (grpc.RpcError, asyncio.InvalidStateError) as error:
            raise Lost(reason_of(error)) from error

    async def receive(self) -> pb.ServerMessage:
        """Raises Lost."""
        try:
            message: pb.ServerMessage | Any = await self._call.read()
        except grpc.RpcError as error:
            raise Lost(reason_of(error)) from error
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
        self._call.cancel()


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
