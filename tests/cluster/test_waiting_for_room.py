"""No room in the store or in a group: who waits is told where in line, and hears an error in the end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import pytest
from worldloom.cluster.chunk_maker import ChunkMaker
from worldloom.cluster.config import ClusterConfig
from worldloom.cluster.engine import ChunkJob, ChunkResult
from worldloom.cluster.line import FORGET_S, Line
from worldloom.cluster.messages import Phase, Progress, SavedWorld, SessionSpec
from worldloom.cluster.mock import MockEngine
from worldloom.cluster.placement import Placement
from worldloom.cluster.store import StoreActor
from worldloom.errors import Overloaded, StaleEpoch, WorkerLost, WorldloomError
from worldloom.memory.archive import unpack_world
from worldloom.model.preset import load_preset

PRESET = load_preset("mock")
IMAGE = np.zeros((PRESET.video.height, PRESET.video.width, 3), np.uint8)
WORLDS = ("a", "b", "c")


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_line_goes_in_order_and_forgets_who_stops_asking() -> None:
    clock = Clock()
    line = Line(clock=clock)
    assert line.may_go("a") and len(line) == 0
    assert [line.ask(name) for name in "abcb"] == [1, 2, 3, 2]
    assert line.may_go("a") and not line.may_go("b") and not line.may_go("new")
    line.leave("a")
    assert line.may_go("b") and line.ask("c") == 2
    clock.now += FORGET_S
    assert line.ask("c") == 2
    clock.now += 0.1
    assert line.ask("c") == 1 and len(line) == 1


@dataclass
class Players:
    """Remembers what players were told."""

    told: list[tuple[Phase, int]] = field(default_factory=list)

    async def report(self, session: str, progress: Progress) -> None:
        self.told.append((progress.phase, progress.queue_position))

    async def refuse(self, session: str, event_id: int, error: WorldloomError) -> None: ...

    def known_home(self, session: str) -> str:
        return ""


@dataclass
class Ranks:
    """The mock engine, which counts."""

    engine: MockEngine = field(default_factory=lambda: MockEngine(PRESET))
    steps: int = 0

    async def step(self, job: ChunkJob, *, gateway: str) -> ChunkResult:
        self.steps += 1
        return self.engine.step(job)


@dataclass
class Game:
    """One session as its worker group plays it."""

    store: StoreActor
    session: str
    epoch: int
    world: SavedWorld
    queue_s: float = 30.0
    players: Players = field(default_factory=Players)
    ranks: Ranks = field(default_factory=Ranks)

    async def make_chunk(self) -> None:
        maker = ChunkMaker(
            self.session, self.epoch, config=ClusterConfig(preset=PRESET, queue_s=self.queue_s), ranks=self.ranks,
            turn=asyncio.Lock(), worlds=self.store, players=self.players, on_branch=self.branched,
        )  # fmt: skip
        self.world = await maker.make_chunk(self.world, ())

    async def branched(self, world: SavedWorld) -> None: ...


def spec(session: str) -> SessionSpec:
    return SessionSpec(
        session=session, preset="mock", image=IMAGE, prompt="", seed=1, viewpoint="first_person", token_hash="t",
        created_at=1.0,
    )  # fmt: skip


async def begin(store: StoreActor, session: str) -> Game:
    await store.create(spec(session))
    epoch = await store.take_over(session)
    return Game(store, session, epoch, await store.load(session))


async def full_store() -> tuple[StoreActor, list[Game]]:
    """Three worlds with one chunk each, and no room for another."""
    sizes = StoreActor(ClusterConfig(preset=PRESET))
    await (await begin(sizes, "one")).make_chunk()
    world = unpack_world(await sizes.export_world("one"))
    each = world.header.image.nbytes + sum(array.nbytes for record in world.records() for array in record.arrays())
    store = StoreActor(ClusterConfig(preset=PRESET, store_bytes=len(WORLDS) * each))
    games = [await begin(store, session) for session in WORLDS]
    for game in games:
        await game.make_chunk()
    return store, games


def test_worlds_wait_in_line_for_room_in_the_store_and_go_on_without_making_their_chunk_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worldloom.cluster.chunk_maker.ASK_AGAIN_S", 0.01)

    async def scene() -> None:
        store, (first, second, third) = await full_store()
        waiting = []
        for game in (second, first):
            waiting.append(asyncio.ensure_future(game.make_chunk()))
            while game.players.told[-1][0] is not Phase.QUEUED:
                await asyncio.sleep(0)
        with pytest.raises(Overloaded, match="2 worlds wait"):
            await store.create(spec("new"))
        await store.delete(third.session)
        await asyncio.gather(*waiting)
        assert second.players.told[-3:] == [(Phase.PLAYING, 0), (Phase.QUEUED, 1), (Phase.PLAYING, 0)]
        assert (Phase.QUEUED, 2) in first.players.told and first.ranks.steps == second.ranks.steps == 2
        await store.delete(first.session)
        await store.create(spec("new"))

    asyncio.run(scene())


def test_a_world_that_finds_no_room_for_too_long_gets_a_retryable_error_and_holds_nobody_up() -> None:
    async def scene() -> None:
        store, (first, second, _) = await full_store()
        first.queue_s = 0.0
        with pytest.raises(Overloaded, match="memory store is full") as caught:
            await first.make_chunk()
        assert caught.value.retryable and caught.value.hint
        await store.delete(first.session)
        await second.make_chunk()

    asyncio.run(scene())


def test_an_owner_that_has_been_replaced_does_not_wait() -> None:
    async def scene() -> None:
        store, (first, second, _) = await full_store()
        first.queue_s = second.queue_s = 0.0
        for game in (first, second):
            with pytest.raises(Overloaded):
                await game.make_chunk()
        await store.take_over(second.session)
        with pytest.raises(StaleEpoch):
            await second.make_chunk()

    asyncio.run(scene())


def test_a_session_that_no_group_has_room_for_waits_in_line_and_is_given_up_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worldloom.cluster.placement.PLACE_AGAIN_S", 0.001)
    calls = count()
    places = iter([3, 2, 1])
    failed: list[WorldloomError] = []

    async def scene() -> None:
        async def play(session: str) -> None:
            if next(calls) == 0:
                placement.claimed()
                raise WorkerLost("the group is gone")
            raise Overloaded("full")

        placement = Placement(
            "s", play, queue_s=0.2, on_lost=lambda session, has_died: True, on_full=lambda session: next(places, 1),
            on_failed=lambda session, error: failed.append(error),
        )  # fmt: skip
        await placement.start()
        while not failed:
            await asyncio.sleep(0.01)
        placement.stop()

    asyncio.run(scene())
    assert [(type(error), error.retryable) for error in failed] == [(Overloaded, True)]
    # It asks a group again only when nobody is before it.
    assert next(places, None) is None and next(calls) > 2


def test_a_new_session_that_no_group_has_room_for_is_refused_at_once() -> None:
    async def play(session: str) -> None:
        raise Overloaded("full")

    async def scene() -> None:
        placement = Placement(
            "s", play, queue_s=9, on_lost=lambda session, has_died: True, on_full=lambda session: 1,
            on_failed=lambda session, error: None,
        )  # fmt: skip
        with pytest.raises(Overloaded):
            await placement.start()

    asyncio.run(scene())
