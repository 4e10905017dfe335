"""The action module: mouse and keyboard enter a block through attention over time.

The idea is that of arXiv 2501.08325. Actions come one row per video frame; a latent frame sees a window of rows.
F counts latent frames (memory first), P grid positions of a frame, N = F·P tokens in the order (frame, position).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .action_config import ActionConfig
from .attention import AttentionCore
from .conditioning import ActionConditioning
from .layout import split_dim, split_heads
from .norm import UnscaledRMSNorm
from .rope import Rope, rotate, time_rope

__all__ = ["ActionConfig", "ActionModule", "ActionWindows", "window_actions"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionWindows:
    """The rows that each latent frame sees, oldest first, and the frames' rotary turns."""

    mouse: Tensor
    """(B, F, window_rows · mouse_dim_in)."""
    keyboard: Tensor
    """(B, F, window_rows, keyboard_dim_in)."""
    mouse_rope: Rope
    keyboard_rope: Rope


def window_actions(
    config: ActionConfig,
    *,
    keyboard: Tensor,
    mouse: Tensor,
    memory_keyboard: Tensor | None,
    memory_mouse: Tensor | None,
    frames: int,
) -> ActionWindows:
    """Windows of the rows of F video frames, keyboard (B, F, 6) and mouse (B, F, 2), and of M memory frames.

    `frames` counts the clip's latent frames, memory left out. Raises ValueError when the rows do not make as many.
    """
    keyboard_windows = _windows(config, keyboard, memory_keyboard, frames)
    mouse_windows = _windows(config, mouse, memory_mouse, frames)
    if mouse_windows.shape[:2] != keyboard_windows.shape[:2]:
        raise ValueError(f"keyboard makes windows {keyboard_windows.shape}, mouse {mouse_windows.shape}")
    memory_frames = mouse_windows.shape[1] - frames
    device = mouse.device
    # Memory counts from 0, and so does the rest.
    positions = torch.cat([torch.arange(memory_frames, device=device), torch.arange(frames, device=device)])
    ropes = [
        time_rope(positions, axis_dims=dims, theta=config.rope_theta)
        for dims in (config.mouse_qk_dim_list, config.rope_dim_list)
    ]
    return ActionWindows(
        mouse=mouse_windows.flatten(2),
        keyboard=keyboard_windows,
        mouse_rope=ropes[0],
        keyboard_rope=ropes[1],
    )


def _windows(config: ActionConfig, rows: Tensor, memory_rows: Tensor | None, frames: int) -> Tensor:
    """(B, M + frames, window_rows, width) of rows (B, F, width) and memory rows (B, M, width)."""
    ratio = config.vae_time_compression_ratio
    count = rows.shape[1]
    starts_video = count % ratio == 1
    latents = (count - 1) // ratio + 1 if starts_video else count // ratio
    if latents != frames or count % ratio > 1:
        raise ValueError(f"{count} action rows for {frames} latent frames of {ratio} video frames")
    pad = config.window_rows if starts_video else config.window_rows - ratio
    padded = torch.cat([rows[:, :1].expand(-1, pad, -1), rows], dim=1)
    windows = padded.unfold(1, config.window_rows, ratio)[:, :frames].transpose(2, 3)
    if memory_rows is None:
        return windows
    return torch.cat([memory_rows[:, :, None].expand(-1, -1, config.window_rows, -1), windows], dim=1)


def condition(
    windows: ActionWindows, *, mouse: Tensor, keyboard: Tensor, key_norm: UnscaledRMSNorm
) -> ActionConditioning:
    """A block's view of the actions, from projected rows: mouse (B, F, hidden), keyboard (B, F, 2, heads, d)."""
    key, value = keyboard.unbind(2)
    return ActionConditioning(
        mouse=mouse,
        key=rotate(key_norm(key), windows.keyboard_rope),
        value=value,
        mouse_rope=windows.mouse_rope,
        keyboard_rope=windows.keyboard_rope,
    )


class MouseMLP(nn.Sequential):
    """MLP of [token, mouse rows]. Its first layer runs in two parts, as a frame's rows are those of all its tokens."""

    def __init__(self, *, width: int, rows: int, hidden: int) -> None:
        super().__init__(
            nn.Linear(width + rows, hidden),
            nn.GELU(approximate="tanh"),
            nn.Linear(hidden, hidden),
            nn.LayerNorm(hidden),
        )
        self.width = width

    def project_rows(self, rows: Tensor) -> Tensor:
        """The first layer's share of mouse rows (B, F, rows), bias included → (B, F, hidden)."""
        first = cast(nn.Linear, self[0])
        return F.linear(rows, first.weight[:, self.width :], first.bias)

    def embed(self, tokens: Tensor, projected_rows: Tensor) -> Tensor:
        """Tokens (B, N, width) of frames with `projected_rows` (B, F, hidden) → (B, F, P, hidden)."""
        first, activation, second, norm = self
        hidden = F.linear(tokens, cast(nn.Linear, first).weight[:, : self.width])
        by_frame = split_dim(hidden, 1, (projected_rows.shape[1], -1)) + projected_rows[:, :, None]
        embedded: Tensor = norm(second(activation(by_frame)))
        return embedded


class ActionModule(nn.Module):
    """Adds what mouse and keyboard say to a block's tokens."""

    def __init__(self, config: ActionConfig) -> None:
        super().__init__()
        self.heads = config.heads_num
        width = config.img_hidden_size
        mouse, keyboard, hidden = config.mouse_hidden_dim, config.keyboard_hidden_dim, config.hidden_size
        self.mouse_mlp = MouseMLP(width=width, rows=config.window_rows * config.mouse_dim_in, hidden=mouse)
        self.t_qkv = nn.Linear(mouse, 3 * mouse, bias=False)
        self.img_attn_q_norm = UnscaledRMSNorm(mouse // self.heads)
        self.img_attn_k_norm = UnscaledRMSNorm(mouse // self.heads)
        self.mouse_core = AttentionCore()
        self.proj_mouse = nn.Linear(mouse, width, bias=False)
        self.keyboard_embed = nn.Sequential(
            nn.Linear(config.keyboard_dim_in, hidden), nn.SiLU(), nn.Linear(hidden, hidden)
        )
        self.mouse_attn_q = nn.Linear(width, keyboard, bias=False)
        self.keyboard_attn_kv = nn.Linear(hidden * config.window_rows, 2 * keyboard, bias=False)
        self.key_attn_q_norm = UnscaledRMSNorm(keyboard // self.heads)
        self.key_attn_k_norm = UnscaledRMSNorm(keyboard // self.heads)
        self.keyboard_core = AttentionCore()
        self.proj_keyboard = nn.Linear(keyboard, width, bias=False)

    def prepare(self, windows: ActionWindows) -> ActionConditioning:
        """All that depends on the actions and not on the tokens."""
        embedded = self.keyboard_embed(windows.keyboard).flatten(2)
        return condition(
            windows,
            mouse=self.mouse_mlp.project_rows(windows.mouse),
            keyboard=split_dim(self.keyboard_attn_kv(embedded), -1, (2, self.heads, -1)),
            key_norm=self.key_attn_k_norm,
        )

    def forward(self, x: Tensor, conditioning: ActionConditioning) -> Tensor:
        """x (B, N, D) float32 → the same, with mouse and then keyboard added."""
        x = x + self._mouse(x.to(conditioning.mouse.dtype), conditioning)
        return x + self._keyboard(x.to(conditioning.key.dtype), conditioning)

    def _mouse(self, x: Tensor, conditioning: ActionConditioning) -> Tensor:
        """Full attention over the frames, at each grid position on its own; (B, N, D) → (B, N, D)."""
        embedded = self.mouse_mlp.embed(x, conditioning.mouse).transpose(1, 2)  # (B, P, F, hidden)
        qkv = split_dim(self.t_qkv(embedded.flatten(0, 1)), -1, (3, self.heads, -1))
        q, k, v = qkv.unbind(2)
        q = rotate(self.img_attn_q_norm(q), conditioning.mouse_rope)
        k = rotate(self.img_attn_k_norm(k), conditioning.mouse_rope)
        attended = self.mouse_core(q, k, v).flatten(2)  # (B · P, F, hidden)
        in_token_order = split_dim(attended, 0, embedded.shape[:2]).transpose(1, 2).flatten(1, 2)
        out: Tensor = self.proj_mouse(in_token_order)
        return out

    def _keyboard(self, x: Tensor, conditioning: ActionConditioning) -> Tensor:
        """Every token attends to the frames' keyboard states, which are the same at all grid positions."""
        q: Tensor = self.key_attn_q_norm(split_heads(self.mouse_attn_q(x), self.heads))
        # A frame's turn is that of all its positions and heads.
        by_frame = split_dim(q, 1, (conditioning.key.shape[1], -1)).flatten(2, 3)
        q = rotate(by_frame, conditioning.keyboard_rope).view_as(q)
        out: Tensor = self.proj_keyboard(self.keyboard_core(q, conditioning.key, conditioning.value).flatten(2))
        return out
