"""What a player's inputs mean, frame by frame: held controls, taps, mouse motion and scripts become rows of actions.

The keys of a chunk's frames are not pressed yet when the chunk is planned, so live control extrapolates:

- what is held now fills the chunk;
- a press that began and ended since the last plan (a tap) is played once, for its length, from the first live frame;
- relative motion is spent once, in steps from the first live frame on.

Scripts map exactly and come first: live control counts from the frame after the last script's end.
All functions are pure, so that a chunk that is planned again after a failure gets the same actions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..model.clip import Float32, Int64

KEYBOARD_COLUMNS = 6
MOTION_STEP = 0.1
"""Aimed size of a frame's share of relative motion, in units of 15 degrees: the camera speed of the model's data."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Controls:
    """What is held from this event on, and motion to spend. Angles are in units of 15 degrees."""

    event_id: int = 0
    client_time_us: int = 0
    """Of the client's monotonic clock: only differences count."""
    keys: tuple[bool, bool, bool, bool] = (False, False, False, False)
    """Forward, back, left, right."""
    camera_pitch: float = 0.0
    """A frame, in [-1, 1]; positive looks down."""
    camera_yaw: float = 0.0
    """A frame, in [-1, 1]; positive turns right."""
    pitch_motion: float = 0.0
    yaw_motion: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Script:
    """Exact actions of the next frames."""

    event_id: int
    client_time_us: int
    keyboard: Float32
    """(n, 6) in {0, 1}: W, S, A, D and two unused columns."""
    mouse: Float32
    """(n, 2) pitch and yaw a frame in units of 15 degrees, in [-1, 1]."""
    started: bool = False
    """Whether earlier frames of the script have been played, and its event been reported as applied."""


Event = Controls | Script


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ControlState:
    """What the next plan depends on besides new events. It is committed with each chunk."""

    last_event_id: int = 0
    held: Controls = Controls()
    """The newest controls that have taken effect."""
    waiting: tuple[Controls, ...] = ()
    """Controls that wait for the end of the scripts."""
    scripts: tuple[Script, ...] = ()
    """What is left of the scripts, first one first."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ChunkControls:
    """The actions of one chunk's F new frames."""

    keyboard: Float32
    """(F, 6) in {0, 1}."""
    mouse: Float32
    """(F, 2) in [-1, 1]."""
    client_times_us: Int64
    """(F,) time stamp of the newest event that shaped each frame; 0 if none."""
    applied: tuple[tuple[int, int], ...]
    """(event id, first frame of the chunk that it shaped) of the events that take effect in this chunk."""


def plan_controls(
    state: ControlState, events: Sequence[Event], *, frames: int, frame_rate: float
) -> tuple[ChunkControls, ControlState]:
    """The actions of the next `frames` frames and the state after them.

    Events count in order of their ids; those at or below `state.last_event_id` have been taken already and are skipped.
    """
    fresh = sorted(
        (event for event in events if event.event_id > state.last_event_id), key=lambda event: event.event_id
    )
    scripts = (*state.scripts, *(event for event in fresh if isinstance(event, Script)))
    live = (*state.waiting, *(event for event in fresh if isinstance(event, Controls)))
    keyboard = np.zeros((frames, KEYBOARD_COLUMNS), np.float32)
    mouse = np.zeros((frames, 2), np.float32)
    times = np.zeros(frames, np.int64)

    scripted, rest, applied = _play_scripts(scripts, keyboard, mouse, times)
    held = state.held
    if scripted < frames:
        _play_live(held, live, frame_rate, keyboard[scripted:], mouse[scripted:])
        applied += [(event.event_id, scripted) for event in live]
        held, live = (live[-1] if live else held), ()
        times[scripted:] = held.client_time_us
    chunk = ChunkControls(keyboard=keyboard, mouse=mouse, client_times_us=times, applied=tuple(sorted(applied)))
    last_event_id = fresh[-1].event_id if fresh else state.last_event_id
    return chunk, ControlState(last_event_id=last_event_id, held=held, waiting=live, scripts=rest)


def _play_scripts(
    scripts: tuple[Script, ...], keyboard: Float32, mouse: Float32, times: Int64
) -> tuple[int, tuple[Script, ...], list[tuple[int, int]]]:
    """Write the scripts into the rows: how many rows they took, what is left of them, and the events that began."""
    at, frames = 0, len(keyboard)
    began: list[tuple[int, int]] = []
    rest: list[Script] = []
    for script in scripts:
        count = min(len(script.keyboard), frames - at)
        keyboard[at : at + count], mouse[at : at + count] = script.keyboard[:count], script.mouse[:count]
        times[at : at + count] = script.client_time_us
        started = script.started or count > 0
        if started and not script.started:
            began.append((script.event_id, at))
        if count < len(script.keyboard):
            rest.append(_after(script, count, started))
        at += count
    return at, tuple(rest), began


def _after(script: Script, count: int, started: bool) -> Script:
    return Script(
        event_id=script.event_id,
        client_time_us=script.client_time_us,
        keyboard=script.keyboard[count:],
        mouse=script.mouse[count:],
        started=started,
    )


def _play_live(held: Controls, events: tuple[Controls, ...], rate: float, keyboard: Float32, mouse: Float32) -> None:
    tracks = _fill_tracks(held, events, rate, len(keyboard))
    keyboard[:, :4] = tracks[:, :4] > 0
    motion = [sum(event.pitch_motion for event in events), sum(event.yaw_motion for event in events)]
    for axis, amount in enumerate(motion):
        looked = tracks[:, 4 + 2 * axis] - tracks[:, 5 + 2 * axis]
        mouse[:, axis] = np.clip(looked + _spend(amount, len(mouse)), -1, 1)


def _spend(motion: float, frames: int) -> Float32:
    """Split a motion over the first frames, in equal steps of at most MOTION_STEP where there are enough frames."""
    steps = np.zeros(frames, np.float32)
    # One part in 1e6 keeps a motion of exactly n steps from taking n + 1 of them.
    count = min(frames, math.ceil(abs(motion) / MOTION_STEP - 1e-6))
    steps[:count] = motion / max(count, 1)
    return steps


def _tracks(controls: Controls) -> tuple[float, ...]:
    """One non-negative number for each thing that can be pressed: four keys, then down, up, right, left."""
    pitch, yaw = controls.camera_pitch, controls.camera_yaw
    return (*map(float, controls.keys), max(pitch, 0.0), max(-pitch, 0.0), max(yaw, 0.0), max(-yaw, 0.0))


def _fill_tracks(held: Controls, events: tuple[Controls, ...], rate: float, frames: int) -> Float32:
    """(frames, 8) tracks: held ones full, tapped ones for the taps' lengths, one tap after the other."""
    filled = np.zeros((frames, 8), np.float32)
    now = _tracks(events[-1] if events else held)
    before = _tracks(held)
    times = [event.client_time_us for event in events]
    for track in range(8):
        values = [_tracks(event)[track] for event in events]
        if now[track] > 0:
            filled[:, track] = now[track]
        else:
            _play_taps(filled[:, track], before[track], values, times, rate)
    return filled


def _play_taps(row: Float32, before: float, values: list[float], times: list[int], rate: float) -> None:
    """Write each press that began and ended within the events, at its strongest value, one after the other."""
    at, value, since = 0, before, 0
    # What was held at the last plan has filled that chunk already: its release is no tap.
    is_tap = False
    for new, time in zip(values, times, strict=True):
        if new > 0 and value == 0:
            is_tap, since, value = True, time, new
        elif new > 0:
            value = max(value, new)
        elif value > 0:
            if is_tap:
                length = max(1, round((time - since) * 1e-6 * rate))
                row[at : at + length] = value
                at += length
            value = 0.0
