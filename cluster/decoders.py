"""The decoder deployment: turns committed chunks into encoded frames and pushes them to the gateway."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
from ray import serve
from ray.serve import Application

from ..errors import WorldloomError
from ..model.clip import Array
from .clients import DirectoryClient, StoreClient
from .config import ClusterConfig
from .engines import make_decoder
from .gateways import GatewayClient
from .messages import CommittedChunk
from .pictures import Layout
from .pieces import Piece, pieces_from, warm_up_pieces
from .threads import use_all_cores
from .video_sender import VideoSender


class DecoderReplica:
    """Follows streams: each `follow` call is one stream, whose decoder cache lives and dies with the call."""

    async def __init__(self, config: ClusterConfig) -> None:  # type: ignore[misc]  # Serve awaits it
        """Returns when the decoder is warm."""
        self._config = config
        self._store = StoreClient(config)
        self._gateway = GatewayClient(config)
        if config.preset.engine != "mock":
            use_all_cores()
        try:
            self._decoder = make_decoder(config.preset, config.device)
        except WorldloomError as error:
            await DirectoryClient(config).start_failed(error)
            raise
        self._decoder.warm_up()
        # One stream decodes at a time: two at once would only make both late.
        self._turn = asyncio.Lock()
        self._following: Counter[str] = Counter()

    async def follow(self, session: str, epoch: int) -> None:
        """Send the session's frames, from the first one that its gateway has not had, as they are committed.

        A cache that another replica has lost is rebuilt by decoding the latents before that frame again. Ends only by
        an error: StaleEpoch when the session gets another owner, SessionUnknown or SessionEnded when it is over,
        WorkerLost when its gateway is gone. Stays in the branch that grows when it begins.
        """
        self._following[session] += 1
        try:
            await self._follow(session, epoch)
        finally:
            self._following -= Counter([session])  # drops what reaches 0

    async def _follow(self, session: str, epoch: int) -> None:
        size = self._config.piece_latents
        rate = self._config.preset.video.frame_rate
        first = await self._gateway.next_frame_id(session)
        branch, chunk, frame = await self._store.place_of_frame(session, first)
        chunks = _Chunks(self._store, session, epoch, branch)
        pieces = pieces_from(chunk, frame, size=size)
        piece = next(pieces)
        state: Any = None
        for seen in warm_up_pieces(piece, reach=self._decoder.reach_latents, size=size):
            _, state = await self._decode(await chunks.get(seen.chunk), seen, state)
        async with VideoSender(session, epoch, watchers=self._gateway, frame_rate=rate) as sender:
            while True:
                committed = await chunks.get(piece.chunk)
                started = time.perf_counter()
                frames, state = await self._decode(committed, piece, state, sender.layout)
                # Nobody gets a frame twice, even where its piece is decoded again.
                seen_frames = max(0, frame - piece.first_frame)
                decode_s = time.perf_counter() - started
                await sender.send(committed, piece.first_frame + seen_frames, frames[seen_frames:], decode_s)
                piece, frame = next(pieces), 0

    async def following(self) -> tuple[int, tuple[str, ...]]:
        """Process id, and the sessions that this replica follows."""
        return os.getpid(), tuple(self._following)

    async def _decode(
        self, committed: CommittedChunk, piece: Piece, state: Any, layout: Layout = Layout.RGB
    ) -> tuple[npt.NDArray[np.uint8], Any]:
        latents: Array = committed.record.latents[:, piece.start : piece.stop]
        async with self._turn:
            return await asyncio.to_thread(self._decoder.decode, latents, state, layout=layout)


class _Chunks:
    """The chunks of one branch as they are committed; holds the last one."""

    def __init__(self, store: StoreClient, session: str, epoch: int, branch: int) -> None:
        self._store = store
        self._session = session
        self._epoch = epoch
        self._branch = branch
        self._last: CommittedChunk | None = None

    async def get(self, chunk: int) -> CommittedChunk:
        """Waits until the chunk is committed."""
        while self._last is None or self._last.record.chunk != chunk:
            self._last = await self._store.chunk(self._session, self._epoch, self._branch, chunk)
        return self._last


def decoders_app(config: ClusterConfig) -> Application:
    """The Serve application of the decoders."""
    deployment: Any = serve.deployment(
        DecoderReplica,
        name="decoders",
        num_replicas=config.decoders,
        max_ongoing_requests=config.streams_per_decoder,
        ray_actor_options={"num_cpus": 0.1, "num_gpus": config.decoder_gpus if config.uses_gpus else 0},
        max_constructor_retry_count=config.start_tries,
        health_check_period_s=config.health_check_s,
        graceful_shutdown_timeout_s=config.shutdown_s,
        graceful_shutdown_wait_loop_s=0.1,
    )
    application: Application = deployment.bind(config)
    return application
