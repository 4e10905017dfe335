"""The decoder deployment: turns committed chunks into encoded frames and pushes them to the gateway."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import Any

from ray import serve
from ray.serve import Application

from ..errors import WorldloomError
from ..model.clip import Array
from .clients import DirectoryClient, StoreClient
from .config import ClusterConfig
from .gang import LEADER_CPUS, gang_bundles
from .gateways import GatewayClient
from .messages import CommittedChunk, StreamPlace
from .peer import plain
from .pieces import Piece, pieces_from, warm_up_pieces
from .streams import make_streams
from .video_sender import VideoSender


class DecoderReplica:
    """Follows streams: each `follow` call is one stream, whose decoder cache lives and dies with the call."""

    async def __init__(self, config: ClusterConfig) -> None:  # type: ignore[misc]  # Serve awaits it
        """Returns when the decoder is warm."""
        self._config = config
        self._store = StoreClient(config)
        self._gateway = GatewayClient(config)
        self._streams = make_streams(config)
        try:
            await self._streams.warm_up()
        except WorldloomError as error:
            await DirectoryClient(config).start_failed(plain(error))
            raise
        self._following: Counter[str] = Counter()

    async def follow(self, session: str, epoch: int, place: StreamPlace) -> None:
        """Send the session's frames, from the first one that its gateway has not had, as they are committed.

        A cache that another replica has lost is rebuilt by decoding the latents before that frame again. Ends only by
        an error: StaleEpoch when the session gets another owner, SessionUnknown or SessionEnded when it is over,
        WorkerLost when the stream has to be begun anew. Stays in the branch that grows when it begins.
        """
        self._following[session] += 1
        try:
            await self._follow(session, epoch, place)
        finally:
            self._following -= Counter([session])  # drops what reaches 0

    async def _follow(self, session: str, epoch: int, place: StreamPlace) -> None:
        size = self._config.piece_latents
        rate = self._config.preset.video.frame_rate
        branch, chunk, frame = await self._store.place_of_frame(session, place.next_frame_id)
        chunks = _Chunks(self._store, session, epoch, branch)
        pieces = pieces_from(chunk, frame, size=size)
        piece = next(pieces)
        async with (
            self._streams.open() as stream,
            VideoSender(session, place.stream, watchers=self._gateway, frame_rate=rate) as sender,
        ):
            for seen in warm_up_pieces(piece, reach=self._streams.reach_latents, size=size):
                await stream.decode(latents_of(await chunks.get(seen.chunk), seen))
            while True:
                committed = await chunks.get(piece.chunk)
                started = time.perf_counter()
                frames = await stream.decode(latents_of(committed, piece), sender.layout)
                # Nobody gets a frame twice, even where its piece is decoded again.
                seen_frames = max(0, frame - piece.first_frame)
                decode_s = time.perf_counter() - started
                await sender.send(committed, piece.first_frame + seen_frames, frames[seen_frames:], decode_s)
                piece, frame = next(pieces), 0

    async def check_health(self) -> None:
        """For Serve; see `WorkerGroup.check_health`."""
        await self._streams.check()

    async def following(self) -> tuple[int, tuple[str, ...]]:
        """Process id, and the sessions that this replica follows."""
        return os.getpid(), tuple(self._following)

    async def pids(self) -> tuple[int, ...]:
        """Process ids of the ranks that decode together, for tests that kill them."""
        return await self._streams.pids()


def latents_of(chunk: CommittedChunk, piece: Piece) -> Array:
    """The latents of a piece of a chunk."""
    return chunk.record.latents[:, piece.start : piece.stop]


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
        **_resources(config),
        max_constructor_retry_count=config.start_tries,
        health_check_period_s=config.health_check_s,
        graceful_shutdown_timeout_s=config.shutdown_s,
        graceful_shutdown_wait_loop_s=0.1,
    )
    application: Application = deployment.bind(config)
    return application


def _resources(config: ClusterConfig) -> dict[str, Any]:
    """Options of the deployment: a replica that leads ranks has them in its placement group."""
    if config.decoder_ranks == 1:
        return {"ray_actor_options": {"num_cpus": LEADER_CPUS, "num_gpus": config.decoder_share}}
    return {
        "ray_actor_options": {"num_cpus": LEADER_CPUS},
        "placement_group_bundles": gang_bundles(size=config.decoder_ranks, gpu_share=config.decoder_share),
        "placement_group_strategy": "STRICT_PACK",
    }
