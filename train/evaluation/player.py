"""What is measured: something that turns actions into frames of a scene, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from ...model.arrays import to_array, to_tensor
from ...model.clip import Array, ClipInputs, WorldState, advance, initial_state, plan_clip
from ...model.load import load_rollout
from ...model.preset import Preset
from ...model.rollout import Rollout, video_to_frames
from ...model.vae import Decoder, DecoderState
from ...model.weights import load_decoder
from .moves import Moves
from .recall import Policy, recall
from .scenes import Scene

STORED = torch.bfloat16
"""Dtype of the latents that the service hands on and remembers, whatever the model computes in."""
_PIECE_LATENTS = 5
"""Latents decoded at once."""

Play = TypeVar("Play")
OnChunk = Callable[[], object]


class Player(Protocol[Play]):
    """Plays scenes. A state is a value: any state can be continued more than once, by different moves."""

    def begin(self, scene: Scene, policy: Policy = Policy.CAMERA) -> Play:
        """The state before the first chunk."""

    def step(self, play: Play, moves: Moves) -> tuple[Tensor, Play]:
        """Frames (57 or 40, H, W, 3), uint8 on the CPU, of the next chunk under so many moves; and the next state."""


def play_through(
    player: Player[Play], scene: Scene, moves: Moves, policy: Policy = Policy.CAMERA, on_chunk: OnChunk = lambda: None
) -> Tensor:
    """All frames (F, H, W, 3) of a scene under F moves; `on_chunk` is called after each chunk."""
    play = player.begin(scene, policy)
    frames = []
    for part in moves.chunks():
        made, play = player.step(play, part)
        frames.append(made)
        on_chunk()
    return torch.cat(frames)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ModelPlay:
    """A world in the middle of a rollout."""

    scene: Scene
    policy: Policy
    world: WorldState
    latents: Array | None
    """(C, L, h, w) of all frames so far, None before the first chunk."""
    decoder: DecoderState | None


class ModelPlayer:
    """Plays with a preset's networks as the service does: latents are stored in bfloat16, memory is looked up."""

    def __init__(self, rollout: Rollout, decoder: Decoder) -> None:
        self.rollout = rollout
        self.decoder = decoder

    @classmethod
    def load(cls, preset: Preset, device: torch.device) -> Self:
        """Loads the weights. Raises ConfigError or CheckpointError when they cannot be."""
        return cls(load_rollout(preset, device), load_decoder(preset, device))

    def begin(self, scene: Scene, policy: Policy = Policy.CAMERA) -> ModelPlay:
        world = initial_state(scene.seed)
        return ModelPlay(scene=scene, policy=policy, world=world, latents=None, decoder=None)

    def step(self, play: ModelPlay, moves: Moves) -> tuple[Tensor, ModelPlay]:
        clip = self.plan(play, moves)
        return self.commit(play, clip, self.denoise(clip))

    def plan(self, play: ModelPlay, moves: Moves) -> ClipInputs:
        """The next clip under these moves, with the memory that the play's policy finds."""
        clip = plan_clip(
            play.world,
            moves.keyboard,
            moves.mouse,
            prompt=play.scene.prompt,
            viewpoint="first_person",
            image=play.scene.image if play.latents is None else None,
            retrieve=partial(recall, play.policy, play.world, _latents_of(play)),
        )
        return clip if play.policy is not Policy.NONE else replace(clip, memory=None, query_poses=None)

    def denoise(self, clip: ClipInputs) -> Array:
        """New latents (C, n, h, w) as they are stored."""
        return to_array(self.rollout.denoise(clip).latents.to(STORED))

    @torch.inference_mode()
    def commit(self, play: ModelPlay, clip: ClipInputs, latents: Array) -> tuple[Tensor, ModelPlay]:
        """Frames of the clip's new latents, and the state after them."""
        new = to_tensor(latents)[None].to(self.rollout.parts.device, torch.float32)
        video, decoder = self.decoder.decode(new, play.decoder, piece_latents=_PIECE_LATENTS)
        after = replace(
            play,
            world=advance(play.world, clip, latents),
            latents=np.concatenate([_latents_of(play), latents], axis=1) if play.latents is not None else latents,
            decoder=decoder,
        )
        return torch.from_numpy(video_to_frames(video)), after


def _latents_of(play: ModelPlay) -> Array:
    return np.zeros((0, 0, 0, 0)) if play.latents is None else play.latents


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TruthPlay:
    """A scene and its moves so far."""

    scene: Scene
    moves: Moves | None


class TruthPlayer:
    """Renders what the camera would truly see: the perfect model, whose figures are the best that can be measured."""

    def begin(self, scene: Scene, policy: Policy = Policy.CAMERA) -> TruthPlay:
        return TruthPlay(scene=scene, moves=None)

    def step(self, play: TruthPlay, moves: Moves) -> tuple[Tensor, TruthPlay]:
        after = moves if play.moves is None else play.moves + moves
        poses = after.poses()[-len(moves) :]
        return play.scene.truth(poses), replace(play, moves=after)
