"""Rewinds among a player's events: what of the world's plans they leave. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .events import Controls, ControlState, Event, Rewind


def turn_time(
    state: ControlState, events: Sequence[Event]
) -> tuple[tuple[Rewind, ...], ControlState, tuple[Event, ...]]:
    """The rewinds to make, one after the other, and the state and events from which to plan then.

    What is held stays held. Scripts, taps and motion from before the last rewind are forgotten, though a later plan
    still reports their events as applied. A prompt from before it counts.
    """
    fresh = sorted(
        (event for event in events if event.event_id > state.last_event_id), key=lambda event: event.event_id
    )
    rewinds = tuple(event for event in fresh if isinstance(event, Rewind))
    if not rewinds:
        return (), state, tuple(fresh)
    over = [event for event in fresh if event.event_id <= rewinds[-1].event_id]
    held = state.held
    for event in (*state.waiting, *over):
        if isinstance(event, Controls):
            held = held.after(event)
    waiting = tuple(_without_movement(event) for event in state.waiting)
    cleared = ControlState(last_event_id=state.last_event_id, held=held, waiting=waiting)
    return rewinds, cleared, (*map(_without_movement, over), *fresh[len(over) :])


def _without_movement(event: Event) -> Controls:
    prompt = event.prompt if isinstance(event, Controls) else None
    return Controls(event_id=event.event_id, client_time_us=event.client_time_us, prompt=prompt)
