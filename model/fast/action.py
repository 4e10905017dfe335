"""The action module with its element-wise work folded into the passes between its matrix products."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from ..action import ActionModule, ActionWindows, condition
from ..conditioning import ActionConditioning
from ..layout import split_dim
from .activation import Activation, activate
from .formats import RowFormat, Rows
from .frames import attend_frames, attend_keyboard
from .linear import FusedLinear, Layer
from .residual import Affine, Keep, Step, advance, as_rows


class FusedAction(nn.Module):
    """Adds what mouse and keyboard say to one world's tokens: F frames of P positions, M = F·P tokens of width D."""

    norm_weight: Tensor
    norm_bias: Tensor

    def __init__(self, action: ActionModule, form: RowFormat, plain: torch.dtype, stream: torch.dtype) -> None:
        super().__init__()
        self.form = form
        self.plain = plain
        self.stream = stream
        self.heads = action.heads
        self.eps = action.img_attn_q_norm.eps
        first, _, second, norm = cast(tuple[nn.Linear, nn.Module, nn.Linear, nn.LayerNorm], tuple(action.mouse_mlp))
        width = action.mouse_mlp.width
        self.mouse_rows = nn.Linear(first.in_features - width, first.out_features, device="meta")
        self.mouse_rows.weight = nn.Parameter(first.weight[:, width:].detach().clone(), requires_grad=False)
        self.mouse_rows.bias = first.bias
        self.mouse_in = FusedLinear(first.weight[:, :width], None, form)
        self.mouse_mid = FusedLinear.of([second], form, plain)
        self.register_buffer("norm_weight", norm.weight.detach().float())
        self.register_buffer("norm_bias", norm.bias.detach().float())
        self.norm_eps = norm.eps
        self.mouse_qkv = self._fused(action.t_qkv)
        self.mouse_out = self._fused(action.proj_mouse)
        self.keyboard_embed = action.keyboard_embed
        self.keyboard_kv = action.keyboard_attn_kv
        self.key_norm = action.key_attn_k_norm
        self.keyboard_q = self._fused(action.mouse_attn_q)
        self.keyboard_out = self._fused(action.proj_keyboard)

    def prepare(self, windows: ActionWindows) -> ActionConditioning:
        """All that depends on the actions and not on the tokens."""
        embedded = self.keyboard_embed(windows.keyboard).flatten(2)
        return condition(
            windows,
            mouse=self.mouse_rows(windows.mouse),
            keyboard=split_dim(self.keyboard_kv(embedded), -1, (2, self.heads, -1)),
            key_norm=self.key_norm,
        )

    def forward(self, x: Tensor, update: Tensor, own: ActionConditioning) -> tuple[Tensor, Tensor]:
        """Residual stream x (M, D) and an update that it still lacks → the same after both attentions."""
        x, rows = self._add(x, update)
        x, rows = self._add(x, self._mouse(rows, own))
        q = self.keyboard_q(rows)
        attended = attend_keyboard(q, own.key[0], own.value[0], own.keyboard_rope, self.eps)
        return x, self.keyboard_out(as_rows(attended, self.form))

    def _add(self, x: Tensor, update: Tensor) -> tuple[Tensor, Rows]:
        step = Step(form=self.form, plain=self.plain, update=update, keep=Keep.SUM, stream=self.stream)
        return advance(x, step)

    def _mouse(self, rows: Rows, own: ActionConditioning) -> Tensor:
        hidden = activate(self.mouse_in(rows), Activation.GELU, self.form, groups=own.mouse[0])
        norm = Affine(weight=self.norm_weight, bias=self.norm_bias)
        step = Step(form=self.form, plain=self.plain, eps=self.norm_eps, norm=norm)
        _, embedded = advance(self.mouse_mid(hidden), step)
        attended = attend_frames(self.mouse_qkv(embedded), own.mouse_rope, self.heads, self.eps)
        out: Tensor = self.mouse_out(as_rows(attended, self.form))
        return out

    def _fused(self, layer: Layer) -> FusedLinear:
        return FusedLinear.of([layer], self.form, self.plain)
