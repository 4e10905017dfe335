"""One session at its gateway: who may sit down, and what each of them sees."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worldloom.cluster.attendance import Role
from worldloom.cluster.events import Pause
from worldloom.cluster.limits import SessionLimits
from worldloom.cluster.messages import BranchNote, Phase, Progress
from worldloom.cluster.video import Rung
from worldloom.errors import NotAuthorized, Overloaded, PlayerTaken, SessionEnded, StaleEpoch, WorldLost, WrongGateway
from worldloom.serve.channel import VIEWER_LIMITS, Channel
from worldloom.serve.protocol.generated import session_pb2 as pb
from worldloom.serve.wire import bye

from .channel_scene import EPOCH, GRACE_S, H264, JPEG, RATE, Scene, event, pieces, play

VIEWER = Role.VIEWER


def test_frames_that_were_sent_are_not_sent_again() -> None:
    async def scene(it: Scene) -> None:
        player = it.sit()
        it.push(0, 1, 2)
        it.push(1, 2, 3)
        it.push(2, 3)
        assert (await player.read()).frames == [0, 1, 2, 3] and it.channel.fan_out.next_frame_id == 4

    play(scene)


def test_a_player_that_resumes_gets_all_that_was_lost_on_the_way_and_nothing_twice() -> None:
    async def scene(it: Scene) -> None:
        player = it.sit()
        it.push(0, 1, 2, applied=((1, 0),))
        await player.read()
        it.push(3, 4, 5)
        it.channel.leave(player.member.connection, is_bye=False)
        again = it.sit(seat=player.member.seat, next_frame_id=2)
        stream = it.channel.begin_stream(EPOCH).stream
        it.channel.push(stream, pieces(6, 7))
        assert (await again.read()).frames == [2, 3, 4, 5, 6, 7]
        assert not await has_ended(it, stream)

    play(scene)


def test_a_player_that_resumes_video_gets_it_from_a_key_frame_that_its_decoder_can_begin_at() -> None:
    async def scene(it: Scene) -> None:
        player = it.sit(rung=H264)
        it.push(0, 1, 2)
        it.push(3, 4, 5)
        it.push(6, 7, 8, key=False)
        assert (await player.read()).frames == list(range(9))
        it.channel.leave(player.member.connection, is_bye=False)
        again = it.sit(seat=player.member.seat, rung=H264, next_frame_id=7)
        assert (await again.read()).frames == [3, 4, 5, 6, 7, 8]

    play(scene)


def test_the_decoder_goes_back_where_the_gateway_has_kept_too_little() -> None:
    async def scene(it: Scene) -> None:
        place = it.channel.begin_stream(EPOCH)
        waiting = [asyncio.ensure_future(it.channel.stream_has_ended(place.stream)) for _ in range(2)]
        await it.settle()
        player = it.sit(next_frame_id=30)
        # All who wait hear it, also who was forgotten by its caller and only waits on.
        assert await asyncio.gather(*waiting) == [True, True] and it.channel.fan_out.next_frame_id == 30
        with pytest.raises(WrongGateway):
            it.channel.push(place.stream, pieces(97, 98))
        it.push(*range(30, 60))
        assert (await player.read()).frames == list(range(30, 60))

    play(scene, next_frame_id=97)


def test_only_the_newest_decoder_of_the_newest_owner_sends() -> None:
    async def scene(it: Scene) -> None:
        player = it.sit()
        old, new = (it.channel.begin_stream(epoch) for epoch in (1, 2))
        it.channel.push(new.stream, pieces(0, 1))
        with pytest.raises(WrongGateway):
            it.channel.push(old.stream, pieces(2, 3))
        with pytest.raises(StaleEpoch):
            it.channel.begin_stream(1)
        assert await has_ended(it, old.stream) and not await has_ended(it, new.stream)
        assert (await player.read()).frames == [0, 1]
        it.channel.branched(BranchNote(branch=1, parent=0, chunk=0, next_frame_id=57))
        with pytest.raises(WrongGateway):
            it.channel.push(new.stream, pieces(57, 58))
        assert it.channel.begin_stream(2).next_frame_id == 57

    play(scene)


def test_a_player_without_a_past_is_shown_where_its_world_stands() -> None:
    async def scene(it: Scene) -> None:
        stream = it.channel.begin_stream(EPOCH).stream
        player = it.sit()
        assert await has_ended(it, stream)
        it.push(*range(90, 97))
        assert (await player.read()).frames == [96]

    play(scene, next_frame_id=97)


def test_viewers_begin_at_a_key_frame_see_the_same_and_do_not_play() -> None:
    async def scene(it: Scene) -> None:
        player = it.sit(rung=H264)
        it.push(0, 1, 2)
        it.push(3, 4)
        it.push(5, 6, key=False)
        early = it.sit(VIEWER, rung=H264)
        it.push(7, 8, key=False)
        assert (await early.read()).frames == [3, 4, 5, 6, 7, 8]
        assert (await player.read()).frames == list(range(9))
        (format_,) = early.of("format")
        assert (format_.codec, format_.width) == (pb.CODEC_H264, 64)
        assert player.of("status")[-1].viewers == early.of("status")[-1].viewers == 1
        with pytest.raises(NotAuthorized):
            it.channel.take(early.member.connection, event(1))
        it.sit(VIEWER)
        with pytest.raises(Overloaded):
            it.sit(VIEWER)
        it.channel.leave(early.member.connection, is_bye=True)
        assert (await player.read()).of("status")[-1].viewers == 1

    play(scene)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("join"), st.sampled_from([JPEG, H264])),
            st.tuples(st.just("push"), st.integers(1, 9)),
            st.tuples(st.just("read"), st.integers(0, 5)),
            st.tuples(st.just("leave"), st.integers(0, 5)),
        ),
        max_size=25,
    )
)
def test_whoever_comes_whenever_begins_at_a_key_frame_and_goes_on_at_one_after_a_gap(steps: list[Any]) -> None:
    async def scene(it: Scene) -> None:
        it.channel.limits = SessionLimits(viewers=len(steps))
        everybody = [it.sit(rung=H264)]
        here = everybody.copy()
        encoded: set[Rung] = set()
        stream = it.channel.begin_stream(EPOCH).stream
        for step, what in steps:
            if step == "join":
                here.append(it.sit(VIEWER, rung=what))
                everybody.append(here[-1])
            elif step == "push":
                wishes = {wish.rung: wish.key_frame for wish in it.channel.fan_out.wishes()}
                first = it.channel.fan_out.next_frame_id
                # A rung that nobody wanted for a while begins anew.
                made = pieces(*range(first, first + what), key=wishes.get(H264, True) or H264 not in encoded)
                encoded = set(wishes)
                if kept := tuple(piece for piece in made if piece.rung in wishes):
                    it.channel.push(stream, kept)
            elif step == "read":
                await everybody[what % len(everybody)].read()
            elif here[what % len(here)].member.role is VIEWER:
                it.channel.leave(here.pop(what % len(here)).member.connection, is_bye=True)
        for guest in everybody:
            frames = (await guest.read()).of("frame")
            for before, frame in zip([None, *frames], frames, strict=False):
                follows = before is not None and frame.frame_id == before.frame_id + 1
                assert frame.key_frame or follows
            assert not frames or frames[-1].frame_id == it.channel.fan_out.next_frame_id - 1 or guest not in here

    play(scene)


def test_a_slow_viewer_goes_on_at_a_key_frame_and_slows_nobody() -> None:
    async def scene(it: Scene) -> None:
        player, slow = it.sit(rung=H264), it.sit(VIEWER, rung=H264)
        wanted = it.channel.fan_out.wishes
        it.push(0, 1)
        assert not any(wish.key_frame for wish in wanted())
        half = VIEWER_LIMITS.frame_bytes // 2
        it.push(2, 3, 4, size=half, key=False)
        assert any(wish.key_frame for wish in wanted())
        it.push(5, 6, key=False)
        it.push(7, 8)
        assert (await slow.read()).frames == [7, 8]
        assert not any(wish.key_frame for wish in wanted())
        assert (await player.read()).frames == list(range(9))

    play(scene)


def test_a_player_who_is_alone_is_waited_for_and_misses_nothing() -> None:
    async def scene(it: Scene) -> None:
        player = it.sit()
        wanted = it.channel.fan_out.wishes
        it.push(*range(100))
        assert wanted()
        it.push(*range(100, 130))
        assert not wanted()
        it.sit(VIEWER)
        assert wanted()
        assert len((await player.read()).frames) == 130

    play(scene)


def test_the_time_to_a_worlds_first_frame_is_told_once() -> None:
    async def scene(it: Scene) -> None:
        told: list[float] = []
        channel = Channel(it.info, frame_rate=RATE, on_first_frame=told.append)
        stream = channel.begin_stream(EPOCH).stream
        for ids in ((0, 1), (0, 1), (2, 3)):
            channel.push(stream, pieces(*ids))
        assert len(told) == 1 and told[0] > 0

    play(scene)


def test_a_rewind_flushes_what_waits_and_tells_those_who_were_away() -> None:
    async def scene(it: Scene) -> None:
        player = it.sit()
        it.push(0, 1, 2)
        await player.read()
        it.push(3, 4)
        it.channel.leave(player.member.connection, is_bye=False)
        viewer = it.sit(VIEWER)
        it.channel.branched(BranchNote(branch=1, parent=0, chunk=0, next_frame_id=97))
        it.push(97, 98)
        again = it.sit(seat=player.member.seat, next_frame_id=3)
        assert (await again.read()).frames == (await viewer.read()).frames == [97, 98]
        (branched,) = again.of("branched")
        assert (branched.branch, branched.next_frame_id) == (1, 97)

    play(scene)


def test_a_players_seat_is_kept_for_a_while_and_given_back_at_a_bye() -> None:
    async def scene(it: Scene) -> None:
        player = it.sit()
        with pytest.raises(PlayerTaken):
            it.sit()
        with pytest.raises(PlayerTaken):
            it.sit(is_owner=True)
        it.channel.leave(player.member.connection, is_bye=False)
        with pytest.raises(PlayerTaken):
            it.sit()
        owner = it.sit(is_owner=True)
        with pytest.raises(PlayerTaken):
            it.sit(seat=player.member.seat)
        it.channel.leave(owner.member.connection, is_bye=False)
        it.now += GRACE_S
        other = it.sit()
        it.channel.leave(other.member.connection, is_bye=True)
        it.sit()

    play(scene)


@pytest.mark.parametrize("role", [Role.PLAYER, Role.VIEWER])
def test_a_connection_that_hangs_is_replaced_by_the_one_that_resumes(role: Role) -> None:
    async def scene(it: Scene) -> None:
        hanging = it.sit(role)
        again = it.sit(role, seat=hanging.member.seat)
        (farewell,) = (await hanging.read()).of("bye")
        assert not farewell.reconnect
        # Its end comes late, and takes nothing from its successor.
        it.channel.leave(hanging.member.connection, is_bye=False)
        it.push(0, 1)
        assert (await again.read()).frames == [0, 1] and hanging.frames == []
        if role is Role.PLAYER:
            it.channel.take(again.member.connection, event(1))

    play(scene)


def test_a_pause_is_told_to_all_and_a_new_viewer_hears_how_it_stands() -> None:
    async def scene(it: Scene) -> None:
        player = it.sit()
        it.channel.report(Progress(phase=Phase.PLAYING, chunk=3, num_steps=3))
        it.channel.take(player.member.connection, Pause(event_id=1))
        viewer = it.sit(VIEWER)
        (status,) = (await viewer.read()).of("status")
        assert (status.state, status.chunk, status.viewers) == (pb.SESSION_STATE_PAUSED, 3, 1)

    play(scene)


def test_the_end_is_told_to_all_with_its_reason() -> None:
    async def scene(it: Scene) -> None:
        everybody = [it.sit(), it.sit(VIEWER)]
        it.channel.end(bye("the session has ended"), WorldLost("gone"))
        for guest in everybody:
            await guest.read()
            assert [message.WhichOneof("body") for message in guest.received[-2:]] == ["error", "bye"]
            assert guest.of("error")[0].world_lost
            assert await guest.member.mailbox.take() == []
        with pytest.raises(SessionEnded):
            await it.collect()
        with pytest.raises(SessionEnded):
            it.channel.begin_stream(EPOCH)

    play(scene)


async def has_ended(it: Scene, stream: str) -> bool:
    """Whether the decoder is to begin anew, now."""
    try:
        async with asyncio.timeout(0.01):
            return await it.channel.stream_has_ended(stream)
    except TimeoutError:
        return False
