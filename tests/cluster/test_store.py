"""The store actor, without Ray: owners are fenced, followers wake, frames are found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from worldloom.cluster.chunk_extra import ChunkExtra, pack_extra
from worldloom.cluster.config import ClusterConfig
from worldloom.cluster.events import ControlState, Held, Rewind
from worldloom.cluster.messages import BranchNote, SessionSpec, StageTimes
from worldloom.cluster.store import StoreActor
from worldloom.errors import InputError, SessionUnknown, StaleEpoch
from worldloom.memory.records import ChunkRecord
from worldloom.model.preset import load_preset

CONFIG = ClusterConfig(preset=load_preset("mock"))


def spec(session: str = "s") -> SessionSpec:
    return SessionSpec(
        session=session,
        preset="mock",
        image=np.zeros((128, 224, 3), np.uint8),
        prompt="a place",
        seed=4,
        viewpoint="first_person",
        token_hash="ab" * 32,
        created_at=1.0,
    )


def chunk(number: int, *, last_event_id: int = 0) -> ChunkRecord:
    frames, latents = (57, 15) if number == 0 else (40, 10)
    state = ControlState(last_event_id=last_event_id)
    extra = ChunkExtra(client_times_us=np.zeros(frames, np.int64), applied=(), stages=StageTimes(), controls=state)
    return ChunkRecord(
        branch=0,
        chunk=number,
        latents=np.full((16, latents, 8, 14), number, np.float32),
        poses=np.zeros((frames, 5)),
        keyboard=np.zeros((frames, 6), np.float32),
        mouse=np.zeros((frames, 2), np.float32),
        prompt="a place",
        first_frame_id=0 if number == 0 else 17 + 40 * number,
        extra=pack_extra(extra),
    )


def run(scene: Callable[[StoreActor], Coroutine[Any, Any, None]]) -> None:
    async def play() -> None:
        store = StoreActor(CONFIG)
        await store.create(spec())
        await store.create(spec())
        await scene(store)

    asyncio.run(play())


def test_a_new_owner_goes_on_where_the_last_commit_was() -> None:
    async def scene(store: StoreActor) -> None:
        epoch = await store.take_over("s")
        assert (await store.load("s")).state.chunk == 0
        for number in range(2):
            await store.commit("s", epoch, chunk(number, last_event_id=number + 5))
        assert await store.take_over("s") == epoch + 1
        world = await store.load("s")
        assert (world.state.chunk, world.next_frame_id, world.controls.last_event_id) == (2, 97, 6)
        assert world.state.past is not None and (world.state.past == 1).all()
        assert world.state.keyboard.shape == (16, 6) and world.state.poses.shape == (97, 5)
        assert (world.spec.token_hash, world.spec.prompt) == (spec().token_hash, "a place")
        assert await store.last_event_id("s") == 6

    run(scene)


def test_a_replaced_owner_can_commit_and_follow_nothing() -> None:
    async def scene(store: StoreActor) -> None:
        old = await store.take_over("s")
        follower = asyncio.ensure_future(store.chunk("s", old, 0, 0))
        await asyncio.sleep(0)
        new = await store.take_over("s")
        with pytest.raises(StaleEpoch):
            await follower
        with pytest.raises(StaleEpoch):
            await store.commit("s", old, chunk(0))
        await store.commit("s", new, chunk(0))

    run(scene)


def test_a_follower_wakes_when_its_chunk_is_committed() -> None:
    async def scene(store: StoreActor) -> None:
        epoch = await store.take_over("s")
        follower = asyncio.ensure_future(store.chunk("s", epoch, 0, 0))
        await asyncio.sleep(0)
        await store.commit("s", epoch, chunk(0))
        found = await follower
        assert found is not None and found.record.chunk == 0 and found.commit_s > 0

    run(scene)


def test_frames_are_found_in_their_chunks() -> None:
    async def scene(store: StoreActor) -> None:
        epoch = await store.take_over("s")
        for number in range(3):
            await store.commit("s", epoch, chunk(number))
        places = [await store.place_of_frame("s", frame) for frame in (0, 56, 57, 100, 136, 137)]
        assert places == [(0, 0, 0), (0, 0, 56), (0, 1, 0), (0, 2, 3), (0, 2, 39), (0, 3, 0)]

    run(scene)


def test_a_rewound_world_goes_on_in_a_new_branch_with_ids_that_never_go_back() -> None:
    async def scene(store: StoreActor) -> None:
        epoch = await store.take_over("s")
        for number in range(3):
            await store.commit("s", epoch, chunk(number, last_event_id=number))
        old = asyncio.ensure_future(store.chunk("s", epoch, 0, 3))
        await asyncio.sleep(0)
        held = ControlState(last_event_id=7, held=Held(keys=(True, False, False, False)))
        for _ in range(2):
            world = await store.rewind("s", epoch, Rewind(event_id=7, chunk=1), held)
            assert (world.state.branch, world.state.chunk, world.next_frame_id) == (1, 1, 137)
            assert (world.controls.held, world.controls.last_event_id) == (held.held, 7)
            assert world.turned == BranchNote(branch=1, parent=0, chunk=1, next_frame_id=137)
        assert (await store.load("s")).controls.held == held.held and world.prompt == "a place"
        await store.commit("s", epoch, replace(chunk(1), branch=1, first_frame_id=137))
        assert (await store.load("s")).turned is None
        assert await store.place_of_frame("s", 137) == (1, 1, 0)
        found = await store.chunk("s", epoch, 1, 1)
        assert found is not None and found.record.branch == 1
        assert await old is None
        with pytest.raises(InputError, match="cut at 9"):
            await store.rewind("s", epoch, Rewind(event_id=8, chunk=9), held)

    run(scene)


def test_a_deleted_world_is_unknown_to_all_who_wait_for_it() -> None:
    async def scene(store: StoreActor) -> None:
        epoch = await store.take_over("s")
        follower = asyncio.ensure_future(store.chunk("s", epoch, 0, 0))
        await asyncio.sleep(0)
        assert [record.epoch for record in await store.sessions()] == [epoch]
        await store.delete("s")
        await store.delete("s")
        with pytest.raises(SessionUnknown):
            await follower
        assert await store.sessions() == []

    run(scene)
