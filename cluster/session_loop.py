"""One session's life on its worker group: collect inputs, plan, retrieve, denoise, commit, again and again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any, Protocol

from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import RayServeException

from ..errors import Overloaded, ServiceError, SessionEnded, SessionUnknown, StaleEpoch
from .chunk_maker import ChunkMaker, Denoiser, Turn
from .clients import DirectoryClient, StoreClient
from .config import ClusterConfig
from .events import Event
from .gateways import GatewayClient
from .messages import Phase, Progress, SavedWorld, StreamPlace

log = logging.getLogger(__name__)

FOLLOW_AGAIN_S = 0.1
SENT_POLL_S = 0.05


class Ranks(Denoiser, Protocol):
    """What a session needs of its group's ranks; see `Denoisers`."""

    @property
    def is_warm(self) -> bool: ...

    async def warm(self) -> None: ...


class SessionLoop:
    """Owns one session under one epoch. Holds nothing that the store does not: a new loop goes on from the last commit.

    A chunk is denoised while the one before it is decoded: a decoder follows the store's commits by itself.
    """

    def __init__(self, session: str, *, group: str, config: ClusterConfig, ranks: Ranks, turn: Turn) -> None:
        """`turn` is shared by the group's sessions. It is handed on in order of asking, and a session asks once a
        chunk: so each of them gets every n-th turn."""
        self.session = session
        self.epoch = 0
        self._group = group
        self._config = config
        self._ranks = ranks
        self._turn = turn
        self._left = asyncio.Event()
        self._branched = asyncio.Event()
        self._store = StoreClient(config)
        self._directory = DirectoryClient(config)
        self._gateway = GatewayClient(config)

    async def run(self) -> None:
        """Returns when the session has ended or another group owns it. Raises WorkerLost when a rank died."""
        try:
            self.epoch = await self._directory.claim(self.session, self._group)
            world = await self._store.load(self.session)
            await self._tell_branch(world)
            await _until_first(self._make_chunks(world), self._keep_streaming(), self._left.wait())
        except (SessionEnded, SessionUnknown, StaleEpoch) as end:
            log.info("session %s leaves group %s: %s", self.session, self._group, end.message)

    def leave(self) -> None:
        """The session has another owner, or none: stop."""
        self._left.set()

    async def _make_chunks(self, world: SavedWorld) -> None:
        maker = ChunkMaker(
            self.session,
            self.epoch,
            config=self._config,
            ranks=self._ranks,
            turn=self._turn,
            worlds=self._store,
            players=self._gateway,
            on_branch=self._follow_branch,
        )
        await self._warm_up(world)
        is_first = True
        while True:
            batch = await self._gateway.collect(
                self.session,
                epoch=self.epoch,
                after_event=world.controls.last_event_id,
                next_frame_id=world.next_frame_id,
                pace=world.controls.pace,
            )
            if batch.is_due:
                await self._end_if_played(world)
                await self._warm_up(world)
                is_suspect = is_first and await self._begin(world)
                world = await self._make_chunk(maker, world, batch.events)
                is_first = False
                if is_suspect:
                    await self._directory.passed(self.session, self.epoch)

    async def _begin(self, world: SavedWorld) -> bool:
        """See `Losses.begin`."""
        return await self._directory.begin(self.session, self.epoch, (world.state.branch, world.state.chunk))

    async def _warm_up(self, world: SavedWorld) -> None:
        """Wait for ranks in the place of some that have died. Raises WorkerLost where these die too."""
        if not self._ranks.is_warm:
            state = world.state
            progress = Progress(phase=Phase.WARMING_UP, branch=state.branch, chunk=state.chunk)
            await self._gateway.report(self.session, progress)
            await self._ranks.warm()

    async def _make_chunk(self, maker: ChunkMaker, world: SavedWorld, events: tuple[Event, ...]) -> SavedWorld:
        """Raises SessionEnded where the store had no room for too long: another group would not find more."""
        try:
            return await maker.make_chunk(world, events)
        except Overloaded as full:
            await self._directory.end(self.session, full)
            raise SessionEnded(full.message) from full

    async def _follow_branch(self, world: SavedWorld) -> None:
        await self._tell_branch(world)
        self._branched.set()

    async def _tell_branch(self, world: SavedWorld) -> None:
        """The player drops frames of the old branch, also where an earlier owner may not have come to say so."""
        if world.turned is not None:
            await self._gateway.branched(self.session, world.turned)

    async def _end_if_played(self, world: SavedWorld) -> None:
        """Raises SessionEnded once the session has made and sent all the video that it may."""
        played_s = (world.next_frame_id - world.spec.first_frame_id) / self._config.preset.video.frame_rate
        limit_s = world.spec.limits.play_s
        if 0 < limit_s <= played_s:
            await self._until_sent(world.next_frame_id)
            end = SessionEnded(f"the session has made its {limit_s:g} s of video", hint="Create another one.")
            await self._directory.end(self.session, end)
            raise end

    async def _until_sent(self, next_frame_id: int) -> None:
        """Wait for the decoder and whoever watches, though not for ever: they may all have left."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.patience_s):
                while await self._gateway.next_frame_id(self.session) < next_frame_id:
                    await asyncio.sleep(SENT_POLL_S)

    async def _keep_streaming(self) -> None:
        """Have some decoder replica follow the branch that grows, from the first frame that its gateway lacks; another
        one when it is lost, and again when the gateway wants other frames."""
        while True:
            self._branched.clear()
            place = await self._gateway.begin_stream(self.session, self.epoch)
            ended = self._gateway.until_stream_ends(self.session, place.stream)
            await _until_first(self._follow(place), self._branched.wait(), ended)

    async def _follow(self, place: StreamPlace) -> None:
        response: Any = serve.get_app_handle(self._config.decoders_app).follow.remote(self.session, self.epoch, place)
        try:
            await response
        except asyncio.CancelledError:
            response.cancel()
            raise
        except (RayActorError, RayServeException, ServiceError) as error:
            log.warning("session %s needs another decoder: %s", self.session, type(error).__name__)
            await asyncio.sleep(FOLLOW_AGAIN_S)


async def _until_first(*jobs: Coroutine[Any, Any, object]) -> None:
    """Run all until one returns or raises; cancel the others, and return or raise likewise."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
