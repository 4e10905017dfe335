"""Guests of other gateways: what a gateway is told for them, and what happens when it is gone."""

from __future__ import annotations

import asyncio

import pytest
from worldloom.cluster.attendance import Role
from worldloom.errors import WrongGateway
from worldloom.serve.lodgers import LOST_S, Lodgers
from worldloom.serve.protocol.generated import session_pb2 as pb
from worldloom.serve.seat import LocalSeat

from .channel_scene import Scene, Seated, event, play

EVENT = pb.ClientMessage(event=pb.Event(event_id=1, controls=pb.Controls())).SerializeToString()


def lodge(it: Scene) -> tuple[Lodgers, Seated, str]:
    """A player of another gateway."""
    lodgers = Lodgers(clock=lambda: it.now)
    player = it.sit()
    connection = player.member.connection
    lodgers.sit(connection, LocalSeat(it.channel, player.member, prompt_chars=10))
    return lodgers, player, connection


def bodies(batch: list[bytes] | None) -> list[str | None]:
    return [pb.ServerMessage.FromString(data).WhichOneof("body") for data in batch or []]


def test_messages_go_in_and_come_out_together() -> None:
    async def scene(it: Scene) -> None:
        lodgers, _, connection = lodge(it)
        await lodgers.take(connection, EVENT)
        it.push(0, 1)
        assert bodies(await lodgers.outgoing(connection)) == ["status", "accepted", "format", "frame", "frame"]
        await lodgers.leave(connection, is_bye=True)
        with pytest.raises(WrongGateway):
            await lodgers.outgoing(connection)
        with pytest.raises(WrongGateway):
            await lodgers.take(connection, EVENT)
        it.sit()

    play(scene)


def test_guests_of_a_gateway_that_is_gone_are_lost_and_may_resume() -> None:
    async def scene(it: Scene) -> None:
        lodgers, player, connection = lodge(it)
        it.now += LOST_S - 1
        await lodgers.outgoing(connection)
        it.now += LOST_S - 1
        await lodgers.sweep()
        it.channel.take(connection, event(1))
        it.now += 2
        await lodgers.sweep()
        assert it.channel.fan_out.members == ()
        it.sit(Role.PLAYER, seat=player.member.seat)

    play(scene)


def test_who_asks_hears_when_there_is_nothing_and_when_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worldloom.serve.lodgers.POLL_S", 0.01)

    async def scene(it: Scene) -> None:
        lodgers, player, connection = lodge(it)
        await player.read()
        assert await lodgers.outgoing(connection) is None
        asyncio.get_running_loop().call_soon(player.member.mailbox.close)
        assert await lodgers.outgoing(connection) == []

    play(scene)
