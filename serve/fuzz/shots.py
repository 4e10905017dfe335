"""Messages that a client may send and messages that it must not, drawn by chance, with what has to come of each."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from google.protobuf.message import DecodeError
from worldloom_client import PROTOCOL_VERSION

from ..protocol.generated import session_pb2 as pb

MAX_ID = 2**63 - 1


class Fate(Enum):
    """What has to come of a message, at least."""

    NOTHING = "nothing"
    """It is in order."""
    REFUSED = "refused"
    """An Error that names its event, or one that ends the connection."""
    ENDED = "ended"
    """An Error without an event, or the end of the connection."""
    ANY = "any"
    """It may have become any message."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shot:
    """One message on the wire: protobuf, or text."""

    data: bytes | str
    fate: Fate
    event_id: int = 0
    """Of the event in it."""


class Shots:
    """Draws messages: the same for the same seed and the same event ids."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def valid(self, event_id: int) -> Shot:
        """A message that is in order; where it is an event, with this id or one that was taken before."""
        make = self._random.choices((self._event, self._report, self._heartbeat), (6, 3, 1))[0]
        return _shot(make(event_id), Fate.NOTHING, event_id)

    def out_of_range(self, event_id: int) -> Shot:
        """An event that parses and asks for what cannot be."""
        event = self._random.choice(_IMPOSSIBLE)(self._random)
        event.event_id = event_id
        return _shot(pb.ClientMessage(event=event), Fate.REFUSED, event_id)

    def last(self, event_id: int) -> Shot:
        """A message that no connection survives, or one that chance has damaged."""
        kinds = (self._garbage, self._cut, self._flipped, self._empty, self._text, self._second_hello)
        return self._random.choice(kinds)(event_id)

    def first(self) -> Shot:
        """What comes in Hello's place and is none."""
        wrong = (
            lambda: _shot(self._event(1), Fate.ENDED),
            lambda: _shot(
                pb.ClientMessage(hello=pb.Hello(protocol_version=PROTOCOL_VERSION, token=self._word())), Fate.ENDED
            ),
            lambda: _shot(
                pb.ClientMessage(hello=pb.Hello(protocol_version=PROTOCOL_VERSION, ticket=self._word())), Fate.ENDED
            ),
            lambda: _shot(
                pb.ClientMessage(hello=pb.Hello(protocol_version=PROTOCOL_VERSION, resume_token=self._word())),
                Fate.ENDED,
            ),
            lambda: _shot(pb.ClientMessage(hello=pb.Hello(protocol_version=self._number())), Fate.ENDED),
            lambda: _shot(pb.ClientMessage(bye=pb.Bye(reason=self._word())), Fate.ENDED),
            lambda: self._garbage(1),
            lambda: self._text(1),
            lambda: self._empty(1),
        )
        return self._random.choice(wrong)()

    def roll(self, chance: float) -> bool:
        """True with this probability."""
        return self._random.random() < chance

    def count(self, most: int) -> int:
        """From 0 to `most`."""
        return self._random.randint(0, most)

    def _event(self, event_id: int) -> pb.ClientMessage:
        event = self._random.choices(_POSSIBLE, (12, 4, 3, 1, 2, 3, 1))[0](self._random)
        # Now and then one that was sent before: it has no second effect.
        event.event_id = self._random.randint(1, event_id) if self.roll(0.1) else event_id
        event.client_time_us = self._random.choice((0, event_id, MAX_ID))
        return pb.ClientMessage(event=event)

    def _report(self, event_id: int) -> pb.ClientMessage:
        return pb.ClientMessage(
            report=pb.BufferReport(
                next_frame_id=self._number(),
                buffered_ms=self._number() % 2**32,
                stalled_ms=self._number() % 2**32,
                round_trip_ms=self._number() % 2**32,
            )
        )

    def _heartbeat(self, event_id: int) -> pb.ClientMessage:
        return pb.ClientMessage(heartbeat=pb.Heartbeat(client_time_us=self._number()))

    def _garbage(self, event_id: int) -> Shot:
        return _judged(self._random.randbytes(self._random.choice((1, 2, 7, 64, 1000, 20_000))))

    def _cut(self, event_id: int) -> Shot:
        whole = self._event(event_id).SerializeToString()
        return _judged(whole[: self._random.randrange(1, len(whole))])

    def _flipped(self, event_id: int) -> Shot:
        damaged = bytearray(self._event(event_id).SerializeToString())
        for _ in range(self._random.randint(1, 4)):
            damaged[self._random.randrange(len(damaged))] ^= 1 << self._random.randrange(8)
        return _judged(bytes(damaged))

    def _empty(self, event_id: int) -> Shot:
        # A field that no release knows, and nothing else.
        return Shot(data=self._random.choice((b"", b"\xfa\x3e\x01x")), fate=Fate.ENDED)

    def _text(self, event_id: int) -> Shot:
        texts = ("", "{}", "null", "[1]", "{", '{"hello": 7}', '{"event": {"event_id": "x"}}', "[" * 5000, "\x00" * 50)
        return Shot(data=self._random.choice((*texts, json.dumps({self._word(): self._number()}))), fate=Fate.ENDED)

    def _second_hello(self, event_id: int) -> Shot:
        return _shot(
            pb.ClientMessage(hello=pb.Hello(protocol_version=PROTOCOL_VERSION, token=self._word())), Fate.ENDED
        )

    def _number(self) -> int:
        return self._random.choice((0, 1, 57, self._random.getrandbits(16), 2**31, 2**32 - 1))

    def _word(self) -> str:
        return self._random.choice(
            ("", "x" * 300, "ünïcödé ☃", f"{self._random.getrandbits(64):x}", "../../etc", "\x00")
        )


def too_large(max_bytes: int) -> Shot:
    """A message beyond the connection's limit."""
    return Shot(data=b"\x0a" * (max_bytes + 1), fate=Fate.ENDED)


def _shot(message: pb.ClientMessage, fate: Fate, event_id: int = 0) -> Shot:
    return Shot(data=message.SerializeToString(), fate=fate, event_id=event_id)


def _hello(*, protocol_version: int = PROTOCOL_VERSION, **credential: str) -> Shot:
    """A Hello that is not to be welcomed."""
    hello = pb.Hello(protocol_version=protocol_version, **credential)  # type: ignore[arg-type]  # each a string
    return _shot(pb.ClientMessage(hello=hello), Fate.ENDED)


def _judged(data: bytes) -> Shot:
    """Bytes of any kind: those that still parse may mean anything."""
    try:
        is_message = pb.ClientMessage.FromString(data).WhichOneof("body") is not None
    except DecodeError:
        is_message = False
    return Shot(data=data, fate=Fate.ANY if is_message else Fate.ENDED)


def _controls(chance: random.Random) -> pb.Event:
    controls = pb.Controls()
    if chance.random() < 0.7:
        keys = [chance.random() < 0.5 for _ in range(4)]
        controls.keyboard.CopyFrom(pb.Keyboard(forward=keys[0], back=keys[1], left=keys[2], right=keys[3]))
    if chance.random() < 0.5:
        look, motion = (chance.uniform(-1, 1) for _ in range(2)), (chance.uniform(-24, 24) for _ in range(2))
        pitch, yaw, pitch_motion, yaw_motion = *look, *motion
        controls.mouse.CopyFrom(pb.Mouse(pitch=pitch, yaw=yaw, pitch_motion=pitch_motion, yaw_motion=yaw_motion))
    return pb.Event(controls=controls)


def _goal(chance: random.Random) -> pb.Event:
    x, y, yaw = chance.uniform(-1e6, 1e6), chance.uniform(-1e6, 1e6), chance.uniform(-720, 720)
    pose = pb.CameraPose(x=x, y=y, yaw_degrees=yaw)
    target = pb.CameraTarget(release=pb.Release()) if chance.random() < 0.3 else pb.CameraTarget(pose=pose)
    return pb.Event(controls=pb.Controls(camera=target))


def _script(chance: random.Random) -> pb.Event:
    rows = [
        pb.ActionFrame(forward=chance.random() < 0.5, camera_yaw=chance.uniform(-1, 1))
        for _ in range(chance.choice((1, 3, 40, 200)))
    ]
    return pb.Event(script=pb.Script(frames=rows, pause_after=chance.random() < 0.3))


def _prompt(chance: random.Random) -> pb.Event:
    return pb.Event(controls=pb.Controls(prompt=pb.Prompt(text=chance.choice(("", "night", "☃" * 100)))))


_POSSIBLE: tuple[Callable[[random.Random], pb.Event], ...] = (
    _controls,
    _goal,
    _script,
    _prompt,
    lambda chance: pb.Event(pause=pb.Pause()),
    lambda chance: pb.Event(play=pb.Play()),
    lambda chance: pb.Event(reset=pb.Reset()),
)
_NO_NUMBERS = (float("nan"), float("inf"), -float("inf"), 1e30, -25.0)
_IMPOSSIBLE: tuple[Callable[[random.Random], pb.Event], ...] = (
    lambda chance: pb.Event(),
    lambda chance: pb.Event(script=pb.Script()),
    lambda chance: pb.Event(script=pb.Script(frames=[pb.ActionFrame(camera_yaw=chance.choice(_NO_NUMBERS))])),
    lambda chance: pb.Event(script=pb.Script(frames=[pb.ActionFrame()] * 24_001)),
    lambda chance: pb.Event(controls=pb.Controls(mouse=pb.Mouse(pitch=chance.choice(_NO_NUMBERS)))),
    lambda chance: pb.Event(controls=pb.Controls(mouse=pb.Mouse(yaw_motion=chance.choice(_NO_NUMBERS)))),
    lambda chance: pb.Event(controls=pb.Controls(prompt=pb.Prompt(text="x" * 50_000))),
    lambda chance: pb.Event(
        controls=pb.Controls(camera=pb.CameraTarget(pose=pb.CameraPose(x=chance.choice((float("nan"), 1e30)))))
    ),
    lambda chance: pb.Event(client_time_us=MAX_ID + 1, pause=pb.Pause()),
)
