"""The layers of the fast decoder. Each knows what the layer after it needs, and makes just that."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from .convolution import Convolution, Shortcut, convolve
from .grid import Grid, empty_frames, picture
from .norm import Norm, normed
from .signal import Need, Piece, Signal, emit, emit_frames


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Causal:
    """A causal convolution of the signal's buffer: the first of the network."""

    convolution: Convolution
    then: Need

    def __call__(self, signal: Signal, piece: Piece) -> Signal:
        assert signal.buffer is not None, "a causal convolution takes a buffer"
        piece.close(signal.buffer)
        return emit(signal.buffer, self.convolution, self.then, piece)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Residual:
    """A residual block, whose first norm has been taken by the layer before."""

    first: Convolution
    norm: Norm
    """Between the convolutions."""
    second: Convolution
    widening: Convolution | None
    """1×1×1, of the shortcut where widths differ."""
    then: Need

    def __call__(self, signal: Signal, piece: Piece) -> Signal:
        assert signal.raw is not None and signal.buffer is not None, "a residual block takes both forms"
        piece.close(signal.buffer)
        hidden = emit(signal.buffer, self.first, Need(raw=False, norm=self.norm), piece).buffer
        assert hidden is not None
        piece.close(hidden)
        shortcut = signal.raw
        if self.widening is not None:
            shortcut = empty_frames(len(shortcut), Grid.of(shortcut), self.widening.out_channels, shortcut)
            convolve(signal.raw, self.widening, raw=shortcut)
        return emit(hidden, self.second, self.then, piece, shortcut=Shortcut(frames=shortcut))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Attention:
    """Single-head attention among the positions of each frame, as a residual."""

    norm: Norm
    qkv: tuple[Tensor, Tensor]
    """Weight (3C, C) and bias."""
    projection: tuple[Tensor, Tensor]
    """Weight (C, C) and bias."""
    then: Need

    def __call__(self, signal: Signal, piece: Piece) -> Signal:
        assert signal.raw is not None, "attention takes frames as they are"
        return emit_frames(piece.across(signal.raw, self._attended), self.then, piece)

    def _attended(self, raw: Tensor) -> Tensor:
        inside = picture(raw)[..., : self.norm.channels]
        tokens = picture(normed(raw, self.norm))[..., : self.norm.channels].to(inside.dtype).flatten(1, 2)
        query, key, value = F.linear(tokens, *self.qkv)[:, None].chunk(3, dim=-1)
        attended = F.scaled_dot_product_attention(query, key, value)[:, 0]
        frames = raw.clone()
        picture(frames)[..., : self.norm.channels].add_(F.linear(attended, *self.projection).view(inside.shape))
        return frames


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Enlargement:
    """The end of a stage that doubles space, and time where it has convolutions for it, with the stage's shortcut."""

    earlier: Convolution | None
    """Of the two frames that each frame becomes; kernel 3 in time."""
    later: Convolution | None
    space: Convolution
    repeats: int
    """See Shortcut."""
    then: Need

    @property
    def time_factor(self) -> int:
        """Frames that a frame becomes."""
        return 1 if self.earlier is None else 2

    def __call__(self, signal: Signal, piece: Piece, stage_input: Tensor) -> Signal:
        assert signal.raw is not None, "a stage's end takes frames as they are"
        frames = signal.raw
        if signal.buffer is not None:
            frames = self._doubled(signal.buffer, piece)
        piece.complete(frames)
        shortcut = Shortcut(
            frames=stage_input,
            time_factor=self.time_factor,
            time_offset=stage_input.shape[0] * self.time_factor - len(frames),
            repeats=self.repeats,
        )
        return emit(frames, self.space, self.then, piece, shortcut=shortcut)

    def _doubled(self, buffer: Tensor, piece: Piece) -> Tensor:
        """Twice the frames; but one of a stream's first."""
        assert self.earlier is not None and self.later is not None, "only a stage that doubles time takes a buffer"
        piece.close(buffer)
        count = 2 * (len(buffer) - self.earlier.past_frames)
        frames = empty_frames(count, Grid.of(buffer), self.earlier.out_channels, buffer)
        convolve(buffer, self.earlier, raw=frames[0::2])
        convolve(buffer, self.later, raw=frames[1::2])
        return frames[1:] if piece.is_first else frames


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Stage:
    """Residual blocks, then the change of size, if there is one."""

    blocks: tuple[Residual, ...]
    end: Enlargement | None

    def __call__(self, signal: Signal, piece: Piece) -> Signal:
        stage_input = signal.raw
        assert stage_input is not None, "a stage takes frames as they are"
        for block in self.blocks:
            signal = block(signal, piece)
        return signal if self.end is None else self.end(signal, piece, stage_input)
