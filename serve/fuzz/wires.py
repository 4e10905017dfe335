"""Connections that send whatever they are told, valid or not."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol, Self

import grpc
from google.protobuf import json_format
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from ..protocol.generated import session_pb2 as pb

PLAY = "/worldloom.v1.Worlds/Play"
MAX_BYTES = 64 << 20


class Closed(Exception):
    """The service has closed the connection."""


class Wire(Protocol):
    """Raw messages up and down."""

    async def send(self, data: bytes | str) -> None:
        """Raises Closed."""

    async def receive(self) -> pb.ServerMessage:
        """Raises Closed, and DecodeError or ParseError where the service breaks the protocol."""

    async def hang_up(self) -> None:
        """End without a word."""


class WebSocketWire:
    """See `Wire`."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    @classmethod
    async def dial(cls, url: str) -> Self:
        return cls(await connect(url, max_size=MAX_BYTES, compression=None, proxy=None, max_queue=None))

    async def send(self, data: bytes | str) -> None:
        try:
            await self._socket.send(data)
        except ConnectionClosed as error:
            raise Closed from error

    async def receive(self) -> pb.ServerMessage:
        try:
            data = await self._socket.recv()
        except ConnectionClosed as error:
            raise Closed from error
        if isinstance(data, str):
            # Who begins with text is answered in text.
            return json_format.Parse(data, pb.ServerMessage())
        return pb.ServerMessage.FromString(data)

    async def hang_up(self) -> None:
        self._socket.transport.abort()


class GrpcWire:
    """See `Wire`. Text goes out as its bytes."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._call: Any = channel.stream_stream(PLAY)()

    @classmethod
    async def dial(cls, target: str) -> Self:
        options = [
            ("grpc.max_receive_message_length", MAX_BYTES),
            ("grpc.max_send_message_length", MAX_BYTES),
            ("grpc.enable_http_proxy", 0),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        channel = grpc.aio.insecure_channel(target, options=options)
        await channel.channel_ready()
        return cls(channel)

    async def send(self, data: bytes | str) -> None:
        try:
            await self._call.write(data.encode() if isinstance(data, str) else data)
        except (grpc.RpcError, asyncio.InvalidStateError) as error:
            raise Closed from error

    async def receive(self) -> pb.ServerMessage:
        try:
            data = await self._call.read()
        except grpc.RpcError as error:
            raise Closed from error
        if not isinstance(data, bytes):
            raise Closed
        return pb.ServerMessage.FromString(data)

    async def hang_up(self) -> None:
        self._call.cancel()
        await self._channel.close()
