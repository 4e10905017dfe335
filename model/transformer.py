"""The diffusion transformer: noisy latents, and all that conditions them, to a velocity.

Sizes: B batch, C latent channels, T latent frames of the clip, M memory frames, h×w latent grid, F = M + T frames of
P tokens each (memory first), N = F·P tokens in the order (frame, row, column), D width.

A forward has two phases, because most of the conditioning is the same in every solver step: `prepare` turns text,
camera, actions and positions into a `Conditioning`, and `forward` runs one step with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .action import ActionConfig, ActionWindows, window_actions
from .block import BlockStack, TransformerBlock
from .camera import CameraRays
from .conditioning import Conditioning
from .embedding import Head, PatchEmbedding
from .layout import patchify, split_dim, unpatchify
from .modulation import Float32Sequential, sinusoid, skip_tokens
from .rope import axis_rope, head_thetas
from .transformer_config import PLUCKER_CHANNELS, TransformerConfig

if TYPE_CHECKING:
    from .fast.stack import FusedStack

__all__ = ["PLUCKER_CHANNELS", "ActionConfig", "Conditioning", "TransformerConfig", "WorldTransformer"]


class WorldTransformer(nn.Module):
    """State-dict names are those of the published checkpoints. A model without memory or actions ignores them."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        _, rows, columns = config.patch_size
        self.patch_embedding = PatchEmbedding(config.in_dim, dim, config.patch_size)
        self.patch_embedding_wancamctrl = nn.Linear(PLUCKER_CHANNELS * rows * columns, dim)
        self.c2ws_hidden_states_layer1 = nn.Linear(dim, dim)
        self.c2ws_hidden_states_layer2 = nn.Linear(dim, dim)
        self.text_embedding = nn.Sequential(
            nn.Linear(config.text_dim, dim), nn.GELU(approximate="tanh"), nn.Linear(dim, dim)
        )
        self.time_embedding = Float32Sequential(nn.Linear(config.freq_dim, dim), nn.SiLU(), nn.Linear(dim, dim))
        self.time_projection = Float32Sequential(nn.SiLU(), nn.Linear(dim, 6 * dim))
        action_blocks = config.action_config.blocks if config.action_config is not None else ()
        self.blocks: BlockStack | FusedStack = BlockStack(
            TransformerBlock(config, has_actions=index in action_blocks) for index in range(config.num_layers)
        )
        self.head = Head(config)

    @property
    def dtype(self) -> torch.dtype:
        return self.patch_embedding.weight.dtype

    @property
    def device(self) -> torch.device:
        return self.patch_embedding.weight.device

    def prepare(
        self,
        *,
        context: Tensor,
        plucker: Tensor | CameraRays,
        predict_range: tuple[int, int] | Tensor,
        keyboard: Tensor | None = None,
        mouse: Tensor | None = None,
        memory_keyboard: Tensor | None = None,
        memory_mouse: Tensor | None = None,
        memory_latent_idx: Tensor | None = None,
        origin: tuple[int, int] = (0, 0),
        camera_cache: bool = True,
    ) -> Conditioning:
        """The conditioning of all solver steps of a clip. Inputs are moved to the model's device and dtype.

        context: text states (L, text_dim) or (B, L, text_dim), L <= text_len, of unpadded rows.
        plucker: camera map (B, 1536, M + T, h, w), memory first, or what one is made of.
        predict_range: latent indices [start, stop) of the T frames in the whole video; per sample (B, 2).
        keyboard, mouse: a row for each of the clip's video frames, (B, 4T − 3 or 4T, 6) and (B, …, 2); needed by
            models with actions only.
        memory_keyboard, memory_mouse: (B, M, 6) and (B, M, 2).
        memory_latent_idx: (M,) or (B, M) latent indices of the memory frames; None where there are none.
        origin: latent row and column at which the camera map starts, where it is a part of a larger picture's.
        camera_cache: keep every block's camera scale and shift (2·N·D numbers a block) instead of computing them in
            every step.

        Raises ValueError where shapes disagree.
        """
        given_memory = 0 if memory_latent_idx is None else memory_latent_idx.shape[-1]
        memory_frames = given_memory if self.config.use_memory else 0
        unseen = given_memory - memory_frames
        plucker = plucker[:, :, unseen:] if isinstance(plucker, Tensor) else plucker.since(unseen)
        frames = plucker.shape[2]
        new_frames = frames - memory_frames
        if plucker.shape[1] != PLUCKER_CHANNELS or new_frames < 1:
            raise ValueError(
                f"the camera map is {tuple(plucker.shape)}; it needs {PLUCKER_CHANNELS} channels "
                f"and more than the {memory_frames} memory frames"
            )
        memory_idx = memory_latent_idx if memory_frames else None
        positions = _frame_positions(predict_range, memory_idx, new_frames, self.device)
        windows = self._window_actions(
            keyboard,
            mouse,
            memory_keyboard if memory_frames else None,
            memory_mouse if memory_frames else None,
            new_frames,
        )
        text = self.embed_text(context)
        camera = self.embed_camera(plucker)
        blocks = self.blocks.prepare(text, context.shape[-2], camera, windows, camera_cache=camera_cache)
        config = self.config
        patch = config.patch_size[1:]
        grid = (plucker.shape[3] // patch[0], plucker.shape[4] // patch[1])
        corner = (origin[0] // patch[0], origin[1] // patch[1])
        thetas = head_thetas(config.num_heads, config.sigma_theta, self.device)
        rope = axis_rope(positions, grid=grid, head_dim=config.head_dim, thetas=thetas, origin=corner)
        return Conditioning(
            frames=frames,
            memory_frames=memory_frames,
            rope=None if self.blocks.uses_axis_rope else rope.turns(),
            axis_rope=rope,
            camera=None if camera_cache else camera,
            blocks=blocks,
        )

    def forward(
        self,
        x: Tensor,
        *,
        timesteps: Tensor,
        segments: tuple[int, ...],
        conditioning: Conditioning,
        memory: Tensor | None = None,
        skip: int = 0,
    ) -> Tensor:
        """Velocity (B, out_dim, T − skip, h, w), in x's dtype, of noisy latents x (B, in_dim, T, h, w).

        timesteps: (S,) or (B, S) in [0, 1000), one for each run of `segments` tokens; 0 is clean.
        segments: token counts that add up to N, over the memory frames (where given) and then the clip's.
        memory: clean latents (B, in_dim, M, h, w), as many as `conditioning` was prepared with.
        skip: how many of the first frames of x nobody asks for.
        """
        tokens = self.embed_latents(x, memory, conditioning)
        skipped, segments = self._skip_unseen_memory(x, memory, segments, tokens.shape[1])
        times = timesteps.to(self.device).unsqueeze(0) if timesteps.dim() == 1 else timesteps.to(self.device)
        embedded, projected = self.embed_times(times[:, skipped:])
        leading = tokens.shape[1] // conditioning.frames * (conditioning.memory_frames + skip)
        tokens = self.run_blocks(tokens, projected, segments, conditioning, keep=tokens.shape[1] - leading)
        skipped, segments = skip_tokens(segments, leading)
        patches = self.head(tokens, embedded[:, skipped:], segments)
        size = (x.shape[2] - skip, *x.shape[3:])
        return unpatchify(patches, size, self.config.patch_size).to(x.dtype)

    def embed_text(self, context: Tensor) -> Tensor:
        """Text states (L, text_dim) or (B, L, text_dim), padded with zeros to text_len → (B, text_len, D)."""
        context = context.to(self.device, self.dtype)
        if context.dim() == 2:
            context = context[None]
        length = self.config.text_len
        if context.shape[1] > length or context.shape[2] != self.config.text_dim:
            raise ValueError(
                f"text states are {tuple(context.shape)}, at most {length} rows of {self.config.text_dim} fit"
            )
        embedded: Tensor = self.text_embedding(F.pad(context, (0, 0, 0, length - context.shape[1])))
        return embedded

    def embed_camera(self, plucker: Tensor | CameraRays) -> Tensor:
        """Camera map (B, 1536, F, h, w), or what it is made of → (B, N, D)."""
        layer = self.patch_embedding_wancamctrl
        if isinstance(plucker, Tensor):
            camera = layer(patchify(plucker.to(self.device, self.dtype), self.config.patch_size))
        else:
            camera = plucker.project(layer.weight, layer.bias, self.config.patch_size)
        hidden: Tensor = camera + self.c2ws_hidden_states_layer2(F.silu(self.c2ws_hidden_states_layer1(camera)))
        return hidden

    def embed_latents(self, x: Tensor, memory: Tensor | None, conditioning: Conditioning) -> Tensor:
        """The residual stream's start, (B, N, D) float32: memory (B, in_dim, M, h, w) before x (B, in_dim, T, h, w)."""
        if conditioning.memory_frames and memory is not None:
            x = torch.cat([memory.to(x), x], dim=2)
        if x.shape[2] != conditioning.frames:
            raise ValueError(f"{x.shape[2]} latent frames, memory included; {conditioning.frames} were prepared")
        tokens: Tensor = self.patch_embedding(x.to(self.device))
        return tokens.float()

    def embed_times(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """Timesteps (B or 1, S) → embedding (…, S, D) and its projection (…, S, 6, D), in float32."""
        embedded: Tensor = self.time_embedding(sinusoid(timesteps, self.config.freq_dim))
        return embedded, split_dim(self.time_projection(embedded), -1, (6, -1))

    def run_blocks(
        self, tokens: Tensor, times: Tensor, segments: tuple[int, ...], conditioning: Conditioning, *, keep: int
    ) -> Tensor:
        """All blocks on the residual stream (B, N, D) → that of the last `keep` tokens; `times` (B or 1, S, 6, D)."""
        out: Tensor = self.blocks(tokens, times, segments, conditioning, keep=keep)
        return out

    def _window_actions(
        self,
        keyboard: Tensor | None,
        mouse: Tensor | None,
        memory_keyboard: Tensor | None,
        memory_mouse: Tensor | None,
        frames: int,
    ) -> ActionWindows | None:
        config = self.config.action_config
        if config is None:
            return None
        if keyboard is None or mouse is None:
            raise ValueError("a model with actions needs keyboard and mouse rows")

        def placed(rows: Tensor | None) -> Tensor | None:
            return None if rows is None else rows.to(self.device, self.dtype)

        return window_actions(
            config,
            keyboard=keyboard.to(self.device, self.dtype),
            mouse=mouse.to(self.device, self.dtype),
            memory_keyboard=placed(memory_keyboard),
            memory_mouse=placed(memory_mouse),
            frames=frames,
        )

    def _skip_unseen_memory(
        self, x: Tensor, memory: Tensor | None, segments: tuple[int, ...], tokens: int
    ) -> tuple[int, tuple[int, ...]]:
        """Drop the segments of memory frames that a model without memory does not see."""
        unseen = 0
        if memory is not None and not self.config.use_memory:
            unseen = tokens // x.shape[2] * memory.shape[2]
        if sum(segments) != tokens + unseen:
            raise ValueError(f"segments {segments} add up to {sum(segments)}, there are {tokens + unseen} tokens")
        return skip_tokens(segments, unseen)


def _frame_positions(
    predict_range: tuple[int, int] | Tensor, memory_latent_idx: Tensor | None, new_frames: int, device: torch.device
) -> Tensor:
    """Latent index in the whole video of every frame, memory first, (B or 1, F)."""
    if isinstance(predict_range, Tensor):
        start = predict_range.to(device).reshape(-1, 2)[:, :1]
        positions = start + torch.arange(new_frames, device=device)
    else:
        if predict_range[1] - predict_range[0] != new_frames:
            raise ValueError(f"the predicted latents {predict_range} are not the {new_frames} of the camera map")
        positions = torch.arange(*predict_range, device=device)[None]
    if memory_latent_idx is None:
        return positions
    memory = memory_latent_idx.to(device).reshape(-1, memory_latent_idx.shape[-1])
    batch = max(memory.shape[0], positions.shape[0])
    return torch.cat([memory.expand(batch, -1), positions.expand(batch, -1)], dim=1)
