"""Streams that a decoder replica decodes: in its own process, or on ranks that each have a band of the picture."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import ServiceError
from ..model.clip import Array
from .config import ClusterConfig
from .decoder_rank import DecoderRank
from .engines import make_decoder
from .gang import Gang
from .pictures import Layout
from .threads import use_all_cores

Frames = npt.NDArray[np.uint8]


class Stream(Protocol):
    """One stream, from its start or from latents that rebuild its cache."""

    async def decode(self, latents: Array, layout: Layout = Layout.RGB) -> Frames:
        """The frames of the stream's next latents; see `Decoder.decode`. Raises WorkerLost when its cache is gone."""
        ...


class Streams(Protocol):
    """What decodes streams, one piece at a time: two at once would only make both late."""

    reach_latents: int
    """See `Decoder`; known once it is warm."""

    async def warm_up(self) -> None:
        """Load, and decode something. Raises ConfigError, CheckpointError, DoesNotFit or WorkerLost."""
        ...

    def open(self) -> AbstractAsyncContextManager[Stream]:
        """A new stream, whose cache goes with the block."""
        ...

    async def check(self) -> None:
        """See `Gang.check`."""
        ...

    async def pids(self) -> tuple[int, ...]:
        """Process ids of ranks, where there are several."""
        ...


def make_streams(config: ClusterConfig) -> Streams:
    """What a decoder replica of the service decodes with."""
    return LocalStreams(config) if config.decoder_ranks == 1 else BandStreams(config)


class LocalStreams:
    """See `Streams`: in this process."""

    reach_latents = 0

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._turn = asyncio.Lock()

    async def warm_up(self) -> None:
        """See `Streams`."""
        if self._config.preset.engine != "mock":
            use_all_cores()
        self._decoder = make_decoder(self._config.preset, self._config.device)
        self._decoder.warm_up()
        self.reach_latents = self._decoder.reach_latents

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Stream]:
        """See `Streams`."""
        yield _LocalStream(self)

    async def check(self) -> None:
        """See `Streams`: this process answers."""

    async def pids(self) -> tuple[int, ...]:
        """See `Streams`."""
        return ()

    async def decode(self, latents: Array, state: Any, layout: Layout) -> tuple[Frames, Any]:
        """See `Decoder.decode`."""
        async with self._turn:
            return await asyncio.to_thread(self._decoder.decode, latents, state, layout=layout)


class _LocalStream:
    def __init__(self, streams: LocalStreams) -> None:
        self._streams = streams
        self._state: Any = None

    async def decode(self, latents: Array, layout: Layout = Layout.RGB) -> Frames:
        frames, self._state = await self._streams.decode(latents, self._state, layout)
        return frames


class BandStreams:
    """See `Streams`: on ranks that decode each picture together. A lost rank takes all caches with it."""

    reach_latents = 0

    def __init__(self, config: ClusterConfig) -> None:
        self._gang = Gang(DecoderRank, config, size=config.decoder_ranks, gpu_share=config.decoder_share)
        self._turn = asyncio.Lock()

    async def warm_up(self) -> None:
        """See `Streams`."""
        self.reach_latents, *_ = await self._gang.ask("reach", None)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Stream]:
        """See `Streams`."""
        stream = _BandStream(self, uuid.uuid4().hex)
        try:
            yield stream
        finally:
            await asyncio.shield(self._forget(stream.name))

    async def check(self) -> None:
        """See `Streams`."""
        await self._gang.check()

    async def pids(self) -> tuple[int, ...]:
        """See `Streams`."""
        return await self._gang.warm()

    async def decode(self, latents: Array, stream: str, is_new: bool, layout: Layout) -> Frames:
        """See `DecoderRank.decode`."""
        async with self._turn:
            frames: Frames
            frames, *_ = await self._gang.ask("decode", latents, stream, is_new, layout)
        return frames

    async def _forget(self, stream: str) -> None:
        """Ranks that have died have forgotten it: no others need be started for that."""
        if not self._gang.is_warm:
            return
        try:
            await self._gang.ask("forget", stream)
        except ServiceError:
            return


class _BandStream:
    def __init__(self, streams: BandStreams, name: str) -> None:
        self._streams = streams
        self._is_new = True
        self.name = name

    async def decode(self, latents: Array, layout: Layout = Layout.RGB) -> Frames:
        frames = await self._streams.decode(latents, self.name, self._is_new, layout)
        self._is_new = False
        return frames
