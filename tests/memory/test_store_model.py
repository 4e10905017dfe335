"""The store against a model of a few lines, over random sequences of verbs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from worldloom.errors import CommitConflict, InputError, SessionUnknown, StaleEpoch
from worldloom.memory.records import ChunkRecord, same_content
from worldloom.memory.store import Store, StoreConfig

from .worlds import header_of, record_of

SESSIONS = ("a", "b", "c")
sessions = st.sampled_from(SESSIONS)


@dataclass
class Model:
    """A world as lists: branch → the contents of its chunks."""

    epoch: int
    branches: dict[int, list[ChunkRecord]] = field(default_factory=lambda: {0: []})
    next_frame_id: int = 0

    @property
    def head(self) -> int:
        return max(self.branches)


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.store = Store(StoreConfig(budget_bytes=10**9))
        self.models: dict[str, Model] = {}
        self.exports: list[tuple[bytes, Model]] = []
        self.keys = 0

    @rule(session=sessions, epoch=st.integers(0, 4))
    def open(self, session: str, epoch: int) -> None:
        model = self.models.get(session)
        if model and epoch < model.epoch:
            with pytest.raises(StaleEpoch):
                self.store.open(session, epoch)
            return
        if model:
            model.epoch = epoch
            self.store.open(session, epoch)
        else:
            with pytest.raises(SessionUnknown):
                self.store.open(session, epoch)
            self.store.open(session, epoch, header=header_of(session))
            self.models[session] = Model(epoch)

    @precondition(lambda self: self.models)
    @rule(data=st.data(), content=st.integers(0, 1), skip=st.sampled_from([0, 0, 0, 1]), stale=st.booleans())
    def commit(self, data: st.DataObject, content: int, skip: int, stale: bool) -> None:
        session, model = self.pick(data)
        chunks = model.branches[model.head]
        record = record_of(len(chunks) + skip, branch=model.head, content=content, first_frame_id=model.next_frame_id)
        if stale:
            with pytest.raises(StaleEpoch):
                self.store.commit(session, model.epoch - 1, record)
        elif skip:
            with pytest.raises(CommitConflict):
                self.store.commit(session, model.epoch, record)
        else:
            receipt = self.store.commit(session, model.epoch, record)
            model.next_frame_id += record.num_frames
            chunks.append(record)
            assert (receipt.branch, receipt.chunk) == (model.head, len(chunks) - 1)
            assert receipt.next_frame_id == model.next_frame_id

    @precondition(lambda self: self.models)
    @rule(data=st.data(), same=st.booleans())
    def commit_again(self, data: st.DataObject, same: bool) -> None:
        session, model = self.pick(data)
        branch = data.draw(st.sampled_from(sorted(model.branches)))
        own = [record for record in model.branches[branch] if record.branch == branch]
        for old in own[-1:]:
            if same:
                self.store.commit(session, model.epoch, old)
            else:
                other = record_of(old.chunk, branch=branch, content=2, first_frame_id=old.first_frame_id)
                with pytest.raises(CommitConflict):
                    self.store.commit(session, model.epoch, other)

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def rewind(self, data: st.DataObject) -> None:
        session, model = self.pick(data)
        branch = data.draw(st.sampled_from(sorted(model.branches)))
        chunks = model.branches[branch]
        chunk = data.draw(st.integers(0, len(chunks) + 1))
        if chunk > len(chunks):
            with pytest.raises(InputError):
                self.store.rewind(session, model.epoch, chunk, branch=branch)
            return
        self.keys += 1
        after = self.store.rewind(session, model.epoch, chunk, branch=branch, key=self.keys, extra=b"held")
        model.branches[model.head + 1] = chunks[:chunk]
        assert (after.branch, after.chunk, after.opening_extra) == (model.head, chunk, b"held")
        again = self.store.rewind(session, model.epoch, chunk, branch=branch, key=self.keys)
        assert (again.branch, again.chunk, again.last_event_id) == (model.head, chunk, self.keys)

    @precondition(lambda self: self.models)
    @rule(data=st.data(), new=sessions)
    def fork(self, data: st.DataObject, new: str) -> None:
        session, model = self.pick(data)
        branch = data.draw(st.sampled_from(sorted(model.branches)))
        chunk = data.draw(st.integers(0, len(model.branches[branch])))
        if new in self.models:
            with pytest.raises(CommitConflict):
                self.store.fork(session, new, created_at=1e9, branch=branch, chunk=chunk)
            return
        self.store.fork(session, new, created_at=1e9, branch=branch, chunk=chunk)
        shared = [relabelled(record, branch) for record in model.branches[branch][:chunk]]
        next_frame_id = shared[-1].next_frame_id if shared else 0
        self.models[new] = Model(0, {branch: shared}, next_frame_id)

    @precondition(lambda self: self.models)
    @rule(data=st.data())
    def export(self, data: st.DataObject) -> None:
        session, model = self.pick(data)
        kept = {branch: list(chunks) for branch, chunks in model.branches.items()}
        self.exports.append((self.store.export_world(session), Model(0, kept, model.next_frame_id)))

    @precondition(lambda self: self.exports)
    @rule(data=st.data(), session=sessions)
    def import_(self, data: st.DataObject, session: str) -> None:
        blob, model = data.draw(st.sampled_from(self.exports))
        if session in self.models:
            with pytest.raises(CommitConflict):
                self.store.import_world(blob, session=session)
            return
        self.store.import_world(blob, session=session)
        kept = {branch: list(chunks) for branch, chunks in model.branches.items()}
        self.models[session] = Model(0, kept, model.next_frame_id)

    @rule(session=sessions)
    def delete(self, session: str) -> None:
        assert self.store.delete(session) == (session in self.models)
        self.models.pop(session, None)

    @invariant()
    def every_world_is_as_in_the_model(self) -> None:
        summaries = {world.header.session: world for world in self.store.worlds()}
        assert summaries.keys() == self.models.keys()
        for session, model in self.models.items():
            summary = summaries[session]
            assert (summary.epoch, summary.branch, summary.chunk, summary.next_frame_id) == (
                model.epoch,
                model.head,
                len(model.branches[model.head]),
                model.next_frame_id,
            )
            for branch, chunks in model.branches.items():
                read = self.store.read(session, branch, 0, 100)
                assert len(read) == len(chunks) and all(map(same_content, read, chunks))
                poses = np.concatenate([np.zeros((0, 5)), *(record.poses for record in chunks)])
                np.testing.assert_array_equal(self.store.snapshot(session, branch).poses, poses)

    @invariant()
    def bytes_are_counted_once(self) -> None:
        arrays = {
            id(array): array.nbytes
            for session, model in self.models.items()
            for branch in model.branches
            for record in self.store.read(session, branch, 0, 100)
            for array in record.arrays()
        }
        images = {id(world.header.image): world.header.image.nbytes for world in self.store.worlds()}
        assert self.store.bytes_used == sum(arrays.values()) + sum(images.values())

    def pick(self, data: st.DataObject) -> tuple[str, Model]:
        session = data.draw(st.sampled_from(sorted(self.models)))
        return session, self.models[session]


def relabelled(record: ChunkRecord, branch: int) -> ChunkRecord:
    """The record as a fork keeps it, under its only branch's number."""
    return replace(record, branch=branch, drawn_in=None if record.noise_branch == branch else record.noise_branch)


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
