"""What a player's inputs mean, frame by frame: held controls, taps, mouse motion and scripts become rows of actions.

The keys of a chunk's frames are not pressed yet when the chunk is planned, so live control extrapolates:

- what is held now fills the chunk;
- a press that began and ended since the last plan (a tap) is played once, for its length, from the first live frame;
- relative motion is spent once, in steps from the first live frame on;
- a camera goal steers from the first live frame on, besides what is held.

Scripts map exactly and come first: live control counts from the frame after the last script's end. A prompt counts for
the whole chunk. All functions are pure, so that a chunk that is planned again after a failure gets the same actions.

The world is paused after the chunk with the last row of a script that says so: the state after the plan has it, and is
committed with the chunk, so no other chunk can be planned in between.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

from ..model.clip import Float32, Int64
from ..model.poses import continue_poses
from .camera_goal import steer_to
from .events import Controls, ControlState, Event, Held, Pace, Script, pace_after

KEYBOARD_COLUMNS = 6
MOTION_STEP = 0.1
"""Aimed size of a frame's share of relative motion, in units of 15 degrees: the camera speed of the model's data."""


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
    prompt: str | None
    """The new prompt; None: as before."""


def plan_controls(
    state: ControlState, events: Sequence[Event], *, frames: int, frame_rate: float, pose: Float32
) -> tuple[ChunkControls, ControlState]:
    """The actions of the next `frames` frames, the first of which is seen from `pose` (5,), and the state after them.

    Events count in order of their ids; those at or below `state.last_event_id` have been taken already and are skipped.
    Turns of the world's time are reported as applied in the first frame, and have no effect here.
    """
    fresh = sorted(
        (event for event in events if event.event_id > state.last_event_id), key=lambda event: event.event_id
    )
    scripts = (*state.scripts, *(event for event in fresh if isinstance(event, Script)))
    prompt, live, applied = _take_prompts((*state.waiting, *fresh))
    keyboard = np.zeros((frames, KEYBOARD_COLUMNS), np.float32)
    mouse = np.zeros((frames, 2), np.float32)
    times = np.zeros(frames, np.int64)

    scripted, rest, began = _play_scripts(scripts, keyboard, mouse, times)
    applied += began
    held = state.held
    if scripted < frames:
        start = _pose_after(pose, keyboard[:scripted], mouse[:scripted])
        held = _play_live(held, live, frame_rate, start, keyboard[scripted:], mouse[scripted:])
        applied += [(event.event_id, scripted) for event in live]
        times[scripted:] = held.client_time_us
        live = ()
    chunk = ChunkControls(
        keyboard=keyboard, mouse=mouse, client_times_us=times, applied=tuple(sorted(applied)), prompt=prompt
    )
    last_event_id = fresh[-1].event_id if fresh else state.last_event_id
    pace = pace_after(state.pace, fresh)
    if pace is Pace.STEPPING and not any(script.pause_after for script in rest):
        pace = Pace.PAUSED
    return chunk, ControlState(last_event_id=last_event_id, held=held, waiting=live, scripts=rest, pace=pace)


def _take_prompts(events: Sequence[Event]) -> tuple[str | None, tuple[Controls, ...], list[tuple[int, int]]]:
    """The newest prompt, the controls without theirs, and the events that are done with that."""
    prompt: str | None = None
    moving: list[Controls] = []
    done: list[tuple[int, int]] = []
    for event in events:
        if isinstance(event, Controls):
            prompt = prompt if event.prompt is None else event.prompt
            if event.prompt is None or not event.is_prompt_only:
                moving.append(replace(event, prompt=None))
                continue
        if not isinstance(event, Script):
            done.append((event.event_id, 0))
    return prompt, tuple(moving), done


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
            rest.append(replace(script, keyboard=script.keyboard[count:], mouse=script.mouse[count:], started=started))
        at += count
    return at, tuple(rest), began


def _pose_after(pose: Float32, keyboard: Float32, mouse: Float32) -> Float32:
    return continue_poses(pose, keyboard, mouse)[-1] if len(mouse) else pose


def _play_live(
    held: Held, events: tuple[Controls, ...], rate: float, pose: Float32, keyboard: Float32, mouse: Float32
) -> Held:
    """Write live control into the rows. Returns what is held at their end."""
    states = list(accumulate(events, Held.after, initial=held))
    tracks = _fill_tracks(states, rate, len(keyboard))
    keyboard[:, :4] = tracks[:, :4] > 0
    for axis in range(2):
        looked = tracks[:, 4 + 2 * axis] - tracks[:, 5 + 2 * axis]
        motion = sum(event.motion[axis] for event in events)
        mouse[:, axis] = np.clip(looked + _spend(motion, len(mouse)), -1, 1)
    steer_to(states[-1].goal, pose, keyboard, mouse)
    return states[-1]


def _spend(motion: float, frames: int) -> Float32:
    """Split a motion over the first frames, in equal steps of at most MOTION_STEP where there are enough frames."""
    steps = np.zeros(frames, np.float32)
    # One part in 1e6 keeps a motion of exactly n steps from taking n + 1 of them.
    count = min(frames, math.ceil(abs(motion) / MOTION_STEP - 1e-6))
    steps[:count] = motion / max(count, 1)
    return steps


def _tracks(held: Held) -> tuple[float, ...]:
    """One non-negative number for each thing that can be pressed: four keys, then down, up, right, left."""
    pitch, yaw = held.look
    return (*map(float, held.keys), max(pitch, 0.0), max(-pitch, 0.0), max(yaw, 0.0), max(-yaw, 0.0))


def _fill_tracks(states: list[Held], rate: float, frames: int) -> Float32:
    """(frames, 8) tracks: held ones full, tapped ones for the taps' lengths, one tap after the other. The first state
    is the one of the last plan."""
    filled = np.zeros((frames, 8), np.float32)
    values = [_tracks(state) for state in states]
    times = [state.client_time_us for state in states[1:]]
    for track in range(8):
        before, *later = [value[track] for value in values]
        if values[-1][track] > 0:
            filled[:, track] = values[-1][track]
        else:
            _play_taps(filled[:, track], before, later, times, rate)
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
