"""What a player asks for, as values: held controls, scripts, and turns of the world's time. NumPy only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from ..model.clip import Float32

Keys = tuple[bool, bool, bool, bool]
"""Forward, back, left, right."""
Pose = tuple[float, float, float, float, float]
"""x, y, z in units, pitch and yaw in degrees; see `model.poses`."""
ORIGIN: Pose = (0.0, 0.0, 0.0, 0.0, 0.0)
NO_KEYS: Keys = (False, False, False, False)


@dataclass(frozen=True, kw_only=True, slots=True)
class CameraGoal:
    """Where the camera is to go."""

    pose: Pose | None = None
    """None: nowhere, the camera is let go."""
    look_only: bool = False
    """Turn there, but do not walk."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Controls:
    """What is held from this event on, track by track, and motion to spend. None: the track stays as it is.

    Angles are in units of 15 degrees; positive pitch looks down, positive yaw turns right.
    """

    event_id: int
    client_time_us: int = 0
    """Of the client's monotonic clock: only differences count."""
    keys: Keys | None = None
    look: tuple[float, float] | None = None
    """Pitch and yaw a frame, in [-1, 1]."""
    motion: tuple[float, float] = (0.0, 0.0)
    """Pitch and yaw, spent once."""
    goal: CameraGoal | None = None
    prompt: str | None = None

    @property
    def is_prompt_only(self) -> bool:
        """Whether the event leaves all that moves as it is."""
        return self.keys is None and self.look is None and self.goal is None and not any(self.motion)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Script:
    """Exact actions of the next frames."""

    event_id: int
    client_time_us: int
    keyboard: Float32
    """(n, 6) in {0, 1}: W, S, A, D and two unused columns."""
    mouse: Float32
    """(n, 2) pitch and yaw a frame in units of 15 degrees, in [-1, 1]."""
    pause_after: bool = False
    """A step: it is played though the world is paused, and the world is paused after it."""
    started: bool = False
    """Whether earlier frames of the script have been played, and its event been reported as applied."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pause:
    """No chunk is planned until a later `Play` or step."""

    event_id: int
    client_time_us: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Play:
    """The end of a pause."""

    event_id: int
    client_time_us: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Rewind:
    """Go on after the first `chunk` chunks of a branch, in a new branch. Chunk 0 is the start image."""

    event_id: int
    client_time_us: int = 0
    chunk: int = 0
    branch: int | None = None
    """None: the one that grows."""


Event = Controls | Script | Pause | Play | Rewind


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """All tracks at one moment."""

    client_time_us: int = 0
    """Of the newest event in it."""
    keys: Keys = NO_KEYS
    look: tuple[float, float] = (0.0, 0.0)
    goal: CameraGoal = CameraGoal()

    def after(self, event: Controls) -> Held:
        """What is held once the event has come."""
        return replace(
            self,
            client_time_us=event.client_time_us,
            keys=self.keys if event.keys is None else event.keys,
            look=self.look if event.look is None else event.look,
            goal=self.goal if event.goal is None else event.goal,
        )


class Pace(Enum):
    """Whether chunks are made."""

    PLAYING = "playing"
    PAUSED = "paused"
    STEPPING = "stepping"
    """Until the last step has been played; then paused."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ControlState:
    """What the next plan depends on besides new events. It is committed with each chunk."""

    last_event_id: int = 0
    """Events up to this have been taken; a repeated one has no second effect."""
    held: Held = Held()
    """The newest controls that have taken effect."""
    waiting: tuple[Controls, ...] = ()
    """Controls that wait for the end of the scripts."""
    scripts: tuple[Script, ...] = ()
    """What is left of the scripts, first one first."""
    pace: Pace = Pace.PLAYING


NOTHING_HELD = ControlState()


def pace_after(pace: Pace, events: Iterable[Event]) -> Pace:
    """The pace once these events have come, of which the last counts, in order of event ids: that of their arrival, and
    when chunks are planned between them, makes no difference.

    Pause and Play count at once, a step until it has been played or a later Pause or Play comes. A rewind forgets the
    scripts that wait, steps among them.
    """
    for event in sorted(events, key=lambda event: event.event_id):
        match event:
            case Pause():
                pace = Pace.PAUSED
            case Play():
                pace = Pace.PLAYING
            case Script(pause_after=True):
                pace = Pace.STEPPING
            case Rewind() if pace is Pace.STEPPING:
                pace = Pace.PAUSED
    return pace
