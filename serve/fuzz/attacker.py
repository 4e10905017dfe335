"""A client that breaks the rules, and a judge of what it is answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from google.protobuf.json_format import ParseError
from google.protobuf.message import DecodeError
from worldloom_client import PROTOCOL_VERSION

from ..protocol.generated import session_pb2 as pb
from .shots import Fate, Shot, Shots, too_large
from .wires import Closed, Wire

ANSWER_TIMEOUT_S = 20.0
FLOOD_SHARE = 0.02
FLOOD_MESSAGES = 3000
"""More than any connection may send at once."""

Dial = Callable[[], Awaitable[Wire]]


@dataclass(slots=True)
class Tally:
    """What was sent, and what came of it."""

    messages: int = 0
    connections: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    """Errors by code; connections that were closed without one count as 'closed'."""
    violations: list[str] = field(default_factory=list)
    """What must not happen."""


@dataclass(slots=True)
class _Heard:
    """What one connection was told."""

    welcome: pb.Welcome | None = None
    refused: set[int] = field(default_factory=set)
    ended_by: str = ""
    """Code of an Error without an event, 'bye', or 'closed'."""
    news: asyncio.Event = field(default_factory=asyncio.Event)


class Attacker:
    """Plays connections to one session of its own, each wrong in another way."""

    def __init__(
        self, dial: Dial, token: str, shots: Shots, tally: Tally, *, on_messages: Callable[[int], None]
    ) -> None:
        self._dial = dial
        self._token = token
        self._shots = shots
        self._tally = tally
        self._on_messages = on_messages
        self._heard = _Heard()

    async def connect_once(self, most_messages: int) -> bool:
        """One connection of at most so many messages. False: the session is over and lets nobody in any more."""
        wire = await self._dial()
        self._heard = _Heard()
        self._tally.connections += 1
        reading = asyncio.create_task(self._read(wire))
        try:
            if self._shots.roll(0.15):
                await self._be_answered(wire, self._shots.first())
                return True
            return await self._play(wire, most_messages)
        except Closed:
            return True
        finally:
            with contextlib.suppress(Closed):
                await wire.hang_up()
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _play(self, wire: Wire, most_messages: int) -> bool:
        hello = pb.Hello(protocol_version=PROTOCOL_VERSION, token=self._token)
        await self._send(wire, pb.ClientMessage(hello=hello).SerializeToString())
        await self._until(lambda: self._heard.welcome is not None or self._heard.ended_by != "", "Hello")
        welcome = self._heard.welcome
        if welcome is None:
            return self._heard.ended_by not in ("not_authorized", "session_unknown", "session_ended")
        expected: set[int] = set()
        event_id = welcome.last_event_id
        is_flood = self._shots.roll(FLOOD_SHARE)
        for _ in range(FLOOD_MESSAGES if is_flood else self._shots.count(most_messages)):
            event_id += 1
            shot = self._shots.out_of_range(event_id) if self._shots.roll(0.1) else self._shots.valid(event_id)
            if shot.fate is Fate.REFUSED:
                expected.add(shot.event_id)
            await self._send(wire, shot.data)
            if self._heard.ended_by:
                break
        await self._check_refusals(wire, expected, event_id + 1)
        if self._heard.ended_by == "" and self._shots.roll(0.8):
            last = too_large(welcome.limits.message_bytes) if self._shots.roll(0.05) else self._shots.last(event_id + 2)
            await self._be_answered(wire, last)
        return True

    async def _check_refusals(self, wire: Wire, expected: set[int], event_id: int) -> None:
        """All that is impossible has been refused by name once the event with this id is, which is the last one."""
        with contextlib.suppress(Closed):
            await self._send(wire, self._shots.out_of_range(event_id).data)
        await self._until(lambda: event_id in self._heard.refused or self._heard.ended_by != "", "an impossible event")
        if event_id in self._heard.refused and (missing := expected - self._heard.refused):
            self._tally.violations.append(f"no answer to {len(missing)} impossible events, such as {min(missing)}")

    async def _be_answered(self, wire: Wire, shot: Shot) -> None:
        with contextlib.suppress(Closed):
            await self._send(wire, shot.data)
        if shot.fate is Fate.ENDED:
            await self._until(lambda: self._heard.ended_by != "", f"{shot.data[:40]!r} ({len(shot.data)} long)")

    async def _until(self, is_done: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                while not is_done():
                    self._heard.news.clear()
                    await self._heard.news.wait()
        except TimeoutError:
            self._tally.violations.append(f"no answer to {what} within {ANSWER_TIMEOUT_S:g} s")
            raise Closed from None

    async def _send(self, wire: Wire, data: bytes | str) -> None:
        self._tally.messages += 1
        self._on_messages(1)
        await wire.send(data)

    async def _read(self, wire: Wire) -> None:
        heard = self._heard
        try:
            while True:
                self._hear(heard, await wire.receive())
        except (DecodeError, ParseError) as error:
            self._tally.violations.append(f"an answer is no message of the protocol: {error}")
        except Closed:
            if not heard.ended_by:
                self._tally.codes["closed"] += 1
            heard.ended_by = heard.ended_by or "closed"
            heard.news.set()

    def _hear(self, heard: _Heard, message: pb.ServerMessage) -> None:
        match message.WhichOneof("body"):
            case "welcome":
                heard.welcome = message.welcome
            case "error":
                self._tally.codes[message.error.code] += 1
                if not message.error.code or message.error.code == "internal":
                    self._tally.violations.append(f"an error without a code of its own: {message.error.message}")
                if message.error.event_id:
                    heard.refused.add(message.error.event_id)
                else:
                    heard.ended_by = message.error.code
            case "bye":
                heard.ended_by = heard.ended_by or "bye"
            case _:
                return
        heard.news.set()
