"""Encodes what a decoder shows of one stream, and pushes it to those who watch."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Protocol, Self

from .encoders import SessionEncoders, layout_for
from .frames import packets_of
from .messages import CommittedChunk
from .pictures import Frames, Layout
from .video import RungWish, VideoPiece


class Watchers(Protocol):
    """Those who watch a session: `GatewayClient` where it runs on a cluster."""

    async def wanted_video(self, session: str, stream: str) -> tuple[RungWish, ...]: ...

    async def push(self, session: str, stream: str, pieces: tuple[VideoPiece, ...]) -> None: ...


class VideoSender:
    """Sends piece after piece, each while the next one is decoded. Waits while nobody watches, and while the watchers'
    gateways take nothing: what is not wanted is not decoded either, but for one piece."""

    def __init__(self, session: str, stream: str, *, watchers: Watchers, frame_rate: float) -> None:
        self._session = session
        self._stream = stream
        self._watchers = watchers
        self._encoders = SessionEncoders(frame_rate)
        self._sending: asyncio.Task[None] | None = None
        self.layout = Layout.RGB
        """In which the next frames had best come."""

    async def send(self, chunk: CommittedChunk, first_frame: int, frames: Frames, decode_s: float) -> None:
        """Take frames in, the first one being number `first_frame` of the chunk, once the ones before are sent.

        Raises what sending those raised: SessionEnded, WorkerLost where the stream has to be begun anew.
        """
        if self._sending is not None:
            await self._sending
        self._sending = asyncio.create_task(self._send(chunk, first_frame, frames, decode_s))

    async def _send(self, chunk: CommittedChunk, first_frame: int, frames: Frames, decode_s: float) -> None:
        while not (wishes := await self._watchers.wanted_video(self._session, self._stream)):
            continue
        self.layout = layout_for(wishes)
        started = time.perf_counter()
        encoded = await asyncio.to_thread(self._encoders.encode, frames, wishes)
        encode_s = time.perf_counter() - started
        pieces = [
            VideoPiece(
                rung=rung,
                packets=packets_of(chunk, first_frame, rung.codec, images, decode_s=decode_s, encode_s=encode_s),
            )
            for rung, images in encoded.items()
        ]
        await self._watchers.push(self._session, self._stream, tuple(pieces))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        """What is still being sent is dropped."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
