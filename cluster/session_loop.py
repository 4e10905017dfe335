"""One session's life on its worker group: collect inputs, plan, retrieve, denoise, commit, again and again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Protocol

from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import RayServeException

from ..errors import InputError, ServiceError, SessionEnded, SessionUnknown, StaleEpoch
from ..memory.records import ChunkRecord
from ..model.clip import ClipInputs, MemoryQuery, MemoryView, advance, plan_clip
from .camera_goal import first_pose
from .camera_origin import placed_pose
from .chunk_extra import ChunkExtra, pack_extra
from .clients import DirectoryClient, StoreClient
from .config import ClusterConfig
from .controls import ChunkControls, plan_controls
from .engine import ChunkJob, ChunkResult
from .events import ControlState, Event
from .gateways import GatewayClient
from .history import remembered_by
from .messages import Phase, Progress, SavedWorld, StageTimes
from .peer import plain
from .time_turns import ignoring, next_turn

log = logging.getLogger(__name__)

FOLLOW_AGAIN_S = 0.1


class Denoiser(Protocol):
    """What a worker group's ranks do for a session."""

    async def step(self, job: ChunkJob, *, gateway: str) -> ChunkResult: ...


class SessionLoop:
    """Owns one session under one epoch. Holds nothing that the store does not: a new loop goes on from the last commit.

    A chunk is denoised while the one before it is decoded: a decoder follows the store's commits by itself.
    """

    def __init__(self, session: str, *, group: str, config: ClusterConfig, ranks: Denoiser, turn: asyncio.Lock) -> None:
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
        while True:
            batch = await self._gateway.collect(
                self.session,
                epoch=self.epoch,
                after_event=world.controls.last_event_id,
                next_frame_id=world.next_frame_id,
            )
            if batch.is_due:
                await self._end_if_played(world)
                world, events = await self._turn_time(world, batch.events)
                controls, controls_after = plan_controls(
                    world.controls,
                    events,
                    frames=world.state.num_new_frames,
                    frame_rate=self._config.preset.video.frame_rate,
                    pose=placed_pose(first_pose(world.state), world.spec.origin),
                )
                world = await self._make_chunk(world, controls, controls_after)

    async def _turn_time(self, world: SavedWorld, events: tuple[Event, ...]) -> tuple[SavedWorld, tuple[Event, ...]]:
        """Rewind the world as the events say. Returns where it goes on, and the events to plan with."""
        while (turn := next_turn(world.controls, events)) is not None:
            try:
                world = await self._store.rewind(self.session, self.epoch, turn.rewind, turn.controls)
            except InputError as error:
                await self._gateway.refuse(self.session, turn.rewind.event_id, plain(error))
                events = ignoring(events, turn.rewind)
                continue
            await self._tell_branch(world)
            self._branched.set()
        return world, events

    async def _tell_branch(self, world: SavedWorld) -> None:
        """The player drops frames of the old branch, also where an earlier owner may not have come to say so."""
        if world.turned is not None:
            await self._gateway.branched(self.session, world.turned)

    async def _end_if_played(self, world: SavedWorld) -> None:
        """Raises SessionEnded once the session has made all the video that it may."""
        played_s = (world.next_frame_id - world.spec.first_frame_id) / self._config.preset.video.frame_rate
        limit_s = world.spec.limits.play_s
        if 0 < limit_s <= played_s:
            end = SessionEnded(f"the session has made its {limit_s:g} s of video", hint="Create another one.")
            await self._directory.end(self.session, end)
            raise end

    async def _make_chunk(self, world: SavedWorld, controls: ChunkControls, after: ControlState) -> SavedWorld:
        """Plan, retrieve, denoise and commit one chunk. Returns the world after it."""
        await self._report(world)
        started = time.perf_counter()
        clip, retrieve_s = await self._plan(world, controls)
        planned = time.perf_counter()
        async with self._turn:
            turned = time.perf_counter()
            job = ChunkJob(session=self.session, epoch=self.epoch, clip=clip)
            result = await self._ranks.step(job, gateway=self._gateway.known_home(self.session))
        stages = StageTimes(
            queue_s=turned - planned,
            plan_s=planned - started - retrieve_s,
            retrieve_s=retrieve_s,
            steps_s=tuple(taken for stage, taken in result.timings.items() if stage.startswith("step")),
        )
        extra = ChunkExtra(
            client_times_us=controls.client_times_us,
            applied=tuple((event, world.next_frame_id + frame) for event, frame in controls.applied),
            stages=stages,
            controls=after,
            remembered=remembered_by(clip, world.spec.origin),
        )
        record = ChunkRecord(
            branch=clip.branch,
            chunk=clip.chunk,
            latents=result.latents,
            poses=clip.poses[-clip.num_new_frames :],
            keyboard=controls.keyboard,
            mouse=controls.mouse,
            prompt=clip.prompt,
            first_frame_id=world.next_frame_id,
            applied_event_ids=tuple(event for event, _ in controls.applied),
            extra=pack_extra(extra),
        )
        await self._store.commit(self.session, self.epoch, record)
        return replace(
            world,
            turned=None,
            state=advance(world.state, clip, result.latents),
            prompt=clip.prompt,
            next_frame_id=record.next_frame_id,
            controls=after,
        )

    async def _plan(self, world: SavedWorld, controls: ChunkControls) -> tuple[ClipInputs, float]:
        """The next clip, and the seconds that retrieval took of the time."""
        loop = asyncio.get_running_loop()
        retrieve_s = 0.0

        def retrieve(query: MemoryQuery) -> MemoryView:
            nonlocal retrieve_s
            started = time.perf_counter()
            view = asyncio.run_coroutine_threadsafe(
                self._store.retrieve(self.session, world.state.branch, query), loop
            ).result()
            retrieve_s = time.perf_counter() - started
            return view

        def plan() -> ClipInputs:
            return plan_clip(
                world.state,
                controls.keyboard,
                controls.mouse,
                prompt=world.prompt if controls.prompt is None else controls.prompt,
                viewpoint=world.spec.viewpoint,
                image=world.spec.image,
                retrieve=retrieve,
            )

        return await asyncio.to_thread(plan), retrieve_s

    async def _report(self, world: SavedWorld) -> None:
        progress = Progress(
            phase=Phase.PLAYING,
            branch=world.state.branch,
            chunk=world.state.chunk,
            num_steps=self._config.preset.sampling.steps,
        )
        await self._gateway.report(self.session, progress)

    async def _keep_streaming(self) -> None:
        """Have some decoder replica follow the branch that grows, from the first frame that its gateway lacks; another
        one when it is lost."""
        while True:
            self._branched.clear()
            moved_back = self._gateway.until_moved_back(self.session)
            await _until_first(self._follow(), self._branched.wait(), moved_back)

    async def _follow(self) -> None:
        decoders = serve.get_app_handle(self._config.decoders_app)
        while True:
            response: Any = decoders.follow.remote(self.session, self.epoch)
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
