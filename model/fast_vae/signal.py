"""What passes between the fast decoder's layers: frames as they are, and frames that the next convolution takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ..vae_blocks import Caches
from .convolution import Convolution, Shortcut, convolve
from .grid import Grid, empty_frames
from .norm import Norm, activate

PAST_FRAMES = 2
"""That a causal convolution sees of the stream before a piece."""


class Piece:
    """The caches around one piece of a stream: those of the piece before, and those that this piece leaves."""

    def __init__(self, before: Caches | None) -> None:
        self.is_first = before is None
        self._before = iter(before or ())
        self._after: list[Tensor] = []

    def open(self, count: int, grid: Grid, channels: int, like: Tensor) -> Tensor:
        """Frames to be written, with the stream's past, or zeros at its start, in front.

        Buffers are opened and closed in the order of the convolutions that take them.
        """
        buffer = empty_frames(PAST_FRAMES + count, grid, channels, like)
        if self.is_first:
            buffer[:PAST_FRAMES].zero_()
        else:
            buffer[:PAST_FRAMES].copy_(next(self._before))
        return buffer

    def across(self, frames: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """What `compute` makes of frames of which it has to see all positions."""
        return compute(frames)

    def complete(self, frames: Tensor) -> None:
        """A convolution is going to look at the neighbours of all positions of `frames`: fill in those that others have
        computed."""

    def close(self, buffer: Tensor) -> None:
        """The buffer is full: its last frames are the next piece's past."""
        self.complete(buffer[PAST_FRAMES:])
        # A clone, because a view would keep the whole buffer alive.
        self._after.append(buffer[-PAST_FRAMES:].clone())

    @property
    def caches(self) -> Caches:
        """What the next piece needs."""
        return tuple(self._after)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Need:
    """What a layer takes."""

    raw: bool
    """Frames as they are."""
    raw_past: bool = False
    """… with the past in front."""
    norm: Norm | None = None
    """Of SiLU(norm(frames)), with the past in front."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Signal:
    """Frames between two layers, in the forms that the second one needs."""

    raw: Tensor | None
    """(T, H + 1, W + 1, C)."""
    buffer: Tensor | None
    """(2 + T, H + 1, W + 1, C): what the next causal convolution takes."""


def emit(
    source: Tensor,
    convolution: Convolution,
    need: Need,
    piece: Piece,
    *,
    shortcut: Shortcut | None = None,
) -> Signal:
    """The convolution's result in the forms of `need`."""
    count = len(source) - convolution.past_frames
    grid = Grid.of(source) if convolution.scale == 1 else Grid.of(source).doubled
    signal = _opened(need, piece, count, grid, convolution.out_channels, source)
    active = None if need.norm is None or signal.buffer is None else signal.buffer[PAST_FRAMES:]
    convolve(source, convolution, raw=signal.raw, active=active, norm=need.norm, shortcut=shortcut)
    return signal


def emit_frames(frames: Tensor, need: Need, piece: Piece) -> Signal:
    """Frames that no convolution has made, in the forms of `need`."""
    signal = _opened(need, piece, len(frames), Grid.of(frames), frames.shape[3], frames)
    if signal.raw is not None:
        signal.raw.copy_(frames)
    if need.norm is not None and signal.buffer is not None:
        activate(frames, need.norm, into=signal.buffer[PAST_FRAMES:])
    return signal


def _opened(need: Need, piece: Piece, count: int, grid: Grid, channels: int, like: Tensor) -> Signal:
    buffer = piece.open(count, grid, channels, like) if need.raw_past or need.norm is not None else None
    if need.raw_past:
        assert buffer is not None and need.norm is None, "one convolution takes one buffer"
        return Signal(raw=buffer[PAST_FRAMES:], buffer=buffer)
    return Signal(raw=empty_frames(count, grid, channels, like) if need.raw else None, buffer=buffer)
