"""One block for inference: every pass over the tokens between two matrix products is one kernel.

One world: M tokens of width D, H heads. The residual stream is float32, as in the exact block,
but for the precision that halves its bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from ..action import ActionWindows
from ..attention_e4m3 import SpreadCore, attention_e4m3
from ..block import TransformerBlock
from ..conditioning import BlockConditioning
from ..layout import split_heads
from ..precision import Precision
from ..rope import AxisRope
from .action import FusedAction
from .activation import Activation, activate
from .formats import RowFormat, Rows, stream_dtype
from .heads import HeadNorm, head_scales, turn_heads, turn_heads_e4m3
from .linear import FusedLinear, Layer, plain_weight
from .residual import Affine, Gate, Keep, Modulation, Step, advance, as_rows
from .text import QueryNorm, TextKeys, attend_text, text_scale


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """What a block needs besides its conditioning."""

    modulation: Tensor
    """(S, 6, D) float32: shift, scale and gate of attention, then of the feed-forward, for the S runs of tokens."""
    segment: Tensor
    """(M,) int32: the run that a token belongs to."""
    rope: AxisRope
    keep: int
    """How many of the last tokens are asked for: the others are not computed further than others need them."""

    def first_norm(self) -> Modulation:
        """Before attention, of all tokens."""
        return Modulation(shift=self.modulation[:, 0], scale=self.modulation[:, 1], segment=self.segment)

    def first_gate(self) -> Gate:
        return Gate(values=self.modulation[:, 2], segment=self.segment[-self.keep :])

    def second_norm(self) -> Modulation:
        """Before the feed-forward."""
        kept = self.segment[-self.keep :]
        return Modulation(shift=self.modulation[:, 3], scale=self.modulation[:, 4], segment=kept)

    def second_gate(self) -> Gate:
        return Gate(values=self.modulation[:, 5], segment=self.segment[-self.keep :])


class FusedAttention(nn.Module):
    """Self-attention over the tokens of all frames. All but `core` works token by token."""

    norm_weight: Tensor
    head_scales: Tensor

    def __init__(self, block: TransformerBlock, precision: Precision, plain: torch.dtype) -> None:
        super().__init__()
        attention = block.self_attn
        self.form = RowFormat.of(precision)
        self.in_e4m3 = precision is Precision.FP8_ATTENTION
        self.heads = attention.heads
        self.eps = attention.norm_q.eps
        self.qkv = FusedLinear.of([attention.q, attention.k, attention.v], self.form, plain)
        self.o = FusedLinear.of([attention.o], self.form, plain)
        weights = torch.stack([attention.norm_q.weight.detach(), attention.norm_k.weight.detach()])
        self.register_buffer("norm_weight", weights.float())
        value = plain_weight(attention.v, plain)
        assert attention.v.bias is not None
        self.register_buffer("head_scales", head_scales(value, attention.v.bias.detach(), self._norm()))
        self.core = attention.core

    def forward(self, rows: Rows, rope: AxisRope, keep: int) -> Tensor:
        """Rows (M, D) → what the last `keep` tokens take from all, (keep, D)."""
        qkv = self.qkv(rows)
        if self.in_e4m3:
            return self._attend_e4m3(qkv, rope, keep)
        if isinstance(self.core, SpreadCore):
            # It wants as many queries as keys.
            return self._attend(qkv, rope, len(qkv))[-keep:]
        return self._attend(qkv, rope, keep)

    def _attend_e4m3(self, qkv: Tensor, rope: AxisRope, keep: int) -> Tensor:
        spread = self.core if isinstance(self.core, SpreadCore) else None
        average = None if spread is None else spread.average
        heads = turn_heads_e4m3(qkv, self._norm(), rope, self.head_scales, average=average)
        q, k, v = heads.q[None], heads.k[None], heads.v[None]
        if spread is not None:
            return spread.attend_e4m3(q, k, v, heads.scales, qkv.dtype)[0, -keep:].flatten(1)
        return attention_e4m3(q[:, -keep:], k, v, heads.scales, qkv.dtype)[0].flatten(1)

    def _attend(self, qkv: Tensor, rope: AxisRope, keep: int) -> Tensor:
        q, k = turn_heads(qkv, self._norm(), rope)
        v = split_heads(qkv, 3 * self.heads)[:, 2 * self.heads :]
        out: Tensor = self.core(q[-keep:][None], k[None], v[None])
        return out[0].flatten(1)

    def _norm(self) -> HeadNorm:
        return HeadNorm(weight=self.norm_weight, heads=self.heads, eps=self.eps)


class FusedText(nn.Module):
    """Cross-attention to the text."""

    norm_weight: Tensor

    def __init__(self, block: TransformerBlock, form: RowFormat, plain: torch.dtype) -> None:
        super().__init__()
        attention = block.cross_attn
        self.form = form
        self.heads = attention.heads
        self.eps = attention.norm_q.eps
        self.q = FusedLinear.of([attention.q], form, plain)
        self.kv = FusedLinear.of([attention.k, attention.v], form, plain)
        self.o = FusedLinear.of([attention.o], form, plain)
        self.norm_k = attention.norm_k
        self.register_buffer("norm_weight", attention.norm_q.weight.detach().float())

    def project(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """Keys and values (T, H, d) of rows (T, D) of text."""
        key, value = self.kv(rows).chunk(2, dim=-1)
        return split_heads(self.norm_k(key), self.heads), split_heads(value, self.heads)

    def forward(self, rows: Rows, own: BlockConditioning) -> Tensor:
        """(M, D) → (M, D)."""
        assert own.text_bias is not None and own.text_scale is not None, "prepared by a block that is not fused"
        keys = TextKeys(key=own.text_key[0], value=own.text_value[0], bias=own.text_bias, scale=own.text_scale)
        norm = QueryNorm(weight=self.norm_weight, heads=self.heads, eps=self.eps)
        out: Tensor = self.o(attend_text(self.q(rows), norm, keys, self.form))
        return out


class FusedCamera(nn.Module):
    """The camera's scale and shift."""

    def __init__(self, block: TransformerBlock, form: RowFormat, plain: torch.dtype) -> None:
        super().__init__()
        self.form = form
        self.layer1 = FusedLinear.of([block.cam_injector_layer1], form, plain)
        self.layer2 = FusedLinear.of([block.cam_injector_layer2], form, plain)
        self.terms = FusedLinear.of([block.cam_scale_layer, block.cam_shift_layer], form, plain)

    def forward(self, camera: Tensor, rows: Rows) -> tuple[Tensor, Tensor]:
        """Scale and shift (1, M, D) of a camera embedding (M, D), which is given as rows too."""
        hidden = self.layer2(activate(self.layer1(rows), Activation.SILU, self.form))
        _, rows = advance(hidden, Step(form=self.form, plain=camera.dtype, update=camera))
        scale, shift = self.terms(rows)[None].chunk(2, dim=-1)
        return scale, shift


class FusedBlock(nn.Module):
    """A block whose first norm was made by whoever came before, and whose last update is added by who comes next."""

    norm3_weight: Tensor
    norm3_bias: Tensor

    def __init__(self, block: TransformerBlock, precision: Precision) -> None:
        super().__init__()
        up, down = cast(tuple[Layer, Layer], (block.ffn[0], block.ffn[2]))
        plain = block.modulation.dtype
        form = RowFormat.of(precision)
        self.form = form
        self.plain = plain
        self.stream = stream_dtype(precision)
        self.eps = block.eps
        self.keep = Keep.NORMED if block.use_memory else Keep.SUM
        self.self_attn = FusedAttention(block, precision, plain)
        self.cross_attn = FusedText(block, form, plain)
        self.camera = FusedCamera(block, form, plain)
        self.action_model = (
            None if block.action_model is None else FusedAction(block.action_model, form, plain, self.stream)
        )
        self.up = FusedLinear.of([up], form, plain)
        self.down = FusedLinear.of([down], form, plain)
        self.register_buffer("norm3_weight", block.norm3.weight.detach().float())
        self.register_buffer("norm3_bias", block.norm3.bias.detach().float())

    def prepare(
        self, text: Rows, bias: Tensor, camera: tuple[Tensor, Rows] | None, windows: ActionWindows | None
    ) -> BlockConditioning:
        """What this block needs of text (T, D) with its keys' bias (T,), of the camera embedding (M, D) in the model's
        dtype and as rows, where its terms are to be kept, and of the actions."""
        key, value = self.cross_attn.project(text)
        action = None
        if self.action_model is not None and windows is not None:
            action = self.action_model.prepare(windows)
        return BlockConditioning(
            text_key=key[None],
            text_value=value[None],
            text_bias=bias,
            text_scale=text_scale(value),
            camera=None if camera is None else self.camera(*camera),
            action=action,
        )

    def forward(
        self, x: Tensor, rows: Rows, at: Pass, own: BlockConditioning, camera: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Residual stream x (M, D) and its modulated norm as rows → the same stream of the last `at.keep` tokens, and
        the feed-forward's update (keep, D), which is yet to be gated and added.

        camera: embedding (M, D), where its terms are not part of `own`.
        """
        update = self.self_attn.o(as_rows(self.self_attn(rows, at.rope, at.keep), self.form))
        scale, shift = self._camera_terms(own, camera)
        step = Step(
            form=self.form,
            plain=self.plain,
            eps=self.eps,
            update=update,
            gate=at.first_gate(),
            camera=(scale[0, -at.keep :], shift[0, -at.keep :]),
            norm=Affine(weight=self.norm3_weight, bias=self.norm3_bias),
            keep=self.keep,
            stream=self.stream,
        )
        x, rows = advance(x[-at.keep :], step)
        update = self.cross_attn(rows, own)
        if self.action_model is not None:
            assert own.action is not None, "a block with an action module was prepared without actions"
            x, update = self.action_model(x, update, own.action)
        step = Step(
            form=self.form,
            plain=self.plain,
            eps=self.eps,
            update=update,
            norm=at.second_norm(),
            keep=Keep.SUM,
            stream=self.stream,
        )
        x, rows = advance(x, step)
        return x, self.down(activate(self.up(rows), Activation.GELU, self.form))

    def _camera_terms(self, own: BlockConditioning, camera: Tensor | None) -> tuple[Tensor, Tensor]:
        if own.camera is not None:
            return own.camera
        assert camera is not None, "neither camera terms nor the embedding were prepared"
        terms: tuple[Tensor, Tensor] = self.camera(camera, as_rows(camera, self.form))
        return terms
