"""How a player moves: random candidate actions for the next stretch of frames, and whole-episode styles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

CAMERA_KEY: Final = 0.1
"""Mouse units a frame that a held camera key gives."""
FASTEST: Final = 0.3
"""Mouse units a frame of the quickest sweep."""
PITCH_LIMIT_DEG: Final = 30.0

# W, S, A, D held, and how often.
_CHORDS: Final = (
    ((0, 0, 0, 0), 0.08),
    ((1, 0, 0, 0), 0.38),
    ((0, 1, 0, 0), 0.10),
    ((0, 0, 1, 0), 0.11),
    ((0, 0, 0, 1), 0.11),
    ((1, 0, 1, 0), 0.06),
    ((1, 0, 0, 1), 0.06),
    ((0, 1, 1, 0), 0.04),
    ((0, 1, 0, 1), 0.04),
    ((1, 1, 0, 0), 0.01),
    ((0, 0, 1, 1), 0.01),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """K things each of B players might do for L frames."""

    keyboard: Tensor
    """(B, K, L, 6)."""
    mouse: Tensor
    """(B, K, L, 2)."""


def draw_candidates(pitch: Tensor, number: int, length: int, generator: torch.Generator) -> Candidates:
    """Random actions for players whose pitch is (B,) degrees. The last candidate stands still, so one always fits."""
    batch = len(pitch)
    shape = (batch, number)
    chords = torch.tensor([chord for chord, _ in _CHORDS], dtype=torch.float32)
    odds = torch.tensor([odds for _, odds in _CHORDS])
    pick = torch.multinomial(odds, batch * number, replacement=True, generator=generator).view(shape)
    pick[:, -1] = 0
    keyboard = torch.zeros(*shape, length, 6)
    keyboard[..., :4] = chords[pick][:, :, None] * _spell(shape, length, generator)[..., None]
    yaw = _yaw(shape, length, generator)
    mouse = torch.stack([_pitch(pitch.cpu(), number, length, generator), yaw], -1)
    return Candidates(keyboard=keyboard, mouse=mouse)


def _spell(shape: tuple[int, int], length: int, generator: torch.Generator) -> Tensor:
    """(B, K, L) 1 while a key is held: mostly throughout, else from one random frame to another."""
    ends = (torch.rand(*shape, 2, generator=generator) * length).sort(-1).values
    whole = torch.rand(shape, generator=generator) < 0.6
    frame = torch.arange(length)
    held = (frame >= ends[..., :1]) & (frame <= ends[..., 1:])
    return (held | whole[..., None]).float()


def _yaw(shape: tuple[int, int], length: int, generator: torch.Generator) -> Tensor:
    """(B, K, L) still, a held camera key, a steady mouse, or a mouse sweep that swells and fades."""
    style = torch.rand(shape, generator=generator)[..., None]
    sign = torch.where(torch.rand(shape, generator=generator) < 0.5, -1.0, 1.0)[..., None]
    rate = (0.02 + (FASTEST - 0.02) * torch.rand(shape, generator=generator))[..., None]
    spell = _spell(shape, length, generator)
    phase = (torch.arange(length) + 0.5) / length
    swell = torch.sin(torch.pi * phase) ** 2
    held = torch.where(style < 0.65, CAMERA_KEY * spell, torch.where(style < 0.8, rate * spell, rate * swell))
    return sign * torch.where(style < 0.28, torch.zeros_like(held), held)


def _pitch(pitch: Tensor, number: int, length: int, generator: torch.Generator) -> Tensor:
    """(B, K, L) mostly level: now and then a look up or down by a held key, and soon back to level."""
    shape = (len(pitch), number)
    chance = torch.rand(shape, generator=generator)[..., None]
    sign = torch.where(torch.rand(shape, generator=generator) < 0.5, -1.0, 1.0)[..., None]
    frames = torch.randint(4, 16, shape, generator=generator)[..., None]
    frame = torch.arange(length)
    look = sign * CAMERA_KEY * (frame < frames)
    steady = 0.03 * sign * (frame < frames)
    wander = torch.where(chance < 0.08, look, torch.where(chance < 0.11, steady, torch.zeros_like(look)))
    degrees = pitch[:, None, None]
    frames_back = torch.round(degrees.abs() / (15 * CAMERA_KEY))
    back = -degrees.sign() * CAMERA_KEY * (frame < frames_back)
    tilted = degrees.abs() >= 0.75
    return torch.where(tilted, torch.where(chance < 0.6, back.expand_as(look), torch.zeros_like(look)), wander)


@dataclass(frozen=True, kw_only=True, slots=True)
class Styles:
    """What each of B episodes is about."""

    returns: Tensor
    """(B,) int: 0 wanders on, 1 walks back in exact reverse, 2 turns round and walks back."""
    spin: Tensor
    """(B,) mouse units of a steady turn that the player prefers, 0 for none."""
    circling: Tensor
    """(B,) bool: walks ahead while turning steadily."""
    lengths: Tensor
    """(B, 2) float in [0, 1): how much of the possible way out is used, how long the pause or turn is."""


def draw_styles(batch: int, generator: torch.Generator) -> Styles:
    """Random styles: about half wander, two fifths come back, the others look about or walk in circles."""
    returns = torch.multinomial(torch.tensor([0.6, 0.23, 0.17]), batch, replacement=True, generator=generator)
    mood = torch.rand(batch, generator=generator)
    sign = torch.where(torch.rand(batch, generator=generator) < 0.5, -1.0, 1.0)
    rate = 0.1 + 0.2 * torch.rand(batch, generator=generator)
    spinning = (mood < 0.14) & (returns == 0)
    circling = (mood < 0.35) & (mood >= 0.14) & (returns == 0)
    spin = torch.where(spinning | circling, sign * torch.where(mood < 0.25, rate, CAMERA_KEY), 0.0)
    return Styles(returns=returns, spin=spin, circling=circling, lengths=torch.rand(batch, 2, generator=generator))


def lean(candidates: Candidates, styles: Styles) -> Candidates:
    """The same candidates, half of them bent to the styles of those who spin or circle."""
    number = candidates.mouse.shape[1]
    bent = (styles.spin != 0)[:, None] & (torch.arange(number) < number // 2)
    mouse, keyboard = candidates.mouse.clone(), candidates.keyboard.clone()
    mouse[..., 1] = torch.where(bent[..., None], styles.spin[:, None, None].expand_as(mouse[..., 1]), mouse[..., 1])
    ahead = torch.zeros(6)
    ahead[0] = 1.0
    wanted = torch.where(styles.circling[:, None, None, None], ahead, torch.zeros(6))
    keyboard = torch.where(bent[..., None, None], wanted.expand_as(keyboard), keyboard)
    return Candidates(keyboard=keyboard, mouse=mouse)
