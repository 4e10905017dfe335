"""The store's verbs: what they promise, and what they refuse."""

from __future__ import annotations

import dataclasses
import pickle
import threading
from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest
from worldloom.errors import CommitConflict, InputError, Overloaded, SessionUnknown, StaleEpoch
from worldloom.memory.records import ChunkRecord, RetrievedView, same_content
from worldloom.memory.retrieval import select_frames
from worldloom.memory.store import Store, StoreConfig
from worldloom.model.clip import MemoryView

from .worlds import header_of, record_of


def store_of(num_chunks: int = 0, *, budget_bytes: int = 10**9) -> Store:
    """A store with world 'a', opened under epoch 1."""
    store = Store(StoreConfig(budget_bytes=budget_bytes))
    store.open("a", 1, header=header_of("a"))
    for chunk in range(num_chunks):
        store.commit("a", 1, record_of(chunk))
    return store


def all_latents(chunks: tuple[ChunkRecord, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    return np.concatenate([record.latents for record in chunks], axis=1)


def test_a_world_is_opened_committed_to_and_read_back() -> None:
    store = store_of(3)
    read = store.read("a", 0, 0, 10)
    assert [record.chunk for record in read] == [0, 1, 2]
    assert all(same_content(record, record_of(record.chunk)) for record in read)
    assert [record.chunk for record in store.read("a", 0, 1, 2)] == [1]


def test_a_snapshot_holds_all_that_the_next_chunk_depends_on() -> None:
    store = store_of()
    start = store.snapshot("a")
    assert (start.branch, start.chunk, start.poses.shape, start.past) == (0, 0, (0, 5), None)
    assert (start.prompt, start.next_frame_id, start.last_event_id, start.last_extra) == ("a garden", 0, 0, b"")
    records = [record_of(0, events=(3, 4)), record_of(1, content=7, first_frame_id=100)]
    for record in records:
        store.commit("a", 1, record)
    later = store.snapshot("a")
    assert (later.chunk, later.prompt, later.next_frame_id, later.last_event_id) == (2, "prompt 7", 140, 4)
    assert later.last_extra == records[1].extra and later.past is not None
    np.testing.assert_array_equal(later.past, records[1].latents[:, -4:])
    for name in ("poses", "keyboard", "mouse"):
        np.testing.assert_array_equal(
            getattr(later, name), np.concatenate([getattr(record, name) for record in records])
        )


def test_the_same_commit_again_changes_nothing_and_other_content_is_refused() -> None:
    store = store_of(2)
    used = store.bytes_used
    assert store.commit("a", 1, record_of(1)) == store.commit("a", 1, record_of(1))
    assert (store.bytes_used, store.snapshot("a").chunk) == (used, 2)
    with pytest.raises(CommitConflict, match="other content"):
        store.commit("a", 1, record_of(1, content=1))
    with pytest.raises(CommitConflict, match="other content"):
        store.commit("a", 1, record_of(1, dtype=np.float64))
    assert same_content(store.read("a", 0, 1, 2)[0], record_of(1))


def test_a_gap_and_a_frame_id_that_goes_back_are_refused() -> None:
    store = store_of(1)
    for chunk in (2, -1):
        with pytest.raises(CommitConflict, match=rf"chunk {chunk} .* does not come next.* 1 chunks"):
            store.commit("a", 1, dataclasses.replace(record_of(2), chunk=chunk))
    with pytest.raises(CommitConflict, match="frame id 56, but ids below 57"):
        store.commit("a", 1, record_of(1, first_frame_id=56))
    assert store.snapshot("a").chunk == 1


def test_a_writer_that_has_been_replaced_is_refused_everywhere() -> None:
    store = store_of(1)
    store.open("a", 2)
    for write in (
        lambda: store.commit("a", 1, record_of(1)),
        lambda: store.commit("a", 1, record_of(0)),
        lambda: store.rewind("a", 1, 0),
        lambda: store.open("a", 1),
    ):
        with pytest.raises(StaleEpoch, match=r"epoch 1 .* epoch 2"):
            write()
    assert store.commit("a", 2, record_of(1)).next_frame_id == 97


def test_opening_again_gives_where_to_go_on_and_refuses_another_start() -> None:
    store = store_of(1)
    assert store.open("a", 1, header=header_of("a")).chunk == 1
    with pytest.raises(CommitConflict, match="'a'"):
        store.open("a", 2, header=header_of("a", seed=6))
    assert store.commit("a", 1, record_of(1)).chunk == 1, "a refused open does not raise the fence"
    with pytest.raises(ValueError, match="'b'"):
        store.open("a", 2, header=header_of("b"))


@pytest.mark.parametrize(
    "verb",
    [
        lambda store: store.open("x", 1),
        lambda store: store.commit("x", 1, record_of(0)),
        lambda store: store.snapshot("x"),
        lambda store: store.read("x", 0, 0, 1),
        lambda store: store.retrieve("x", 0, np.zeros((5, 5)), 2),
        lambda store: store.rewind("x", 1, 0),
        lambda store: store.fork("x", "y", created_at=0),
        lambda store: store.export_world("x"),
    ],
)
def test_an_unknown_session_is_a_typed_error(verb: Callable[[Store], object]) -> None:
    with pytest.raises(SessionUnknown, match="'x'"):
        verb(store_of(1))


def test_retrieval_returns_the_latents_and_poses_of_the_chosen_frames() -> None:
    store = store_of(4)
    chunks = store.read("a", 0, 0, 4)
    poses = np.concatenate([record.poses for record in chunks])
    queries = poses[[-1, -9, -17, -25, -33]]
    stop = len(poses) - 56
    found = store.retrieve("a", 0, queries, stop)
    expected = select_frames(queries, poses, stop)
    np.testing.assert_array_equal(found.frame_idx, expected.frame_idx)
    np.testing.assert_array_equal(found.overlap, expected.overlap)
    np.testing.assert_array_equal(found.latents, all_latents(chunks)[:, found.latent_idx])
    np.testing.assert_array_equal(found.poses, poses[4 * found.latent_idx])
    assert found.frame_idx[-1] == 4


def test_the_retrieved_view_has_the_fields_of_the_models_memory_view() -> None:
    names = [[field.name for field in dataclasses.fields(view)] for view in (RetrievedView, MemoryView)]
    assert names[0] == names[1]


def test_retrieval_in_a_branch_sees_its_ancestors_and_not_what_they_did_later() -> None:
    store = store_of(3)
    store.rewind("a", 1, 2)
    store.commit("a", 1, record_of(2, branch=1, first_frame_id=137))
    own = store.read("a", 1, 0, 9)
    assert [(record.branch, record.chunk) for record in own] == [(0, 0), (0, 1), (1, 2)]
    poses = np.concatenate([record.poses for record in own])
    for frame in (20, 90, 130):
        found = store.retrieve("a", 1, np.repeat(poses[frame : frame + 1], 2, axis=0), 137)
        assert found.frame_idx_raw[0] == select_frames(poses[[frame, frame]], poses, 137).frame_idx_raw[0]
        np.testing.assert_array_equal(found.latents, all_latents(own)[:, found.latent_idx])


def test_a_rewind_goes_on_in_a_new_branch_and_keeps_the_old_one() -> None:
    store = store_of(3)
    after = store.rewind("a", 1, 1)
    assert (after.branch, after.chunk, len(after.poses), after.next_frame_id) == (1, 1, 57, 137)
    with pytest.raises(CommitConflict, match="goes on in branch 1"):
        store.commit("a", 1, record_of(3, first_frame_id=137))
    store.commit("a", 1, record_of(2, branch=0))  # sent again
    store.commit("a", 1, record_of(1, branch=1, first_frame_id=137))
    assert store.snapshot("a", 0).chunk == 3
    again = store.rewind("a", 1, 2, branch=0)
    assert (again.branch, again.chunk) == (2, 2)
    np.testing.assert_array_equal(again.poses, store.snapshot("a", 0).poses[:97])
    assert store.rewind("a", 1, 0).past is None


@pytest.mark.parametrize("chunk", [-1, 4])
def test_a_rewind_or_fork_past_the_end_is_refused_with_the_range(chunk: int) -> None:
    store = store_of(3)
    with pytest.raises(InputError, match=f"3 chunks .* {chunk}"):
        store.rewind("a", 1, chunk)
    with pytest.raises(InputError, match=f"3 chunks .* {chunk}"):
        store.fork("a", "b", created_at=0, chunk=chunk)
    with pytest.raises(InputError, match="no branch 5"):
        store.snapshot("a", 5)


def test_a_fork_shares_the_past_and_no_future() -> None:
    store = store_of(2)
    used = store.bytes_used
    fork = store.fork("a", "b", created_at=2e9, chunk=1)
    assert (fork.header.session, fork.header.created_at, fork.chunk, fork.next_frame_id) == ("b", 2e9, 1, 57)
    assert store.bytes_used == used, "nothing was copied"
    store.open("b", 1)
    store.commit("b", 1, record_of(1, content=9))
    assert same_content(store.read("a", 0, 1, 2)[0], record_of(1))
    assert same_content(store.read("b", 0, 1, 2)[0], record_of(1, content=9))
    with pytest.raises(CommitConflict, match="'b'"):
        store.fork("a", "b", created_at=0)
    store.delete("a")
    assert same_content(store.read("b", 0, 0, 1)[0], record_of(0))


def test_a_fork_begins_with_nothing_held_and_a_prompt_of_its_own() -> None:
    store = store_of(2)
    fork = store.fork("a", "b", created_at=0, prompt="night", extra=b"other")
    assert (fork.prompt, fork.last_extra, fork.opening_extra, fork.header.extra) == ("night", b"", b"", b"other")
    assert store.fork("b", "c", created_at=0).prompt == "night"
    assert store.fork("b", "d", created_at=0, chunk=1).prompt == record_of(0).prompt
    assert store.fork("a", "e", created_at=0, chunk=0).prompt == header_of("a").prompt
    store.open("b", 1)
    store.commit("b", 1, record_of(2))
    later = store.snapshot("b")
    assert (later.prompt, later.last_extra) == (record_of(2).prompt, record_of(2).extra)
    assert [store.rewind("b", 1, chunk).prompt for chunk in (2, 1)] == ["night", record_of(0).prompt]


def test_a_rewind_asked_for_twice_opens_one_branch() -> None:
    store = store_of(2)
    first = store.rewind("a", 1, 1, key=5, extra=b"held")
    again = store.rewind("a", 1, 1, key=5, extra=b"held")
    assert (first.branch, again.branch, again.opening_extra, again.last_event_id) == (1, 1, b"held", 5)
    store.commit("a", 1, record_of(1, branch=1, first_frame_id=again.next_frame_id))
    later = store.rewind("a", 1, 1, key=5)
    assert (later.branch, later.chunk, later.opening_extra, later.last_extra) == (1, 2, b"", record_of(1).extra)
    assert store.rewind("a", 1, 1, key=6).branch == 2


def test_a_renamed_world_has_no_owner_and_its_old_name_is_free() -> None:
    store = store_of(2)
    used = store.bytes_used
    named = store.rename("a", "b", created_at=3.0, extra=b"other")
    assert (named.header.session, named.header.extra, named.chunk) == ("b", b"other", 2)
    assert [(world.header.session, world.epoch) for world in store.worlds()] == [("b", 0)]
    assert store.bytes_used == used
    store.open("a", 1, header=header_of("a"))
    with pytest.raises(CommitConflict, match="'a'"):
        store.rename("b", "a", created_at=3.0, extra=b"")
    store.delete("a")
    assert store.delete("b") and store.bytes_used == 0


def test_bytes_are_counted_once_and_given_back_with_the_last_world() -> None:
    store = store_of(2)
    image = header_of("a").image.nbytes
    assert store.bytes_used == image + sum(record_of(chunk).nbytes for chunk in range(2))
    store.fork("a", "b", created_at=0)
    store.open("b", 1)
    store.commit("b", 1, record_of(2))
    sizes = {world.header.session: world.bytes_used for world in store.worlds()}
    assert sizes["b"] == sizes["a"] + record_of(2).nbytes
    assert store.bytes_used == sizes["b"]
    store.delete("a")
    assert store.bytes_used == sizes["b"]
    assert store.delete("b") and not store.delete("b")
    assert store.bytes_used == 0


def test_past_the_budget_a_commit_is_refused_and_nothing_is_lost() -> None:
    store = store_of(2, budget_bytes=header_of("a").image.nbytes + record_of(0).nbytes + record_of(1).nbytes)
    with pytest.raises(Overloaded, match=f"{record_of(2).nbytes} more do not fit"):
        store.commit("a", 1, record_of(2))
    with pytest.raises(Overloaded):
        store.open("b", 1, header=header_of("b"))
    assert [world.header.session for world in store.worlds()] == ["a"]
    assert store.snapshot("a").chunk == 2
    store.commit("a", 1, record_of(1))
    store.fork("a", "c", created_at=0)
    store.rewind("a", 1, 0)


def test_nobody_can_change_what_was_committed() -> None:
    store = store_of()
    record = record_of(0)
    store.commit("a", 1, record)
    record.latents[:] = 0
    kept = store.read("a", 0, 0, 1)[0]
    assert same_content(kept, record_of(0))
    for array in kept.arrays():
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0


def test_latents_keep_their_dtype() -> None:
    store = store_of()
    record = record_of(0, dtype=ml_dtypes.bfloat16)
    store.commit("a", 1, record)
    view = store.retrieve("a", 0, record.poses[[-1, -9]], 40)
    assert view.latents.dtype == ml_dtypes.bfloat16
    with pytest.raises(ValueError, match=r"float32.* follow .*bfloat16"):
        store.commit("a", 1, record_of(1))


@pytest.mark.parametrize("field", ["latents", "poses", "keyboard", "mouse"])
def test_arrays_that_do_not_fit_each_other_are_refused(field: str) -> None:
    record = record_of(0)
    array = getattr(record, field)
    shorter = array[:, :-1] if field == "latents" else array[:-1]
    with pytest.raises(ValueError, match=r"14 latents|56|frames"):
        store_of().commit("a", 1, dataclasses.replace(record, **{field: shorter}))


def test_all_that_crosses_processes_can_be_pickled() -> None:
    store = store_of(3)
    record = pickle.loads(pickle.dumps(record_of(0, dtype=ml_dtypes.bfloat16)))
    assert same_content(record, record_of(0, dtype=ml_dtypes.bfloat16))
    for value in (
        store.snapshot("a"),
        store.commit("a", 1, record_of(2)),
        store.worlds(),
        store.read("a", 0, 0, 3),
        store.retrieve("a", 0, np.zeros((5, 5)), 41),
    ):
        assert type(pickle.loads(pickle.dumps(value))) is type(value)


def test_of_many_writers_with_other_contents_exactly_one_wins_each_chunk() -> None:
    store = store_of()
    wins: list[tuple[int, int]] = []
    start = threading.Barrier(4, timeout=30)

    def write(writer: int) -> None:
        for chunk in range(12):
            record = record_of(chunk, content=writer)
            start.wait()
            try:
                store.commit("a", 1, record)
                wins.append((chunk, writer))
            except CommitConflict:
                pass
            start.wait()

    run_all([lambda writer=writer: write(writer) for writer in range(4)])  # type: ignore[misc]
    assert [chunk for chunk, _ in sorted(wins)] == list(range(12))
    for chunk, writer in wins:
        assert same_content(store.read("a", 0, chunk, chunk + 1)[0], record_of(chunk, content=writer))


def test_readers_see_whole_chunks_while_worlds_grow_fork_and_go() -> None:
    store = store_of(1)
    done = threading.Event()

    def write() -> None:
        for chunk in range(1, 25):
            store.commit("a", 1, record_of(chunk))
            store.fork("a", f"fork {chunk}", created_at=0)
            store.delete(f"fork {chunk - 3}")
        done.set()

    def read() -> None:
        while not done.is_set():
            snapshot = store.snapshot("a")
            frames = 57 + 40 * (snapshot.chunk - 1)
            assert {len(snapshot.poses), len(snapshot.keyboard), len(snapshot.mouse)} == {frames}
            assert snapshot.next_frame_id == frames
            assert snapshot.past is not None
            np.testing.assert_array_equal(snapshot.past, record_of(snapshot.chunk - 1).latents[:, -4:])

    run_all([write, read, read])
    for name in ("fork 22", "fork 23", "fork 24", "a"):
        store.delete(name)
    assert store.bytes_used == 0


def run_all(jobs: list[Callable[[], None]]) -> None:
    """Run in threads; fail with the first failure of any."""
    failures: list[BaseException] = []

    def run(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not failures, failures[0]
    assert not any(thread.is_alive() for thread in threads)
