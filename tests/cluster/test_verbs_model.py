"""Random verbs against a model of a few lines: store actor, chunk maker and mock engine as in the service, without Ray.

Owners die between any two steps, and events may or may not be sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from worldloom.cluster.chunk_maker import ChunkMaker
from worldloom.cluster.config import ClusterConfig
from worldloom.cluster.engine import ChunkJob, ChunkResult
from worldloom.cluster.events import NO_KEYS, NOTHING_HELD, Controls, Event, Keys, Rewind
from worldloom.cluster.messages import BranchNote, CopyKind, Progress, SavedWorld, SessionCopy, SessionSpec
from worldloom.cluster.mock import MockDecoder, MockEngine
from worldloom.cluster.replay import replay
from worldloom.cluster.store import StoreActor
from worldloom.errors import InputError, SessionUnknown, StaleEpoch, WorkerLost, WorldloomError
from worldloom.memory.archive import unpack_world
from worldloom.model.clip import MemoryView
from worldloom.model.preset import load_preset

PRESET = load_preset("mock")
CONFIG = ClusterConfig(preset=PRESET, snapshots_per_session=2)
IMAGE = np.zeros((PRESET.video.height, PRESET.video.width, 3), np.uint8)
MAX_CHUNKS = 4
MAX_SESSIONS = 3
Result = TypeVar("Result")
keys = st.tuples(*[st.booleans()] * 4)


@dataclass(frozen=True)
class Made:
    """A chunk, as the model knows it."""

    keys: Keys
    prompt: str
    first_frame_id: int

    @property
    def next_frame_id(self) -> int:
        return self.first_frame_id + (57 if self.is_first else 40)

    is_first: bool = False


@dataclass
class Model:
    """A world: branches as lists, each with the chunks that it began with and the prompt that came into force there."""

    branches: dict[int, tuple[Made, ...]]
    openings: dict[int, tuple[int, str | None]]
    held: Keys = NO_KEYS
    next_prompt: str | None = None
    """Taken with a rewind, and in force with the next chunk."""
    next_frame_id: int = 0
    last_event_id: int = 0

    @property
    def head(self) -> int:
        return max(self.branches)

    def prompt_at(self, branch: int, chunk: int) -> str:
        begun, prompt = self.openings[branch]
        if chunk == begun and prompt is not None:
            return prompt
        return self.branches[branch][chunk - 1].prompt if chunk else "start"

    def opened_at(self, branch: int, chunk: int) -> tuple[int, str | None]:
        begun, prompt = self.openings[branch]
        return chunk, prompt if chunk == begun else None

    def cut(self, branch: int | None, chunk: int | None, prompt: str | None = None) -> Model:
        """A world of the first chunks of one branch."""
        number = self.head if branch is None else branch
        kept = self.branches[number][:chunk]
        count, inherited = self.opened_at(number, len(kept))
        next_frame_id = kept[-1].next_frame_id if kept else 0
        return Model({number: kept}, {number: (count, prompt or inherited)}, next_frame_id=next_frame_id)

    def copy(self) -> Model:
        """As a file keeps it."""
        return Model(dict(self.branches), dict(self.openings), next_frame_id=self.next_frame_id)


@dataclass
class Ranks:
    """The mock engine, which may die."""

    engine: MockEngine = field(default_factory=lambda: MockEngine(PRESET))
    dies: bool = False

    async def step(self, job: ChunkJob, *, gateway: str) -> ChunkResult:
        if self.dies:
            raise WorkerLost("a rank died")
        return self.engine.step(job)


@dataclass
class Players:
    """Remembers what players were told."""

    refused: list[int] = field(default_factory=list)
    notes: list[BranchNote] = field(default_factory=list)

    async def report(self, session: str, progress: Progress) -> None: ...

    async def refuse(self, session: str, event_id: int, error: WorldloomError) -> None:
        self.refused.append(event_id)

    def known_home(self, session: str) -> str:
        return ""

    async def branched(self, world: SavedWorld) -> None:
        assert world.turned is not None
        self.notes.append(world.turned)


@dataclass
class Twice:
    """A store whose every answer is lost once, so that it is asked again."""

    store: StoreActor

    async def rewind(self, *asked: Any) -> SavedWorld:
        await self.store.rewind(*asked)
        return await self.store.rewind(*asked)

    async def retrieve(self, *asked: Any) -> MemoryView:
        return await self.store.retrieve(*asked)

    async def commit(self, *asked: Any) -> int:
        await self.store.commit(*asked)
        return await self.store.commit(*asked)


class VerbMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store = self.run(self._new_store())
        self.models: dict[str, Model] = {}
        self.snapshots: dict[str, tuple[str, Model]] = {}
        self.files: list[tuple[bytes, Model]] = []
        self.epochs: dict[str, int] = {}
        self.count = 0

    async def _new_store(self) -> StoreActor:
        return StoreActor(CONFIG)

    def run(self, job: Coroutine[Any, Any, Result]) -> Result:
        return self.loop.run_until_complete(job)

    def teardown(self) -> None:
        for session in self.models:
            world = unpack_world(self.run(self.store.export_world(session)))
            assert all(chunk.is_equal for chunk in replay(world, MockEngine(PRESET), MockDecoder(PRESET)))
        self.loop.close()

    def new_id(self) -> str:
        self.count += 1
        return f"id{self.count}"

    def pick(self, data: st.DataObject) -> tuple[str, Model]:
        session = data.draw(st.sampled_from(sorted(self.models)), "session")
        return session, self.models[session]

    @precondition(lambda self: len(self.models) < MAX_SESSIONS)
    @rule()
    def create(self) -> None:
        session = self.new_id()
        spec = SessionSpec(
            session=session, preset="mock", image=IMAGE, prompt="start", seed=self.count, viewpoint="first_person",
            token_hash="t", created_at=1.0, origin=(5.0, 6.0, 7.0, 8.0, 90.0),
        )  # fmt: skip
        for _ in range(2):
            record = self.run(self.store.create(spec))
        assert (record.session, record.epoch) == (session, 0)
        self.models[session] = Model({0: ()}, {0: (0, None)})

    @precondition(lambda self: self.models)
    @rule(
        data=st.data(),
        held=st.none() | keys,
        prompt=st.sampled_from([None, None, "night", "snow"]),
        turns=st.lists(st.tuples(st.integers(0, MAX_CHUNKS), st.booleans()), max_size=2),
        dies=st.booleans(),
        resends=st.booleans(),
    )
    def play(
        self,
        data: st.DataObject,
        held: Keys | None,
        prompt: str | None,
        turns: list[tuple[int, bool]],
        dies: bool,
        resends: bool,
    ) -> None:
        """A player's events and the chunk that they make, by a new owner each time; the first may die in it."""
        session, model = self.pick(data)
        if len(model.branches[model.head]) >= MAX_CHUNKS:
            turns = [*turns, (0, False)]
        events = self._events(model, held, prompt, turns, data)
        if dies:
            taken = self._make(session, events, dies=True)
            assert taken is None
            if not resends:
                # Only what was durably taken with a rewind counts.
                made_turns = [
                    event for event in events if isinstance(event, Rewind) and self._is_possible(model, event)
                ]
                upto = made_turns[-1].event_id if made_turns else 0
                self._obey(model, tuple(event for event in events if event.event_id <= upto))
                return
        refused = self._obey(model, events)
        place = (model.head, len(model.branches[model.head]))
        world = self._make(session, events, dies=False)
        assert world is not None
        _, players = self.last
        assert set(refused) >= set(players.refused)
        prompt_now = model.next_prompt or model.prompt_at(*place)
        made = Made(model.held, prompt_now, model.next_frame_id, is_first=place[1] == 0)
        model.next_prompt = None
        model.branches[model.head] += (made,)
        model.next_frame_id = made.next_frame_id
        assert (world.state.branch, world.state.chunk - 1) == place

    def _events(
        self, model: Model, held: Keys | None, prompt: str | None, turns: list[tuple[int, bool]], data: st.DataObject
    ) -> tuple[Event, ...]:
        number = model.last_event_id
        events: list[Event] = []
        if held is not None or prompt is not None:
            events.append(Controls(event_id=number + 1, keys=held, prompt=prompt))
        for chunk, is_older in turns:
            branch = data.draw(st.sampled_from([*model.branches, 99]), "branch") if is_older else None
            events.append(Rewind(event_id=number + 1 + len(events), chunk=chunk, branch=branch))
        model.last_event_id += len(events)
        return tuple(events)

    def _is_possible(self, model: Model, rewind: Rewind) -> bool:
        branch = model.head if rewind.branch is None else rewind.branch
        return rewind.chunk <= len(model.branches.get(branch, ())) and branch in model.branches

    def _obey(self, model: Model, events: tuple[Event, ...]) -> list[int]:
        """What the events do to the world but for the chunk that follows. Returns the rewinds that are refused."""
        refused = []
        for event in events:
            if isinstance(event, Controls):
                model.held = event.keys or model.held
                model.next_prompt = event.prompt or model.next_prompt
            elif isinstance(event, Rewind) and self._is_possible(model, event):
                parent = model.head if event.branch is None else event.branch
                number = model.head + 1
                model.openings[number] = model.opened_at(parent, event.chunk)
                model.branches[number] = model.branches[parent][: event.chunk]
            else:
                refused.append(event.event_id)
        return refused

    def _make(self, session: str, events: tuple[Event, ...], *, dies: bool) -> SavedWorld | None:
        async def own() -> SavedWorld | None:
            epoch = await self.store.take_over(session)
            world = await self.store.load(session)
            ranks, players = Ranks(dies=dies), Players()
            self.last = ranks, players
            maker = ChunkMaker(
                session, epoch, config=CONFIG, ranks=ranks, turn=asyncio.Lock(),
                worlds=Twice(self.store), players=players, on_branch=players.branched,
            )  # fmt: skip
            try:
                return await maker.make_chunk(world, events)
            except WorkerLost:
                return None
            finally:
                self.epochs[session] = epoch

        return self.run(own())

    @precondition(lambda self: self.epochs)
    @rule(data=st.data())
    def a_replaced_owner_does_nothing(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(sorted(self.epochs)), "session")
        if session in self.models:
            self.run(self.store.take_over(session))
            with pytest.raises(StaleEpoch):
                self.run(self.store.rewind(session, self.epochs[session], Rewind(event_id=10**6), NOTHING_HELD))

    def _place(self, model: Model, data: st.DataObject) -> tuple[int | None, int | None, bool]:
        """A branch, a chunk, and whether there is such a place."""
        branch = data.draw(st.none() | st.sampled_from([*model.branches, 99]), "branch")
        chunk = data.draw(st.none() | st.integers(0, MAX_CHUNKS), "chunk")
        chunks = model.branches.get(model.head if branch is None else branch)
        return branch, chunk, chunks is not None and (chunk or 0) <= len(chunks)

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def take_snapshot(self, data: st.DataObject) -> None:
        session, model = self.pick(data)
        branch, chunk, is_there = self._place(model, data)
        snapshot = self.new_id()
        taken = sum(source == session for source, _ in self.snapshots.values())
        if not is_there or taken >= CONFIG.snapshots_per_session:
            with pytest.raises(WorldloomError):
                self.run(self.store.take_snapshot(session, snapshot, 1.0, branch, chunk))
            return
        for _ in range(2):
            place = self.run(self.store.take_snapshot(session, snapshot, 1.0, branch, chunk))
        kept = model.cut(branch, chunk)
        assert (place.branch, place.chunk) == (kept.head, len(kept.branches[kept.head]))
        self.snapshots[snapshot] = session, kept

    @precondition(lambda self: len(self.models) < MAX_SESSIONS and self.snapshots)
    @rule(data=st.data(), prompt=st.sampled_from([None, "rain"]))
    def start_from_a_snapshot(self, data: st.DataObject, prompt: str | None) -> None:
        snapshot = data.draw(st.sampled_from(sorted(self.snapshots)), "snapshot")
        model = self.snapshots[snapshot][1].cut(None, None, prompt)
        self._begin(CopyKind.SNAPSHOT, snapshot, model, prompt=prompt)
        with pytest.raises(SessionUnknown):
            self._copy(CopyKind.SESSION, snapshot)

    @precondition(lambda self: self.models and len(self.models) < MAX_SESSIONS)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        session, model = self.pick(data)
        branch, chunk, is_there = self._place(model, data)
        if is_there:
            self._begin(CopyKind.SESSION, session, model.cut(branch, chunk), branch=branch, chunk=chunk)
        else:
            with pytest.raises(InputError):
                self._copy(CopyKind.SESSION, session, branch=branch, chunk=chunk)
        with pytest.raises(SessionUnknown):
            self._copy(CopyKind.SNAPSHOT, session)

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def export(self, data: st.DataObject) -> None:
        session, model = self.pick(data)
        self.files.append((self.run(self.store.export_world(session)), model.copy()))

    @precondition(lambda self: self.files and len(self.models) < MAX_SESSIONS)
    @rule(data=st.data())
    def import_(self, data: st.DataObject) -> None:
        blob, model = data.draw(st.sampled_from(self.files), "file")
        staged = self.new_id()
        for _ in range(2):
            self.run(self.store.import_world(staged, blob, 1.0))
        self._begin(CopyKind.IMPORT, staged, model.copy())
        with pytest.raises(SessionUnknown):
            self._copy(CopyKind.IMPORT, staged)

    def _copy(self, kind: CopyKind, source: str, **more: Any) -> str:
        session = self.new_id()
        copy = SessionCopy(session=session, kind=kind, source=source, token_hash="t", created_at=1.0, **more)
        self.run(self.store.create(copy))
        self.run(self.store.create(copy))
        return session

    def _begin(self, kind: CopyKind, source: str, model: Model, **more: Any) -> None:
        session = self._copy(kind, source, **more)
        world = self.run(self.store.load(session))
        controls = world.controls
        assert (controls.held, controls.waiting, controls.scripts) == (NOTHING_HELD.held, (), ())
        assert (world.spec.first_frame_id, world.spec.origin) == (model.next_frame_id, (5.0, 6.0, 7.0, 8.0, 90.0))
        model.last_event_id = controls.last_event_id
        self.models[session] = model

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        session, _ = self.pick(data)
        self.run(self.store.drop_snapshot(session))
        self.run(self.store.delete(session))
        self.run(self.store.delete(session))
        del self.models[session]

    @precondition(lambda self: self.snapshots)
    @rule(data=st.data())
    def drop_snapshot(self, data: st.DataObject) -> None:
        snapshot = data.draw(st.sampled_from(sorted(self.snapshots)), "snapshot")
        for _ in range(2):
            self.run(self.store.drop_snapshot(snapshot))
        del self.snapshots[snapshot]

    @invariant()
    def every_world_is_as_in_the_model(self) -> None:
        assert {record.session for record in self.run(self.store.sessions())} == self.models.keys()
        for session, model in self.models.items():
            world = self.run(self.store.load(session))
            place = self.run(self.store.place(session))
            head = model.branches[model.head]
            assert (world.state.branch, world.state.chunk, world.next_frame_id) == (
                model.head, len(head), model.next_frame_id,
            )  # fmt: skip
            assert (place.branch, place.chunk, place.next_frame_id) == (model.head, len(head), model.next_frame_id)
            assert world.controls.held.keys == model.held
            assert world.prompt == model.prompt_at(model.head, len(head))
            epoch = self.run(self.store.take_over(session))
            for branch, chunks in model.branches.items():
                self._check_branch(session, epoch, branch, chunks)

    def _check_branch(self, session: str, epoch: int, branch: int, chunks: tuple[Made, ...]) -> None:
        for number, made in enumerate(chunks):
            found = self.run(self.store.chunk(session, epoch, branch, number))
            assert found is not None
            record = found.record
            assert (record.chunk, record.first_frame_id, record.prompt) == (number, made.first_frame_id, made.prompt)
            assert record.next_frame_id == made.next_frame_id
            assert tuple(record.keyboard[0, :4] > 0) == tuple(record.keyboard[-1, :4] > 0) == made.keys


TestVerbs = VerbMachine.TestCase
TestVerbs.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
