"""Batches of clips with everything that conditions them, cut from latents of whole episodes.

What a rollout builds for one world at a time is built here for many clips at once: the past, the memory that the
camera rule chooses, relative cameras, action rows. Shapes: B clips, C channels, T latents of the clip, M memory
latents, h×w latent grid, F video frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from ..model.camera import CameraRays
from ..model.clip import FIRST_CLIP_FRAMES, FIRST_CLIP_LATENTS, LATER_CLIP_FRAMES, NEW_LATENTS, PAST_LATENTS
from ..model.conditioning import Conditioning
from ..model.denoise import NEUTRAL_KEYBOARD, NEUTRAL_MOUSE
from ..model.layout import split_dim
from ..model.poses import extrinsics_of
from ..model.transformer import WorldTransformer
from .cameras import clip_motion, memory_motion
from .retrieval import first_frame, query_frames

LATER_CLIP_LATENTS = PAST_LATENTS + NEW_LATENTS


@dataclass(frozen=True, kw_only=True, slots=True)
class Clips:
    """Clips of one kind: all first ones, or all later ones."""

    latents: Tensor
    """(B, C, T, h, w) float32, clean."""
    known: int
    """How many of the T lead the clip and are given: the image, or the past."""
    cameras: Tensor
    """(B, M + T, 4, 4) relative cameras, memory first."""
    keyboard: Tensor
    """(B, F, 6)."""
    mouse: Tensor
    """(B, F, 2)."""
    start: Tensor
    """(B,) latent index of the first latent in the whole video."""
    tokens: Tensor
    """(B, L) prompt tokens, 0 where there are none."""
    memory: Tensor | None = None
    """(B, C, M, h, w) float32."""
    memory_idx: Tensor | None = None
    """(B, M) latent indices of the memory in the whole video."""

    @property
    def memory_frames(self) -> int:
        return 0 if self.memory is None else self.memory.shape[2]

    @property
    def new(self) -> Tensor:
        """(B, C, T - known, h, w) what the model has to make."""
        return self.latents[:, :, self.known :]

    def segments(self, patch_size: tuple[int, ...]) -> tuple[int, int]:
        """Tokens that are given (memory, image or past), and tokens that are made."""
        _, rows, columns = patch_size
        tokens = self.latents.shape[3] // rows * (self.latents.shape[4] // columns)
        given = self.memory_frames + self.known
        return given * tokens, (self.latents.shape[2] - self.known) * tokens

    def take(self, other: Clips) -> None:
        """Overwrites all tensors with those of clips of the same kind and number."""
        for name in (item.name for item in fields(self) if item.name != "known"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine is not None:
                mine.copy_(theirs)

    def clone(self) -> Clips:
        """The same clips in memory of their own."""
        tensors = {name: getattr(self, name) for name in (item.name for item in fields(self) if item.name != "known")}
        return replace(self, **{name: value.clone() for name, value in tensors.items() if value is not None})

    def without_memory(self) -> Clips:
        return replace(self, cameras=self.cameras[:, self.memory_frames :], memory=None, memory_idx=None)

    def nulled(self, rows: Tensor, null_tokens: Tensor) -> Clips:
        """The same with neutral actions and the negative prompt in the clips that `rows` (B,) marks."""
        at = rows[:, None, None]
        return replace(
            self,
            keyboard=torch.where(at, NEUTRAL_KEYBOARD, self.keyboard),
            mouse=torch.where(at, NEUTRAL_MOUSE, self.mouse),
            tokens=torch.where(rows[:, None], null_tokens.to(self.tokens), self.tokens),
        )


def condition(network: WorldTransformer, clips: Clips, context: Tensor, *, camera_cache: bool = False) -> Conditioning:
    """The network's conditioning of clips with text states `context` (B, L, text_dim), zero where there is no token."""
    grid = (clips.latents.shape[3], clips.latents.shape[4])
    stop = clips.start + clips.latents.shape[2]
    shape = (len(clips.cameras), clips.memory_frames)
    return network.prepare(
        context=context,
        plucker=CameraRays(cameras=clips.cameras.float(), grid=grid),
        predict_range=torch.stack([clips.start, stop], dim=1),
        keyboard=clips.keyboard,
        mouse=clips.mouse,
        memory_keyboard=clips.keyboard.new_full((*shape, clips.keyboard.shape[2]), NEUTRAL_KEYBOARD),
        memory_mouse=clips.mouse.new_full((*shape, clips.mouse.shape[2]), NEUTRAL_MOUSE),
        memory_latent_idx=clips.memory_idx,
        camera_cache=camera_cache,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Episodes:
    """Episodes of N worlds as the device holds them: poses, actions and prompts of F frames."""

    extrinsics: Tensor
    """(N, F, 4, 4) float64, camera-to-world."""
    keyboard: Tensor
    """(N, F, 6)."""
    mouse: Tensor
    """(N, F, 2)."""
    tokens: Tensor
    """(N, V, L) tokens of V prompts that describe the world."""

    def __len__(self) -> int:
        return self.extrinsics.shape[0]

    def select(self, rows: Tensor) -> Episodes:
        return Episodes(
            extrinsics=self.extrinsics[rows],
            keyboard=self.keyboard[rows],
            mouse=self.mouse[rows],
            tokens=self.tokens[rows],
        )

    def actions(self, rows: Tensor, first: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Keyboard (B, count, 6) and mouse (B, count, 2) rows of frames first … first + count - 1."""
        frames = first[:, None] + torch.arange(count, device=first.device)
        return self.keyboard[rows[:, None], frames], self.mouse[rows[:, None], frames]

    def latent_cameras(self, rows: Tensor, first: Tensor, count: int) -> Tensor:
        """(B, count, 4, 4) cameras of `count` latents, of which the first ends at frame `first`."""
        return self.extrinsics[rows[:, None], first[:, None] + 4 * torch.arange(count, device=first.device)]

    def prompt(self, rows: Tensor, variant: Tensor) -> Tensor:
        return self.tokens[rows, variant]

    def to(self, device: torch.device) -> Episodes:
        """The same episodes on another device."""
        return Episodes(
            extrinsics=self.extrinsics.to(device),
            keyboard=self.keyboard.to(device),
            mouse=self.mouse.to(device),
            tokens=self.tokens.to(device),
        )


def join_episodes(parts: Sequence[Episodes]) -> Episodes:
    """All parts' episodes, which are of one length."""
    return Episodes(
        extrinsics=torch.cat([part.extrinsics for part in parts]),
        keyboard=torch.cat([part.keyboard for part in parts]),
        mouse=torch.cat([part.mouse for part in parts]),
        tokens=torch.cat([part.tokens for part in parts]),
    )


def extrinsics_from(poses: Tensor) -> Tensor:
    """Camera-to-world matrices (N, F, 4, 4), float64, of poses (N, F, 5), on their device."""
    matrices = extrinsics_of(poses.flatten(0, 1).cpu().numpy())
    return split_dim(torch.from_numpy(matrices).to(poses.device), 0, poses.shape[:2])


def first_clips(episodes: Episodes, latents: Tensor, rows: Tensor, frame: Tensor, variant: Tensor) -> Clips:
    """First clips of episodes `rows` (B,) that start at video frame `frame` (B,), with prompt `variant` (B,).

    `latents` (B, C, 15, h, w) are those of streams of their own that begin there; only the first is given to the model.
    """
    keyboard, mouse = episodes.actions(rows, frame, FIRST_CLIP_FRAMES)
    return Clips(
        latents=latents.float(),
        known=1,
        cameras=clip_motion(episodes.latent_cameras(rows, frame, FIRST_CLIP_LATENTS)),
        keyboard=keyboard,
        mouse=mouse,
        start=torch.zeros_like(rows),
        tokens=episodes.prompt(rows, variant),
    )


def later_clips(
    episodes: Episodes, latents: Tensor, rows: Tensor, start: Tensor, variant: Tensor, memory_idx: Tensor
) -> Clips:
    """Later clips that start at latent `start` (B,) of the episodes' streams `latents` (N, C, L, h, w), with the
    memory latents (B, M) that `retrieval` chose.

    The clip's latents that lie behind the end of the streams are zeros: a rollout has yet to make them.
    """
    at = rows[:, None]
    # Indexing puts the gathered dimension before the channels.
    span = start[:, None] + torch.arange(LATER_CLIP_LATENTS, device=rows.device)
    own = latents[at, :, span.clamp(max=latents.shape[2] - 1)] * (span < latents.shape[2])[:, :, None, None, None]
    queries = query_frames(start)
    keyboard, mouse = episodes.actions(rows, first_frame(start), LATER_CLIP_FRAMES)
    memory_cameras = memory_motion(episodes.extrinsics[at, queries], episodes.extrinsics[at, 4 * memory_idx])
    own_cameras = clip_motion(episodes.latent_cameras(rows, 4 * start, LATER_CLIP_LATENTS))
    return Clips(
        latents=own.movedim(1, 2).float(),
        known=PAST_LATENTS,
        cameras=torch.cat([memory_cameras, own_cameras], dim=1),
        keyboard=keyboard,
        mouse=mouse,
        start=start,
        tokens=episodes.prompt(rows, variant),
        memory=latents[at, :, memory_idx].movedim(1, 2).float(),
        memory_idx=memory_idx,
    )
