"""Inputs on their way to the world, and when the next chunk is due."""

from __future__ import annotations

import asyncio
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from worldloom.cluster.attendance import Role
from worldloom.cluster.events import Event, Pace, Pause, Play, Rewind, Script
from worldloom.cluster.messages import BranchNote
from worldloom.errors import Overloaded, SessionEnded, StaleEpoch
from worldloom.serve.inputs import MAX_PENDING_EVENTS, START_GRACE_S
from worldloom.serve.protocol.generated import session_pb2 as pb

from .channel_scene import RATE, Scene, event, play


def test_a_world_begins_with_its_players_first_input() -> None:
    async def scene(it: Scene) -> None:
        waiting = asyncio.ensure_future(it.collect())
        it.sit()
        await it.settle()
        assert not waiting.done()
        it.channel.inputs.offer(event(3))
        assert await waiting == (3,)

    play(scene)


def test_a_silent_player_gets_a_world_after_a_moment() -> None:
    async def scene(it: Scene) -> None:
        it.sit()
        it.now += START_GRACE_S
        assert await it.collect() == ()

    play(scene)


def test_events_stay_until_their_chunk_is_sent_and_never_come_twice() -> None:
    async def scene(it: Scene) -> None:
        player = it.sit()
        for number in (1, 2, 2):
            it.channel.inputs.offer(event(number))
        assert await it.collect() == (1, 2)
        # The owner died before it committed: the next one finds them again.
        assert await it.collect(epoch=2) == (1, 2)
        it.push(0, 1, applied=((1, 0), (2, 0)))
        it.channel.inputs.offer(event(2))
        it.show(player, 1)
        it.now += 1.0
        assert await it.collect(epoch=2, after=2, frame=2) == ()
        assert it.channel.inputs.last_event_id == 2
        (applied,) = (await player.read()).of("applied")
        assert [(one.event_id, one.frame_id) for one in applied.events] == [(1, 0), (2, 0)]

    play(scene)


def test_the_next_chunk_is_due_only_when_little_is_left_to_play() -> None:
    async def scene(it: Scene) -> None:
        player = it.sit()
        it.channel.inputs.offer(event(1))
        await it.collect()
        it.now += 1.0
        it.push(*range(57))
        waiting = asyncio.ensure_future(it.collect(after=1, frame=57))
        it.show(player, 20)
        await it.settle()
        assert not waiting.done()
        it.show(player, 47)
        assert await waiting == ()

    play(scene)


@pytest.mark.parametrize("reports", ["a viewer", "frames to come"])
def test_nothing_runs_ahead_by_the_word_of(reports: str) -> None:
    async def scene(it: Scene) -> None:
        player, viewer = it.sit(), it.sit(Role.VIEWER)
        it.channel.inputs.offer(event(1))
        await it.collect()
        it.now += 1.0
        it.push(*range(57))
        it.show(viewer if reports == "a viewer" else player, 56 if reports == "a viewer" else 10**9)
        waiting = asyncio.ensure_future(it.collect(after=1, frame=57))
        await it.settle()
        assert not waiting.done()
        waiting.cancel()

    play(scene)


def test_nothing_is_due_in_a_pause_and_a_rewind_is_due_at_once() -> None:
    async def scene(it: Scene) -> None:
        player = it.sit()
        inputs = it.channel.inputs
        inputs.offer(event(1))
        await it.collect()
        it.now += 1.0
        it.push(*range(57), applied=((1, 0),))
        inputs.offer(Pause(event_id=2))
        inputs.offer(Rewind(event_id=3, chunk=0))
        waiting = asyncio.ensure_future(it.collect(after=1, frame=57))
        await it.settle()
        assert not waiting.done() and inputs.is_paused
        inputs.offer(Play(event_id=4))
        assert await waiting == (2, 3, 4)
        await player.read()
        it.channel.branched(BranchNote(branch=1, parent=0, chunk=0, next_frame_id=97))
        # What the old branch still had on its way is not shown.
        it.push(*range(57, 97))
        it.push(97, 98)
        assert (await player.read()).frames == [*range(57), 97, 98]
        assert player.of("branched")[0].branch == 1

    play(scene)


def test_a_step_is_played_in_a_pause_and_the_pause_after_it_is_told() -> None:
    async def scene(it: Scene) -> None:
        player = it.sit()
        keyboard, mouse = np.zeros((57, 6), np.float32), np.zeros((57, 2), np.float32)

        async def waits_for(event: Event, **committed: Any) -> tuple[int, ...] | None:
            """What the owner gets, who asks before the event comes."""
            waiting = asyncio.ensure_future(it.collect(**committed))
            await it.settle()
            assert not waiting.done()
            await player.read()
            it.channel.take(player.member.connection, event)
            await player.read()
            return await waiting

        def step(event_id: int) -> Script:
            return Script(event_id=event_id, client_time_us=0, keyboard=keyboard, mouse=mouse, pause_after=True)

        it.channel.take(player.member.connection, Pause(event_id=1))
        assert await waits_for(step(2)) == (1, 2)
        it.push(*range(57), applied=((1, 0), (2, 0)))
        it.show(player, 56)
        it.now += 57 / RATE
        it.channel.take(player.member.connection, step(2))
        assert await waits_for(step(3), after=2, frame=57, pace=Pace.PAUSED) == (3,)
        states = [status.state for status in (await player.read()).of("status")]
        paused, playing = pb.SESSION_STATE_PAUSED, pb.SESSION_STATE_PLAYING
        assert [state for state, _ in groupby(states)] == [paused, playing, paused, playing]

    play(scene)


def test_events_of_a_chunk_that_a_rewind_hides_are_done_all_the_same() -> None:
    async def scene(it: Scene) -> None:
        player = it.sit()
        it.channel.inputs.offer(event(1))
        await it.collect()
        # Its chunk is committed, but its frames are not here yet.
        it.channel.inputs.offer(Rewind(event_id=2))
        assert await it.collect(after=1, frame=57) == (2,)
        it.channel.branched(BranchNote(branch=1, parent=0, chunk=0, next_frame_id=57))
        (applied,) = (await player.read()).of("applied")
        assert [(one.event_id, one.frame_id) for one in applied.events] == [(1, 57)]
        it.channel.inputs.offer(event(1))
        assert it.channel.inputs.last_event_id == 2

    play(scene)


def test_a_replaced_owner_and_an_ended_session_are_told_so() -> None:
    async def scene(it: Scene) -> None:
        old = asyncio.ensure_future(it.collect(epoch=1))
        await it.settle()
        new = asyncio.ensure_future(it.collect(epoch=2))
        await it.settle()
        with pytest.raises(StaleEpoch):
            await it.collect(epoch=1)
        it.channel.inputs.close()
        for waiting in (old, new):
            with pytest.raises((SessionEnded, StaleEpoch)):
                await waiting

    play(scene)


def test_too_many_waiting_events_are_refused() -> None:
    async def scene(it: Scene) -> None:
        for number in range(1, MAX_PENDING_EVENTS + 1):
            it.channel.inputs.offer(event(number))
        with pytest.raises(Overloaded):
            it.channel.inputs.offer(event(MAX_PENDING_EVENTS + 1))

    play(scene)
