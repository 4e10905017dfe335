"""One block of the transformer: self-attention, camera, text, actions, feed-forward.

The residual stream x (B, N, D) is float32, as in the published implementation; linear layers and attention run in the
weights' dtype.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .action import ActionModule, ActionWindows
from .attention import AttentionCore
from .conditioning import BlockConditioning, Conditioning
from .layout import split_heads
from .modulation import add_gated, modulate
from .norm import LayerNorm, RMSNorm
from .rope import Rope, rotate
from .transformer_config import TransformerConfig


class SelfAttention(nn.Module):
    """All tokens of all frames attend to each other.

    All but `core` works token by token: with the tokens spread over ranks, only `core` has to talk.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads = config.num_heads
        self.q = nn.Linear(config.dim, config.dim)
        self.k = nn.Linear(config.dim, config.dim)
        self.v = nn.Linear(config.dim, config.dim)
        self.o = nn.Linear(config.dim, config.dim)
        self.norm_q = RMSNorm(config.dim, config.eps)
        self.norm_k = RMSNorm(config.dim, config.eps)
        self.core = AttentionCore()

    def forward(self, x: Tensor, rope: Rope) -> Tensor:
        """(B, N, D) → (B, N, D); `rope` holds the turns of these N tokens."""
        q = rotate(split_heads(self.norm_q(self.q(x)), self.heads), rope)
        k = rotate(split_heads(self.norm_k(self.k(x)), self.heads), rope)
        v = split_heads(self.v(x), self.heads)
        out: Tensor = self.o(self.core(q, k, v).flatten(2))
        return out


class CrossAttention(nn.Module):
    """Tokens attend to the text."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads = config.num_heads
        self.q = nn.Linear(config.dim, config.dim)
        self.k = nn.Linear(config.dim, config.dim)
        self.v = nn.Linear(config.dim, config.dim)
        self.o = nn.Linear(config.dim, config.dim)
        self.norm_q = RMSNorm(config.dim, config.eps)
        self.norm_k = RMSNorm(config.dim, config.eps)
        self.core = AttentionCore()

    def project_text(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, L, heads, d) of embedded text (B, L, D)."""
        return split_heads(self.norm_k(self.k(text)), self.heads), split_heads(self.v(text), self.heads)

    def forward(self, x: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(B, N, D) → (B, N, D)."""
        q = split_heads(self.norm_q(self.q(x)), self.heads)
        out: Tensor = self.o(self.core(q, key, value).flatten(2))
        return out


class TransformerBlock(nn.Module):
    def __init__(self, config: TransformerConfig, *, has_actions: bool) -> None:
        super().__init__()
        dim = config.dim
        self.eps = config.eps
        self.use_memory = config.use_memory
        self.self_attn = SelfAttention(config)
        self.cam_injector_layer1 = nn.Linear(dim, dim)
        self.cam_injector_layer2 = nn.Linear(dim, dim)
        self.cam_scale_layer = nn.Linear(dim, dim)
        self.cam_shift_layer = nn.Linear(dim, dim)
        self.norm3 = LayerNorm(dim, config.eps)
        self.cross_attn = CrossAttention(config)
        self.action_model: ActionModule | None = None
        if has_actions and config.action_config is not None:
            self.action_model = ActionModule(config.action_config)
        self.ffn = nn.Sequential(
            nn.Linear(dim, config.ffn_dim), nn.GELU(approximate="tanh"), nn.Linear(config.ffn_dim, dim)
        )
        self.modulation = nn.Parameter(torch.zeros(1, 6, dim))

    def prepare(
        self, text: Tensor, camera: Tensor, windows: ActionWindows | None, *, camera_cache: bool
    ) -> BlockConditioning:
        """What this block needs of embedded text (B, L, D), camera embedding (B, N, D) and action rows."""
        key, value = self.cross_attn.project_text(text)
        action = None
        if self.action_model is not None and windows is not None:
            action = self.action_model.prepare(windows)
        return BlockConditioning(
            text_key=key,
            text_value=value,
            camera=self.camera_terms(camera) if camera_cache else None,
            action=action,
        )

    def camera_terms(self, camera: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift (B, N, D) of a camera embedding (B, N, D)."""
        hidden = self.cam_injector_layer2(F.silu(self.cam_injector_layer1(camera))) + camera
        return self.cam_scale_layer(hidden), self.cam_shift_layer(hidden)

    def forward(
        self, x: Tensor, times: Tensor, segments: tuple[int, ...], shared: Conditioning, own: BlockConditioning
    ) -> Tensor:
        """x (B, N, D) float32 → the same; `times` (B or 1, S, 6, D) float32, one for each run of `segments` tokens."""
        shift1, scale1, gate1, shift2, scale2, gate2 = (self.modulation.float() + times).unbind(2)
        assert shared.rope is not None, "prepared for fused blocks"
        attended = self.self_attn(modulate(x, shift1, scale1, segments, self.eps).to(own.dtype), shared.rope)
        x = add_gated(x, attended, gate1, segments)
        x = self._add_camera(x, shared, own)
        x = self._attend_text(x, own)
        if self.action_model is not None:
            assert own.action is not None, "a block with an action module was prepared without actions"
            x = self.action_model(x, own.action)
        update = self.ffn(modulate(x, shift2, scale2, segments, self.eps).to(own.dtype))
        return add_gated(x, update, gate2, segments)

    def _add_camera(self, x: Tensor, shared: Conditioning, own: BlockConditioning) -> Tensor:
        if own.camera is not None:
            scale, shift = own.camera
        else:
            assert shared.camera is not None, "neither camera terms nor the embedding were prepared"
            scale, shift = self.camera_terms(shared.camera)
        return torch.addcmul(x + shift, x, scale)

    def _attend_text(self, x: Tensor, own: BlockConditioning) -> Tensor:
        normed: Tensor = self.norm3(x)
        attended: Tensor = self.cross_attn(normed.to(own.dtype), own.text_key, own.text_value)
        return (normed if self.use_memory else x) + attended


class BlockStack(nn.ModuleList):
    """All blocks, one after another."""

    uses_axis_rope = False

    def blocks(self) -> Iterable[TransformerBlock]:
        return cast(Iterable[TransformerBlock], self)

    def prepare(
        self, text: Tensor, text_rows: int, camera: Tensor, windows: ActionWindows | None, *, camera_cache: bool
    ) -> tuple[BlockConditioning, ...]:
        """What each block needs of embedded text (B, L, D), of which the rows from `text_rows` on are equal, of the
        camera embedding (B, N, D) and of action rows."""
        return tuple(block.prepare(text, camera, windows, camera_cache=camera_cache) for block in self.blocks())

    def forward(
        self, x: Tensor, times: Tensor, segments: tuple[int, ...], shared: Conditioning, *, keep: int
    ) -> Tensor:
        """Residual stream (B, N, D) float32 → that of the last `keep` tokens; `times` (B or 1, S, 6, D) float32."""
        for block, own in zip(self.blocks(), shared.blocks, strict=True):
            x = block(x, times, segments, shared, own)
        return x[:, -keep:]
