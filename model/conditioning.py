"""What stays the same over all solver steps of a clip: computed once by `WorldTransformer.prepare`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .rope import AxisRope, Rope


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionConditioning:
    """A block's view of the actions: F frames, memory first."""

    mouse: Tensor
    """(B, F, mouse_hidden_dim): the mouse rows' share of the mouse MLP's first layer, bias included."""
    key: Tensor
    """(B, F, heads, d) from the keyboard, turned."""
    value: Tensor
    """(B, F, heads, d) from the keyboard."""
    mouse_rope: Rope
    """(1, F, 1, pairs), for the mouse's queries and keys."""
    keyboard_rope: Rope
    """(1, F, 1, pairs), for the keyboard's queries."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockConditioning:
    """What one block needs of text, camera and actions."""

    text_key: Tensor
    """(B, text_len, heads, d), in the dtype that the block's linear layers run in."""
    text_value: Tensor
    """(B, text_len, heads, d)."""
    text_bias: Tensor | None = None
    """(text_len,) float32, added to the scores of these keys: a key may stand for several, or for none."""
    text_scale: Tensor | None = None
    """() float32: what attended values are to be multiplied by where they are kept in e4m3."""
    camera: tuple[Tensor, Tensor] | None
    """Scale and shift, (B, N, D) each; None when they are computed anew in each forward."""
    action: ActionConditioning | None
    """None in blocks without an action module."""

    @property
    def dtype(self) -> torch.dtype:
        return self.text_key.dtype


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditioning:
    """A clip's conditioning: N = frames · grid tokens, memory frames first."""

    frames: int
    memory_frames: int
    """How many of the frames are memory; 0 in a model that has none."""
    rope: Rope | None
    """(B or 1, N, heads or 1, pairs), for self-attention; None for blocks that use `axis_rope`."""
    axis_rope: AxisRope
    """The same turns, as a table by frame, row and column."""
    camera: Tensor | None
    """(B, N, D) camera embedding; None when every block has its scale and shift."""
    blocks: tuple[BlockConditioning, ...]
