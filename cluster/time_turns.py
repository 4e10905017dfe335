"""Rewinds among a player's events: what of the world's plans they leave. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .events import Controls, ControlState, Event, Rewind, pace_after


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Turn:
    """The world goes back."""

    rewind: Rewind
    controls: ControlState
    """What the new branch's first plan starts from. All events up to the rewind are taken with it: an owner that goes
    on with it needs none of them again."""


def next_turn(state: ControlState, events: Sequence[Event]) -> Turn | None:
    """The first rewind among the events, if there is one.

    What is held stays held. Scripts, taps and motion from before the rewind are forgotten, though a later plan still
    reports their events as applied. A prompt from before it counts.
    """
    fresh = sorted(
        (event for event in events if event.event_id > state.last_event_id), key=lambda event: event.event_id
    )
    rewind = next((event for event in fresh if isinstance(event, Rewind)), None)
    if rewind is None:
        return None
    over = [event for event in fresh if event.event_id <= rewind.event_id]
    held = state.held
    for event in (*state.waiting, *over):
        if isinstance(event, Controls):
            held = held.after(event)
    unplayed = (script for script in state.scripts if not script.started)
    waiting = sorted((*state.waiting, *unplayed, *over), key=lambda event: event.event_id)
    controls = ControlState(
        last_event_id=rewind.event_id,
        held=held,
        waiting=tuple(_without_movement(event) for event in waiting),
        pace=pace_after(state.pace, over),
    )
    return Turn(rewind=rewind, controls=controls)


def ignoring(events: Sequence[Event], rewind: Rewind) -> tuple[Event, ...]:
    """The events with a rewind that cannot be made: it has no effect, but is reported as applied."""
    return tuple(_without_movement(event) if event is rewind else event for event in events)


def _without_movement(event: Event) -> Controls:
    prompt = event.prompt if isinstance(event, Controls) else None
    return Controls(event_id=event.event_id, client_time_us=event.client_time_us, prompt=prompt)
