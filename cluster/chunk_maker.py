"""A session's chunks, one after the other: turn time, plan, retrieve, denoise, commit. Over peers that are given.

It holds nothing that the store does not: whoever makes the next chunk goes on from the last commit or rewind.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from ..errors import InputError, Overloaded, WorldloomError
from ..memory.records import ChunkRecord
from ..model.clip import ClipInputs, MemoryQuery, MemoryView, advance, plan_clip
from .camera_goal import first_pose
from .camera_origin import placed_pose
from .chunk_extra import ChunkExtra, pack_extra
from .config import ClusterConfig
from .controls import ChunkControls, plan_controls
from .engine import ChunkJob, ChunkResult
from .events import ControlState, Event, Rewind
from .history import remembered_by
from .messages import Phase, Progress, SavedWorld, StageTimes
from .peer import plain
from .time_turns import ignoring, next_turn

ASK_AGAIN_S = 0.5
"""Who waits for room in the store asks so often whether there is some."""


Turn = asyncio.Lock | asyncio.Semaphore
"""Held while a session's chunk is made."""


class Denoiser(Protocol):
    """What a worker group's ranks do for a session."""

    async def step(self, job: ChunkJob, *, gateway: str) -> ChunkResult: ...


class Worlds(Protocol):
    """What is needed of the store; see `StoreActor`."""

    async def rewind(self, session: str, epoch: int, rewind: Rewind, controls: ControlState) -> SavedWorld: ...

    async def retrieve(self, session: str, branch: int, query: MemoryQuery) -> MemoryView: ...

    async def commit(self, session: str, epoch: int, record: ChunkRecord) -> int: ...


class Players(Protocol):
    """What is needed of the gateways; see `GatewayClient`."""

    async def report(self, session: str, progress: Progress) -> None: ...

    async def refuse(self, session: str, event_id: int, error: WorldloomError) -> None: ...

    def known_home(self, session: str) -> str: ...


class ChunkMaker:
    """Makes one session's chunks under one epoch."""

    def __init__(
        self,
        session: str,
        epoch: int,
        *,
        config: ClusterConfig,
        ranks: Denoiser,
        turn: Turn,
        worlds: Worlds,
        players: Players,
        on_branch: Callable[[SavedWorld], Awaitable[None]],
    ) -> None:
        """`turn` is held while the ranks work. `on_branch` hears of each new branch before its first chunk is made."""
        self._session = session
        self._epoch = epoch
        self._config = config
        self._ranks = ranks
        self._turn = turn
        self._worlds = worlds
        self._players = players
        self._on_branch = on_branch

    async def make_chunk(self, world: SavedWorld, events: tuple[Event, ...]) -> SavedWorld:
        """Rewind as the events say, then make the next chunk with them. Returns the world after it.

        Raises StaleEpoch when another owner has taken over, WorkerLost when a rank died, Overloaded when the store has
        had no room for the chunk for too long.
        """
        world, events = await self._turn_time(world, events)
        controls, controls_after = plan_controls(
            world.controls,
            events,
            frames=world.state.num_new_frames,
            frame_rate=self._config.preset.video.frame_rate,
            pose=placed_pose(first_pose(world.state), world.spec.origin),
        )
        return await self._make_chunk(world, controls, controls_after)

    async def _turn_time(self, world: SavedWorld, events: tuple[Event, ...]) -> tuple[SavedWorld, tuple[Event, ...]]:
        """Rewind the world as the events say. Returns where it goes on, and the events to plan with."""
        while (turn := next_turn(world.controls, events)) is not None:
            try:
                world = await self._worlds.rewind(self._session, self._epoch, turn.rewind, turn.controls)
            except InputError as error:
                await self._players.refuse(self._session, turn.rewind.event_id, plain(error))
                events = ignoring(events, turn.rewind)
                continue
            await self._on_branch(world)
        return world, events

    async def _make_chunk(self, world: SavedWorld, controls: ChunkControls, after: ControlState) -> SavedWorld:
        """Plan, retrieve, denoise and commit one chunk. Returns the world after it."""
        started = time.perf_counter()
        _, (clip, retrieve_s) = await asyncio.gather(self._report(world), self._plan(world, controls))
        planned = time.perf_counter()
        async with self._turn:
            turned = time.perf_counter()
            job = ChunkJob(session=self._session, epoch=self._epoch, clip=clip)
            result = await self._ranks.step(job, gateway=self._players.known_home(self._session))
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
        await self._commit(world, record)
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
                self._worlds.retrieve(self._session, world.state.branch, query), loop
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

    async def _commit(self, world: SavedWorld, record: ChunkRecord) -> None:
        """Add the chunk. While the store is full the session waits in line, and its player is told how it stands."""
        give_up = time.monotonic() + self._config.queue_s
        told = 0
        while place := await self._worlds.commit(self._session, self._epoch, record):
            if time.monotonic() >= give_up:
                raise Overloaded(
                    f"the memory store is full, and had no room for this world for {self._config.queue_s:g} s",
                    hint="Create another session later, when other worlds have ended.",
                )
            if place != told:
                await self._report(world, queue_position=place)
                told = place
            await asyncio.sleep(ASK_AGAIN_S)
        if told:
            await self._report(world)

    async def _report(self, world: SavedWorld, *, queue_position: int = 0) -> None:
        progress = Progress(
            phase=Phase.QUEUED if queue_position else Phase.PLAYING,
            branch=world.state.branch,
            chunk=world.state.chunk,
            num_steps=self._config.preset.sampling.steps,
            queue_position=queue_position,
        )
        await self._players.report(self._session, progress)
