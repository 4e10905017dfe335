"""A real game: ViZDoom with its bundled Freedoom, walked by a scripted agent; needs the `train` extra.

Doom's world is right-handed with angles against the clock, so y and yaw change sign. Its walk has momentum and is
faster than the model's step: positions are scaled to the model's walking speed, and actions are those that follow the
walked path best, not the buttons that were pressed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from ...errors import ConfigError
from ...model.poses import STEP, extrinsics_of
from .captures import to_origin
from .infer import infer_actions
from .sample import Sample
from .shards import OnBad
from .video import Frames, fit

if TYPE_CHECKING:
    import vizdoom

Float64 = npt.NDArray[np.float64]

SCREEN: Final = (240, 320)
TICS_PER_SECOND: Final = 35.0
_NEAR_WALL: Final = 7.0
WALK_PER_TIC: Final = 8.33
"""Doom units that a walking player covers in a tic."""
UNITS_PER_DOOM_UNIT: Final = STEP / WALK_PER_TIC
_SETTLE_TICS: Final = 12
_FASTEST_STEPS: Final = 4.0
"""Model steps a frame past which Doom has teleported the player."""
# Forward, backward, left, right held, and how often.
_CHORDS: Final = (
    ((1, 0, 0, 0), 0.6),
    ((0, 1, 0, 0), 0.08),
    ((0, 0, 1, 0), 0.1),
    ((0, 0, 0, 1), 0.1),
    ((0, 0, 0, 0), 0.12),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class DoomConfig:
    """Which maps to walk, and how samples look."""

    maps: tuple[int, ...] = tuple(range(1, 33))
    """Numbers of Freedoom's maps."""
    samples_per_map: int = 4
    frames: int = 161
    height: int = 128
    width: int = 224
    seed: int = 0


def play_doom(config: DoomConfig, on_bad: OnBad) -> Iterator[Sample]:
    """Walks each map from its start, window by window. Windows with a teleport or a death are told to `on_bad`.

    Raises ConfigError when ViZDoom is not installed.
    """
    for number in config.maps:
        name = f"map{number:02d}"
        game = _start_game(name, config.seed + number)
        try:
            rng = np.random.default_rng((config.seed, number))
            for window in range(config.samples_per_map):
                frames, poses = _walk(game, config.frames, rng)
                if len(frames) < config.frames:
                    on_bad(f"{name} window {window}", f"the player died after {len(frames)} frames")
                    game.new_episode()
                    continue
                sample = _to_sample(f"doom-{name}-{window:03d}", frames, poses, config, name)
                if sample is None:
                    on_bad(f"{name} window {window}", "the player was teleported")
                else:
                    yield sample
        finally:
            game.close()


def _start_game(map_name: str, seed: int) -> vizdoom.DoomGame:
    try:
        import vizdoom
    except ImportError as error:
        raise ConfigError("ViZDoom is not installed", hint="pip install 'worldloom[train]'") from error
    game = vizdoom.DoomGame()
    game.set_doom_map(map_name)
    game.set_seed(seed)
    game.set_screen_resolution(vizdoom.ScreenResolution.RES_320X240)
    game.set_screen_format(vizdoom.ScreenFormat.RGB24)
    game.set_window_visible(False)
    game.set_depth_buffer_enabled(True)
    for hide in (game.set_render_hud, game.set_render_crosshair, game.set_render_weapon, game.set_render_messages):
        hide(False)
    # No monsters, so that walks are long; nothing else changes.
    game.add_game_args("-nomonsters")
    game.set_episode_timeout(0)
    button, variable = vizdoom.Button, vizdoom.GameVariable
    game.set_available_buttons(
        [button.MOVE_FORWARD, button.MOVE_BACKWARD, button.MOVE_LEFT, button.MOVE_RIGHT,
         button.TURN_LEFT_RIGHT_DELTA, button.USE]
    )  # fmt: skip
    game.set_available_game_variables(
        [variable.POSITION_X, variable.POSITION_Y, variable.CAMERA_POSITION_Z, variable.ANGLE, variable.PITCH]
    )
    game.init()
    for _ in range(_SETTLE_TICS):
        game.make_action([0, 0, 0, 0, 0, 0])
    return game


def _walk(game: vizdoom.DoomGame, count: int, rng: np.random.Generator) -> tuple[Frames, Float64]:
    """Frames (≤ count, 240, 320, 3) and Doom's x, y, z, angle, pitch (≤ count, 5), one a tic."""
    frames: list[Frames] = []
    rows: list[Float64] = []
    intent = Intent(chord=(0, 0, 0, 0), turn=0.0, tics=0)
    while len(frames) < count and not game.is_episode_finished():
        state = game.get_state()
        assert state is not None
        frames.append(np.array(state.screen_buffer, np.uint8))
        rows.append(np.asarray(state.game_variables, np.float64))
        stuck = len(rows) > 4 and any(intent.chord) and float(np.linalg.norm(rows[-1][:2] - rows[-4][:2])) < 1.0
        intent = _decide(rng, intent, free_ways(np.asarray(state.depth_buffer)), stuck=stuck)
        game.make_action([*intent.chord, intent.turn, float(stuck)])
    return np.stack(frames), np.stack(rows)


@dataclass(frozen=True, kw_only=True, slots=True)
class Intent:
    """What the agent does for so many more tics."""

    chord: tuple[int, int, int, int]
    turn: float
    """Degrees a tic, to the right."""
    tics: int


def free_ways(depth: npt.NDArray[np.generic]) -> Float64:
    """(3,) nearest depth to the left, ahead and to the right, from ViZDoom's (240, 320) depth buffer, in its steps."""
    band = depth[100:150].astype(np.float64)
    return np.asarray([np.percentile(band[:, low : low + 100], 20) for low in (0, 110, 220)])


def _decide(rng: np.random.Generator, now: Intent, ways: Float64, *, stuck: bool) -> Intent:
    """Goes on as before, chooses anew when its time is up, and turns to the freer side before walls."""
    is_turning_away = not any(now.chord) and now.tics > 0
    if not is_turning_away and (stuck or ways[1] < _NEAR_WALL):
        side = 1.0 if ways[2] >= ways[0] else -1.0
        return Intent(chord=(0, 0, 0, 0), turn=side * float(rng.uniform(2.5, 4.5)), tics=int(rng.integers(12, 36)))
    if now.tics > 0:
        return Intent(chord=now.chord, turn=now.turn, tics=now.tics - 1)
    pick = int(rng.choice(len(_CHORDS), p=[odds for _, odds in _CHORDS]))
    turn = float(rng.choice((-1.0, 0.0, 1.0), p=(0.2, 0.6, 0.2)) * rng.uniform(0.8, 3.0))
    return Intent(chord=_CHORDS[pick][0], turn=turn, tics=int(rng.integers(8, 30)))


def to_model_poses(rows: Float64) -> Float64:
    """(F, 5) model poses from the origin, still in Doom's lengths, of rows x, y, z, angle, pitch."""
    flipped = np.stack([rows[:, 0], -rows[:, 1], rows[:, 2], _signed(rows[:, 4]), -rows[:, 3]], -1)
    return to_origin(flipped)


def _signed(degrees: Float64) -> Float64:
    signed: Float64 = (degrees + 180.0) % 360.0 - 180.0
    return signed


def _to_sample(key: str, frames: Frames, rows: Float64, config: DoomConfig, map_name: str) -> Sample | None:
    """A sample, or None when the player was moved by something else than walking."""
    poses = to_model_poses(rows)
    poses[:, :3] *= UNITS_PER_DOOM_UNIT
    moved = np.linalg.norm(np.diff(poses[:, :2], axis=0), axis=1)
    actions = infer_actions(poses)
    if moved.max() > _FASTEST_STEPS * STEP:
        return None
    focal = SCREEN[1] / 2
    meta: dict[str, Any] = {
        "map": map_name,
        "scale": UNITS_PER_DOOM_UNIT,
        "position_error_steps": actions.position_error,
        "angle_error_deg": actions.angle_error_deg,
    }
    return Sample(
        key=key,
        frames=fit(frames, config.height, config.width),
        poses=actions.poses,
        extrinsics=extrinsics_of(poses).astype(np.float32),
        intrinsics=np.asarray(
            [config.width / 2, focal / SCREEN[0] * config.height, config.width / 2, config.height / 2], np.float32
        ),
        keyboard=actions.keyboard,
        mouse=actions.mouse,
        prompts=("first person view of a dungeon", f"first person view of a dungeon in freedoom {map_name}"),
        frames_per_second=TICS_PER_SECOND,
        source="doom",
        meta=meta,
    )
