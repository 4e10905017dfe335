"""Chunks that end the groups that make them: the guilty session ends after a few, and no other one does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from worldloom.cluster import directory as directory_module
from worldloom.cluster import placement as placement_module
from worldloom.cluster.attendance import Claim
from worldloom.cluster.config import ClusterConfig
from worldloom.cluster.directory import Directory
from worldloom.cluster.losses import MAX_LOSSES, Losses
from worldloom.cluster.messages import GroupBeat, Phase, SessionSpec
from worldloom.cluster.store import StoreActor
from worldloom.errors import ChunkFailed, RanksLost, SessionEnded, WorkerLost
from worldloom.model.preset import load_preset

CONFIG = ClusterConfig(preset=load_preset("mock"), beat_s=0.01, sessions_per_group=4)
IMAGE = np.zeros((CONFIG.preset.video.height, CONFIG.preset.video.width, 3), np.uint8)
PLACE = (0, 0)


class Gateways:
    """One, which remembers what it is told."""

    def __init__(self, config: ClusterConfig) -> None:
        self.told: list[tuple[Any, ...]] = []

    def __getitem__(self, name: str) -> Gateways:
        return self

    async def call(self, *said: Any) -> None:
        self.told.append(said)


class Group:
    """Makes chunks of several sessions at a time. A poisoned one takes all of them with it, as soon as it can."""

    def __init__(self, directory: Directory, poisoned: set[str]) -> None:
        self.directory = directory
        self.poisoned = poisoned
        self.error: Exception = RanksLost("a rank has died")
        self.tries: dict[str, int] = {}
        self.made: set[str] = set()
        self.works = asyncio.Event()
        self._in_flight: set[asyncio.Future[None]] = set()

    async def play(self, app: str, session: str) -> None:
        epoch = await self.directory.claim(session, "g")
        is_suspect = await self.directory.begin(session, epoch, PLACE)
        self.tries[session] = self.tries.get(session, 0) + 1
        await self.works.wait()
        chunk = asyncio.get_running_loop().create_future()
        self._in_flight.add(chunk)
        takes_s = 0.001 if session in self.poisoned else 0.02
        asyncio.get_running_loop().call_later(takes_s, self._finish, session, chunk)
        await chunk
        if is_suspect:
            await self.directory.passed(session, epoch)
        self.made.add(session)
        await asyncio.Event().wait()

    def _finish(self, session: str, chunk: asyncio.Future[None]) -> None:
        if session in self.poisoned:
            lost, self._in_flight = self._in_flight, set()
            for one in lost:
                if not one.done():
                    one.set_exception(self.error)
        elif not chunk.done():
            self._in_flight.discard(chunk)
            chunk.set_result(None)


@asynccontextmanager
async def service(monkeypatch: pytest.MonkeyPatch, *poisoned: str) -> AsyncIterator[tuple[Directory, Group]]:
    """A directory with a group, in this process."""
    store = StoreActor(CONFIG)
    monkeypatch.setattr(directory_module, "StoreClient", lambda config: store)
    monkeypatch.setattr(directory_module, "Gateways", Gateways)
    monkeypatch.setattr(placement_module, "PLACE_AGAIN_S", 0.001)
    directory = Directory(CONFIG)
    group = Group(directory, set(poisoned))
    monkeypatch.setattr(directory_module, "play_on_some_group", group.play)
    await directory.beat(GroupBeat(group="g", capacity=4, epochs={}))
    await directory._gateways_known()
    yield directory, group
    directory._watch.cancel()


async def create(directory: Directory, *sessions: str) -> None:
    for session in sessions:
        spec = SessionSpec(
            session=session, preset="mock", image=IMAGE, prompt="", seed=1, viewpoint="first_person",
            token_hash=session, created_at=1.0, limits=CONFIG.limits,
        )  # fmt: skip
        await directory.create(spec)


async def until_ended(directory: Directory, session: str) -> None:
    async with asyncio.timeout(10):
        while (await directory.describe(session)).phase is not Phase.ENDED:
            await asyncio.sleep(0.001)


def test_a_session_that_ends_its_group_each_time_is_over_after_three_and_its_world_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        async with service(monkeypatch, "bad") as (directory, group):
            await create(directory, "bad")
            await directory.attach(Claim(session="bad"), "gateway", "c")
            group.works.set()
            await until_ended(directory, "bad")
            assert group.tries == {"bad": MAX_LOSSES}
            await asyncio.sleep(0.01)
            gateways: Any = directory._gateways
            said, session, error = gateways.told[-1]
            assert (said, session) == ("end_session", "bad") and isinstance(error, ChunkFailed)
            assert (error.code, error.retryable, error.world_lost) == ("chunk_failed", False, False)
            # Nobody plays it any more, it takes nobody's place, and its owner can still have it.
            with pytest.raises(ChunkFailed):
                await directory.attach(Claim(session="bad"), "gateway", "d")
            with pytest.raises(SessionEnded):
                await directory.claim("bad", "late group")
            assert (await directory.health()).sessions == 0
            assert await directory._store.export_world("bad")
            await directory.end("bad", None)
            assert await directory._store.sessions() == []

    asyncio.run(scene())


def test_sessions_that_are_lost_with_a_guilty_one_play_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with service(monkeypatch, "bad") as (directory, group):
            await create(directory, "a", "b", "bad")
            group.works.set()
            await until_ended(directory, "bad")
            async with asyncio.timeout(10):
                while group.made != {"a", "b"}:
                    await asyncio.sleep(0.001)
            assert [(await directory.describe(session)).phase for session in "ab"] == [Phase.PLAYING] * 2
            assert group.tries["bad"] == MAX_LOSSES

    asyncio.run(scene())


def test_a_store_that_stays_away_is_not_the_chunks_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with service(monkeypatch, "unlucky") as (directory, group):
            group.error = WorkerLost("the store has not answered")
            await create(directory, "unlucky")
            group.works.set()
            async with asyncio.timeout(10):
                while group.tries["unlucky"] <= 2 * MAX_LOSSES:
                    await asyncio.sleep(0.001)
            group.poisoned.clear()
            async with asyncio.timeout(10):
                while not group.made:
                    await asyncio.sleep(0.001)

    asyncio.run(scene())


def test_only_what_has_begun_counts_and_another_chunk_counts_anew() -> None:
    async def scene() -> None:
        losses = Losses()
        for chunk in range(2 * MAX_LOSSES):
            await losses.begin("s", (0, chunk), is_owner=lambda: True)
            assert losses.lost("s") is None
            # Its next owner dies before it has begun, or while nothing is played.
            assert losses.lost("s") is None
        for _ in range(MAX_LOSSES - 2):
            await losses.begin("s", (0, chunk), is_owner=lambda: True)
            assert losses.lost("s") is None
        await losses.begin("s", (0, chunk), is_owner=lambda: True)
        assert losses.lost("s") == (0, chunk)

    asyncio.run(scene())


def test_suspects_begin_one_at_a_time_and_a_replaced_owner_does_not_keep_the_turn() -> None:
    async def scene() -> None:
        losses = Losses()
        for session in "ab":
            assert not await losses.begin(session, PLACE, is_owner=lambda: True)
            losses.lost(session)
        assert await losses.begin("a", PLACE, is_owner=lambda: True)
        owns = True
        replaced = asyncio.ensure_future(losses.begin("b", PLACE, is_owner=lambda: owns))
        await asyncio.sleep(0)
        assert not replaced.done()
        owns = False
        losses.passed("a")
        assert not await replaced
        assert await losses.begin("b", PLACE, is_owner=lambda: True)

    asyncio.run(scene())
