"""One connection from Hello to its end, over a transport of the test's own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from worldloom.cluster.attendance import Role
from worldloom.errors import WorldloomError
from worldloom.serve.conversation import ConnectionLost, ConversationConfig, Reception
from worldloom.serve.protocol.generated import session_pb2 as pb
from worldloom.serve.wire import PROTOCOL_VERSION

from .local_hall import TOKEN, LocalHall


class Wire:
    """A transport whose client is the test."""

    notices_loss = False

    def __init__(self, *, origin: str | None = None) -> None:
        self.origin = origin
        self._up: asyncio.Queue[bytes | str | None] = asyncio.Queue()
        self.sent: asyncio.Queue[bytes | str] = asyncio.Queue()

    async def receive(self) -> bytes | str:
        data = await self._up.get()
        if data is None:
            raise ConnectionLost
        return data

    async def send(self, data: bytes | str) -> None:
        self.sent.put_nowait(data)

    def say(self, **body: Any) -> None:
        self._up.put_nowait(pb.ClientMessage(**body).SerializeToString())

    def say_raw(self, data: bytes | str) -> None:
        self._up.put_nowait(data)

    def hello(self, **more: Any) -> None:
        said = {"protocol_version": PROTOCOL_VERSION, **(more or {"token": TOKEN})}
        self.say(hello=pb.Hello(**said))

    def hang_up(self) -> None:
        self._up.put_nowait(None)

    async def until(self, body: str) -> Any:
        """The next message with this body."""
        async with asyncio.timeout(5):
            while True:
                data = await self.sent.get()
                assert isinstance(data, bytes)
                message = pb.ServerMessage.FromString(data)
                if message.WhichOneof("body") == body:
                    return getattr(message, body)


class Place:
    """A reception with a hall, and its connections."""

    def __init__(self, **config: Any) -> None:
        self.here = LocalHall()
        self.reception = Reception(self.here.hall, ConversationConfig(**config))
        self._open: list[asyncio.Task[WorldloomError | None]] = []

    def connect(self, wire: Wire | None = None, **hello: Any) -> tuple[Wire, asyncio.Task[WorldloomError | None]]:
        """A new connection that has said Hello."""
        wire = wire or Wire()
        task = asyncio.ensure_future(self.reception.converse(wire))
        self._open.append(task)
        wire.hello(**hello)
        return wire, task

    def ticket(self, role: Role, **more: Any) -> str:
        return self.here.tickets.mint("s", role, **more).ticket

    async def close(self) -> None:
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)


def converse(scene: Callable[[Place], Awaitable[None]], **config: Any) -> None:
    async def run() -> None:
        place = Place(**config)
        try:
            await scene(place)
        finally:
            await place.close()

    asyncio.run(run())


def test_a_player_is_welcomed_plays_and_leaves() -> None:
    async def scene(it: Place) -> None:
        wire, task = it.connect()
        welcome = await wire.until("welcome")
        assert (welcome.session_id, welcome.role, welcome.grace_s) == ("s", pb.ROLE_PLAYER, 30)
        assert welcome.format.codec == pb.CODEC_JPEG and welcome.limits.pending_events
        wire.say(event=pb.Event(event_id=1, client_time_us=5, controls=pb.Controls()))
        accepted = await wire.until("accepted")
        assert (accepted.event_id, accepted.client_time_us) == (1, 5)
        wire.say(event=pb.Event(event_id=2))
        assert (await wire.until("error")).event_id == 2
        wire.say(hello=pb.Hello())
        assert (await wire.until("error")).code == "message_invalid"
        wire.say(heartbeat=pb.Heartbeat(client_time_us=9))
        assert (await wire.until("heartbeat")).client_time_us == 9
        assert it.here.neighbours.present
        wire.say(bye=pb.Bye())
        assert await task is None
        assert not it.here.neighbours.present
        # The seat is free at once.
        await it.connect(ticket=it.ticket(Role.PLAYER))[0].until("welcome")

    converse(scene)


def test_json_is_answered_in_json() -> None:
    async def scene(it: Place) -> None:
        wire = Wire()
        task = asyncio.ensure_future(it.reception.converse(wire))
        wire.say_raw(json.dumps({"hello": {"protocol_version": PROTOCOL_VERSION, "token": TOKEN}}))
        welcome = json.loads(await wire.sent.get())["welcome"]
        assert welcome["session_id"] == "s" and welcome["role"] == "ROLE_PLAYER"
        wire.hang_up()
        assert await task is None

    converse(scene)


def test_a_ticket_works_once_and_a_resume_token_again() -> None:
    async def scene(it: Place) -> None:
        ticket = it.ticket(Role.VIEWER)
        wire, task = it.connect(ticket=ticket)
        welcome = await wire.until("welcome")
        assert welcome.role == pb.ROLE_VIEWER
        wire.hang_up()
        assert await task is None
        refused, refusal = it.connect(ticket=ticket)
        assert (await refused.until("error")).code == "not_authorized"
        assert (await refusal) is not None
        for _ in range(2):
            again, _ = it.connect(resume_token=welcome.resume_token, next_frame_id=3)
            assert (await again.until("welcome")).role == pb.ROLE_VIEWER

    converse(scene)


def test_a_page_of_another_origin_may_not_use_a_ticket() -> None:
    async def scene(it: Place) -> None:
        for origin, body in (("https://evil.example", "error"), ("https://game.example", "welcome")):
            ticket = it.ticket(Role.PLAYER, origins=("https://game.example",))
            wire, _ = it.connect(Wire(origin=origin), ticket=ticket)
            await wire.until(body)

    converse(scene)


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (b"\xff\xff", "message_invalid"),
        (b"", "message_invalid"),
        ("no JSON", "message_invalid"),
        (pb.ClientMessage(bye=pb.Bye()).SerializeToString(), "message_invalid"),
        (pb.ClientMessage(hello=pb.Hello(protocol_version=1, token=TOKEN)).SerializeToString(), "version_mismatch"),
        (pb.ClientMessage(hello=pb.Hello(protocol_version=2, token="guess")).SerializeToString(), "not_authorized"),
        (pb.ClientMessage(hello=pb.Hello(protocol_version=2)).SerializeToString(), "not_authorized"),
        (None, "message_invalid"),
    ],
)
def test_a_wrong_or_missing_hello_is_answered_by_an_error(first: bytes | str | None, code: str) -> None:
    async def scene(it: Place) -> None:
        wire = Wire()
        task = asyncio.ensure_future(it.reception.converse(wire))
        if first is not None:
            wire.say_raw(first)
        error = await task
        assert error is not None and error.code == code
        data = wire.sent.get_nowait()
        told = (
            json.loads(data)["error"]["code"] if isinstance(data, str) else pb.ServerMessage.FromString(data).error.code
        )
        assert told == code

    converse(scene, hello_timeout_s=0.05)


def test_a_silent_connection_is_told_to_come_again() -> None:
    async def scene(it: Place) -> None:
        wire, task = it.connect()
        assert (await wire.until("bye")).reconnect
        assert await task is None

    converse(scene, heartbeat_s=0.02)


def test_who_sends_too_much_is_cut_off_and_too_many_are_turned_away() -> None:
    async def scene(it: Place) -> None:
        wire, task = it.connect()
        await wire.until("welcome")
        turned_away, _ = it.connect()
        assert (await turned_away.until("error")).code == "overloaded"
        for _ in range(10):
            wire.say(report=pb.BufferReport())
        error = await wire.until("error")
        assert (error.code, error.retryable) == ("overloaded", True)
        assert (await task) is not None
        await it.connect()[0].until("welcome")

    converse(scene, messages_per_s=1.0, max_connections=1)


def test_a_guest_of_another_gateway_plays_through_its_own() -> None:
    async def scene(it: Place) -> None:
        home = LocalHall()
        it.here.neighbours.home, it.here.neighbours.elsewhere = "there", home.hall
        wire, _ = it.connect()
        assert (await wire.until("welcome")).session_id == "s"
        wire.say(event=pb.Event(event_id=1, controls=pb.Controls()))
        await wire.until("accepted")
        assert home.hall.channel("s").inputs.last_event_id == 1
        beat = it.here.hall.beat()
        assert beat.homes == () and [guest for guest in beat.guests.values()] == [("s", Role.PLAYER)]
        home.hall.drop("s")
        assert (await wire.until("bye")).reconnect

    converse(scene)
