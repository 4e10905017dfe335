"""What the fuzzer sends, against what the service's own reading makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worldloom.errors import MessageInvalid, WorldloomError
from worldloom.serve import wire
from worldloom.serve.fuzz.shots import Fate, Shot, Shots
from worldloom.serve.wire_events import event_of

seeds = st.integers(0, 2**32)


def read(shot: Shot) -> None:
    """As the service would. Raises what is wrong with it."""
    message = wire.parse(shot.data)
    if message.HasField("event"):
        event_of(message.event, prompt_chars=400)


@given(seeds)
def test_valid_messages_are_taken(seed: int) -> None:
    shots = Shots(seed)
    for event_id in range(1, 6):
        read(shots.valid(event_id))


@given(seeds)
def test_impossible_events_parse_and_are_refused(seed: int) -> None:
    shot = Shots(seed).out_of_range(7)
    assert shot.fate is Fate.REFUSED and shot.event_id == 7
    assert wire.parse(shot.data).event.event_id == 7
    with pytest.raises(WorldloomError):
        read(shot)


@given(seeds)
def test_what_must_end_a_connection_is_no_message_or_a_second_hello(seed: int) -> None:
    shot = Shots(seed).last(7)
    if shot.fate is Fate.ENDED:
        try:
            assert wire.parse(shot.data).HasField("hello")
        except MessageInvalid:
            return


def test_the_same_seed_draws_the_same_messages() -> None:
    def drawn(seed: int) -> list[bytes | str]:
        shots = Shots(seed)
        return [shots.valid(event_id).data for event_id in range(1, 50)] + [shots.last(50).data]

    assert drawn(3) == drawn(3) != drawn(4)
