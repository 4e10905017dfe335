"""What a client keeps until it has happened."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worldloom_client.errors import SessionEnded, WorldError
from worldloom_client.pending import PendingEvents
from worldloom_client.protocol import session_pb2 as pb


def applied(**frames: int) -> pb.Applied:
    """A chunk that took events, given as e1=frame id."""
    events = [pb.AppliedEvent(event_id=int(name[1:]), frame_id=frame) for name, frame in frames.items()]
    return pb.Applied(events=events)


def test_ids_count_on_from_what_the_service_has_seen() -> None:
    pending = PendingEvents()
    assert pending.welcomed(pb.Welcome(last_event_id=41)) == []
    assert [pending.add(pb.Event()) for _ in range(3)] == [42, 43, 44]


def test_what_was_applied_before_a_reconnect_is_not_sent_again() -> None:
    pending = PendingEvents()
    ids = [pending.add(pb.Event()) for _ in range(4)]
    pending.applied_by(applied(e1=0))
    again = pending.welcomed(pb.Welcome(last_event_id=4, applied_event_id=2, next_frame_id=97))
    assert [event.event_id for event in again] == [3, 4]
    assert pending.applied == {ids[0]: 0, ids[1]: 97}


def test_a_refused_event_raises_where_it_is_waited_for_and_is_not_sent_again() -> None:
    async def wait() -> None:
        pending = PendingEvents()
        event_id = pending.add(pb.Event())
        waiting = asyncio.create_task(pending.settled(event_id))
        await asyncio.sleep(0)
        pending.refused_by(event_id, WorldError("too far", code="action_invalid"))
        pending.applied_by(applied(e1=0))
        for attempt in (waiting, pending.settled(event_id)):
            with pytest.raises(WorldError, match="too far"):
                await attempt
        assert pending.welcomed(pb.Welcome()) == [] and pending.applied == {}

    asyncio.run(wait())


def test_the_end_of_the_session_ends_all_waiting() -> None:
    async def wait() -> None:
        pending = PendingEvents()
        event_id = pending.add(pb.Event())
        waiting = asyncio.create_task(pending.settled(event_id))
        await asyncio.sleep(0)
        pending.ended(SessionEnded("over"))
        for attempt in (waiting, pending.settled(event_id + 1)):
            with pytest.raises(SessionEnded):
                await attempt

    asyncio.run(wait())


@given(st.lists(st.sampled_from(["add", "apply", "lose", "refuse"]), max_size=40))
def test_every_event_is_kept_until_it_is_settled_whatever_breaks(steps: list[str]) -> None:
    pending, sent, settled = PendingEvents(), list[int](), set[int]()
    for step in steps:
        open_ids = [event_id for event_id in sent if event_id not in settled]
        if step == "add":
            sent.append(pending.add(pb.Event()))
        elif step == "apply" and open_ids:
            pending.applied_by(applied(**{f"e{open_ids[0]}": 5}))
            settled.add(open_ids[0])
        elif step == "refuse" and open_ids:
            pending.refused_by(open_ids[-1], WorldError("no"))
            settled.add(open_ids[-1])
        elif step == "lose":
            # The service has taken the oldest one, but the client never heard of it.
            taken = open_ids[0] if open_ids else 0
            again = pending.welcomed(pb.Welcome(last_event_id=max(sent, default=0), applied_event_id=taken))
            settled |= {event_id for event_id in sent if event_id <= taken}
            assert [event.event_id for event in again] == [known for known in sent if known not in settled]
    assert sent == sorted(set(sent)) and len(pending) == len(set(sent) - settled)
