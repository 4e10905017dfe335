"""Actions for a benchmark: a walk that keeps coming back, so that retrieval has places to find."""

from __future__ import annotations

from ...model.clip import FIRST_CLIP_FRAMES, NEW_FRAMES
from ..actions import Actions, concatenate, fitted
from ..scripts import random_script

LEG_FRAMES = 90
"""Frames of each way out; the way back takes as many."""


def there_and_back(seed: int, frames: int) -> Actions:
    """Exactly `frames` frames: ways out by chance, each walked back to where it began. The same for the same seed."""
    legs: list[Actions] = []
    for leg in range(-(-frames // (2 * LEG_FRAMES))):
        out = random_script(seed + leg, LEG_FRAMES)
        legs += [out, out.reversed()]
    return fitted(concatenate(legs), frames)


def chunk_actions(actions: Actions, chunk: int) -> Actions:
    """The rows of one chunk."""
    start = 0 if chunk == 0 else FIRST_CLIP_FRAMES + NEW_FRAMES * (chunk - 1)
    return actions[start : start + (FIRST_CLIP_FRAMES if chunk == 0 else NEW_FRAMES)]


def frames_of(chunks: int) -> int:
    """Frames of a world's first `chunks` chunks."""
    return FIRST_CLIP_FRAMES + NEW_FRAMES * (chunks - 1)
