"""A world as a Gymnasium environment. Needs the extra `gym`.

    env = WorldEnv("http://127.0.0.1:8000", sample="street")
    frames, info = env.reset(seed=7)
    frames, reward, terminated, truncated, info = env.step({"keys": [1, 0, 0, 0], "mouse": [0.0, 0.1]})

A step is a chunk: the action is held for all its frames, and the world stands still between steps. Worlds have no goal
of their own: the reward is 0 and no state is final; wrap the environment to give it both.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, TypedDict, Unpack, cast

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from .blocking import BlockingWorld, open_world_blocking
from .controls import Held
from .errors import SessionEnded
from .frames import WorldFrame
from .service import StartRequest

Frames = npt.NDArray[np.uint8]


class Action(TypedDict):
    """What is held during a step."""

    keys: npt.NDArray[np.int8]
    """(4,) in {0, 1}: forward, back, left, right."""
    mouse: npt.NDArray[np.float32]
    """(2,) in [-1, 1]: pitch and yaw a frame, in units of 15 degrees; positive looks down and turns right."""


class WorldEnv(gymnasium.Env[Frames, Action]):
    """Observations are a chunk's frames: uint8 (frames, height, width, 3)."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012  # as the base class has it

    def __init__(self, url: str, *, render_mode: str | None = None, **start: Unpack[StartRequest]) -> None:
        """Opens a session, to see the size of its frames. Raises what the service reports, or Unreachable."""
        self.render_mode = render_mode
        self._url = url
        self._start = start
        self._session = ExitStack()
        self._world = self._open(start)
        self._is_fresh = True
        self._last: Frames | None = None
        info = self._world.info
        size = (info.frames_per_chunk, info.height, info.width, 3)
        self.metadata = {**self.metadata, "render_fps": info.frame_rate}
        self.observation_space = spaces.Box(0, 255, size, np.uint8)
        self.action_space: spaces.Space[Any] = spaces.Dict(
            {"keys": spaces.MultiBinary(4), "mouse": spaces.Box(-1.0, 1.0, (2,), np.float32)}
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frames, dict[str, Any]]:
        """A new world, stood in for one chunk. `options` are fields of StartRequest for this world."""
        super().reset(seed=seed)
        start = cast(StartRequest, {**self._start, **(options or {})})
        if seed is not None:
            start["seed"] = seed
        if not self._is_fresh or start != self._start:
            self._world = self._open(start)
        self._is_fresh = False
        frames = self._world.step([Held()] * self._world.info.first_chunk_frames)
        return self._observe(frames), _tell(frames)

    def step(self, action: Action) -> tuple[Frames, float, bool, bool, dict[str, Any]]:
        """Hold the action for a chunk. Truncated: the session has ended, and the last frames are seen again."""
        rows = [_held(action)] * self._world.info.frames_per_chunk
        try:
            frames = self._world.step(rows)
        except SessionEnded:
            assert self._last is not None, "step comes after reset"
            return self._last, 0.0, False, True, {}
        return self._observe(frames), 0.0, False, False, _tell(frames)

    def render(self) -> Frames | None:
        """The last frame (height, width, 3); None before the first reset, or without a render mode."""
        return None if self._last is None or self.render_mode is None else self._last[-1]

    def close(self) -> None:
        """End the session."""
        self._session.close()

    def _open(self, start: StartRequest) -> BlockingWorld:
        self._session.close()
        world = self._session.enter_context(open_world_blocking(self._url, **start))
        # A world that hears nothing would soon begin by itself.
        world.pause()
        return world

    def _observe(self, frames: list[WorldFrame]) -> Frames:
        self._last = np.stack([frame.image for frame in frames[-self._world.info.frames_per_chunk :]])
        return self._last


def _held(action: Action) -> Held:
    forward, back, left, right = (bool(key) for key in action["keys"])
    pitch, yaw = (float(angle) for angle in action["mouse"])
    return Held(forward=forward, back=back, left=left, right=right, camera_pitch=pitch, camera_yaw=yaw)


def _tell(frames: list[WorldFrame]) -> dict[str, Any]:
    """Where the step has led to."""
    last = frames[-1]
    return {"frame_id": last.frame_id, "branch": last.branch, "chunk": last.chunk, "pose": last.pose}
