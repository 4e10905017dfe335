"""The action module: mouse and keyboard enter a block through attention over time.

The idea is that of arXiv 2501.08325. Actions come one row per video frame; a latent frame sees a window of rows.
F counts latent frames (memory first), P grid positions of a frame, N = F·P tokens in the order (frame, position).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigError
from .attention import AttentionCore
from .conditioning import ActionConditioning
from .config_fields import read_fields, require_equal, require_positive
from .norm import UnscaledRMSNorm
from .rope import Rope, rotate, time_rope

_SUPPORTED = {"enable_mouse": True, "enable_keyboard": True, "qk_norm": True, "qkv_bias": False}


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionConfig:
    """Sizes of the action modules, under the names of a checkpoint's config.json."""

    blocks: tuple[int, ...]
    """Transformer blocks that have an action module."""
    heads_num: int
    hidden_size: int
    """Width of one embedded keyboard row."""
    img_hidden_size: int
    """The transformer's width."""
    keyboard_dim_in: int
    keyboard_hidden_dim: int
    mouse_dim_in: int
    mouse_hidden_dim: int
    mouse_qk_dim_list: tuple[int, ...]
    """Head dimensions that turn by (frame, row, column) in mouse attention."""
    rope_dim_list: tuple[int, ...]
    """The same in keyboard attention."""
    rope_theta: float
    patch_size: tuple[int, ...] = (1, 2, 2)
    vae_time_compression_ratio: int = 4
    """Video frames of one latent frame."""
    windows_size: int = 3
    """Latent frames' worth of rows that one latent frame sees."""

    def __post_init__(self) -> None:
        sizes = ("heads_num", "hidden_size", "img_hidden_size", "keyboard_dim_in", "keyboard_hidden_dim")
        more = ("mouse_dim_in", "mouse_hidden_dim", "rope_theta", "vae_time_compression_ratio", "windows_size")
        require_positive({name: getattr(self, name) for name in (*sizes, *more)}, where="action_config")
        if any(block < 0 for block in self.blocks) or len(set(self.blocks)) != len(self.blocks):
            raise ConfigError(f"action_config.blocks is {self.blocks}", hint="it must list different blocks from 0 up")
        self._check_heads("mouse_qk_dim_list", self.mouse_hidden_dim)
        self._check_heads("rope_dim_list", self.keyboard_hidden_dim)

    def _check_heads(self, name: str, width: int) -> None:
        dims: tuple[int, ...] = getattr(self, name)
        if any(dim < 0 or dim % 2 for dim in dims) or sum(dims) * self.heads_num != width:
            raise ConfigError(
                f"action_config.{name} is {dims}, for {self.heads_num} heads of a width of {width}",
                hint="its numbers must be even and add up to the width of one head",
            )

    @property
    def window_rows(self) -> int:
        """Action rows that one latent frame sees."""
        return self.vae_time_compression_ratio * self.windows_size

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> ActionConfig:
        """Read config.json's `action_config`. Raises ConfigError as TransformerConfig.from_dict does."""
        if not isinstance(raw, Mapping):
            raise ConfigError(f"action_config is {raw!r}", hint="it must be an object, or null for a model without")
        require_equal(raw, _SUPPORTED, where="action_config")
        return cls(**read_fields(cls, raw, where="action_config", known=_SUPPORTED))

    def to_dict(self) -> dict[str, Any]:
        values = {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(self).items()}
        return {**values, **_SUPPORTED}


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


class ActionModule(nn.Module):
    """Adds what mouse and keyboard say to a block's tokens."""

    def __init__(self, config: ActionConfig) -> None:
        super().__init__()
        self.heads = config.heads_num
        self.width = width = config.img_hidden_size
        mouse, keyboard, hidden = config.mouse_hidden_dim, config.keyboard_hidden_dim, config.hidden_size
        self.mouse_mlp = nn.Sequential(
            nn.Linear(width + config.window_rows * config.mouse_dim_in, mouse),
            nn.GELU(approximate="tanh"),
            nn.Linear(mouse, mouse),
            nn.LayerNorm(mouse),
        )
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
        key, value = self.keyboard_attn_kv(embedded).unflatten(-1, (2, self.heads, -1)).unbind(2)
        first = self.mouse_mlp[0]
        return ActionConditioning(
            mouse=F.linear(windows.mouse, first.weight[:, self.width :], first.bias),
            key=rotate(self.key_attn_k_norm(key), windows.keyboard_rope),
            value=value,
            mouse_rope=windows.mouse_rope,
            keyboard_rope=windows.keyboard_rope,
        )

    def forward(self, x: Tensor, conditioning: ActionConditioning) -> Tensor:
        """x (B, N, D) float32 → the same, with mouse and then keyboard added."""
        x = x + self._mouse(x, conditioning)
        return x + self._keyboard(x, conditioning)

    def _mouse(self, x: Tensor, conditioning: ActionConditioning) -> Tensor:
        """Full attention over the frames, at each grid position on its own."""
        frames = conditioning.mouse.shape[1]
        first, activation, second, norm = self.mouse_mlp
        tokens = F.linear(x.to(conditioning.mouse.dtype), first.weight[:, : self.width])
        tokens = tokens.unflatten(1, (frames, -1)) + conditioning.mouse[:, :, None]
        tokens = tokens.transpose(1, 2).flatten(0, 1)
        qkv = self.t_qkv(norm(second(activation(tokens))))
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).unbind(2)
        q = rotate(self.img_attn_q_norm(q), conditioning.mouse_rope)
        k = rotate(self.img_attn_k_norm(k), conditioning.mouse_rope)
        out = self.mouse_core(q, k, v).flatten(2)
        return self.proj_mouse(out.unflatten(0, (x.shape[0], -1)).transpose(1, 2).flatten(1, 2))

    def _keyboard(self, x: Tensor, conditioning: ActionConditioning) -> Tensor:
        """Every token attends to the frames' keyboard states, which are the same at all grid positions."""
        frames = conditioning.key.shape[1]
        q = self.mouse_attn_q(x.to(conditioning.key.dtype)).unflatten(-1, (self.heads, -1))
        q = self.key_attn_q_norm(q)
        # A frame's turn is that of all its positions and heads.
        by_frame = q.unflatten(1, (frames, -1)).flatten(2, 3)
        q = rotate(by_frame, conditioning.keyboard_rope).view_as(q)
        return self.proj_keyboard(self.keyboard_core(q, conditioning.key, conditioning.value).flatten(2))
