"""What is measured: something that turns actions into frames of a scene, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from ...model.arrays import to_array, to_tensor
from ...model.clip import Array, ClipInputs, WorldState, advance, initial_state, plan_clip
from ...model.denoise import denoise
from ...model.load import load_rollout
from ...model.preset import Preset
from ...model.rollout import Rollout, video_to_frames, with_image
from ...model.vae import Decoder, DecoderState
from ...model.weights import load_decoder
from .moves import Moves
from .recall import Policy, recall
from .scenes import Scene
from .together import alike, join_clips, join_states, split_states

STORED = torch.bfloat16
"""Dtype of the latents that the service hands on and remembers, whatever the model computes in."""
_PIECE_LATENTS = 5
"""Latents decoded at once."""

Play = TypeVar("Play")
OnChunk = Callable[[], object]


class Player(Protocol[Play]):
    """Plays scenes. A state is a value: any state can be continued more than once, by different moves."""

    @property
    def at_once(self) -> int:
        """How many plays it should take at a time."""

    def begin(self, scene: Scene, policy: Policy = Policy.CAMERA) -> Play:
        """The state before the first chunk."""

    def step(self, play: Play, moves: Moves) -> tuple[Tensor, Play]:
        """Frames (57 or 40, H, W, 3), uint8 on the CPU, of the next chunk under so many moves; and the next state."""

    def step_all(self, plays: Sequence[Play], moves: Sequence[Moves]) -> list[tuple[Tensor, Play]]:
        """`step` of each play, all of which have come equally far."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Trip:
    """A scene with the moves through it."""

    scene: Scene
    moves: Moves
    policy: Policy = Policy.CAMERA


def play_through(player: Player[Play], trips: Sequence[Trip], on_chunk: OnChunk = lambda: None) -> list[Tensor]:
    """All frames (F, H, W, 3) of trips of F moves each; `on_chunk` is called for each chunk of each trip."""
    films: list[Tensor] = []
    for start in range(0, len(trips), player.at_once):
        together = trips[start : start + player.at_once]
        plays = [player.begin(trip.scene, trip.policy) for trip in together]
        parts: list[list[Tensor]] = [[] for _ in together]
        for moves in zip(*(trip.moves.chunks() for trip in together), strict=True):
            steps = step_together(player, plays, moves, on_chunk)
            plays = [play for _, play in steps]
            for part, (made, _) in zip(parts, steps, strict=True):
                part.append(made)
        films += [torch.cat(part) for part in parts]
    return films


def step_together(
    player: Player[Play], plays: Sequence[Play], moves: Sequence[Moves], on_chunk: OnChunk
) -> list[tuple[Tensor, Play]]:
    """`step_all` of as many plays at a time as the player takes."""
    steps: list[tuple[Tensor, Play]] = []
    for start in range(0, len(plays), player.at_once):
        part = slice(start, start + player.at_once)
        steps += player.step_all(plays[part], moves[part])
        for _ in plays[part]:
            on_chunk()
    return steps


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

    def __init__(self, rollout: Rollout, decoder: Decoder, at_once: int = 1) -> None:
        self.rollout = rollout
        self.decoder = decoder
        self.at_once = at_once

    @classmethod
    def load(cls, preset: Preset, device: torch.device, at_once: int = 1) -> Self:
        """Loads the weights. Raises ConfigError or CheckpointError when they cannot be.

        Several plays `at_once` are one batch, which keeps a GPU busy with a small model; their frames are the same
        within rounding.
        """
        return cls(load_rollout(preset, device), load_decoder(preset, device), at_once)

    def begin(self, scene: Scene, policy: Policy = Policy.CAMERA) -> ModelPlay:
        world = initial_state(scene.seed)
        return ModelPlay(scene=scene, policy=policy, world=world, latents=None, decoder=None)

    def step(self, play: ModelPlay, moves: Moves) -> tuple[Tensor, ModelPlay]:
        clip = self.plan(play, moves)
        return self.commit(play, clip, self.denoise(clip))

    def step_all(self, plays: Sequence[ModelPlay], moves: Sequence[Moves]) -> list[tuple[Tensor, ModelPlay]]:
        if len(plays) == 1:
            return [self.step(plays[0], moves[0])]
        clips = [self.plan(play, part) for play, part in zip(plays, moves, strict=True)]
        latents: dict[int, Array] = {}
        for group in alike(clips):
            latents.update(zip(group, self._denoise_all([clips[at] for at in group]), strict=True))
        return self._commit_all(plays, clips, [latents[at] for at in range(len(plays))])

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

    def commit(self, play: ModelPlay, clip: ClipInputs, latents: Array) -> tuple[Tensor, ModelPlay]:
        """Frames of the clip's new latents, and the state after them."""
        return self._commit_all([play], [clip], [latents])[0]

    @torch.inference_mode()
    def _denoise_all(self, clips: Sequence[ClipInputs]) -> list[Array]:
        """`denoise` of clips that are `alike`."""
        sampling, parts = self.rollout.sampling, self.rollout.parts
        if sampling.guidance > 1:
            return [self.denoise(clip) for clip in clips]
        tensors = [self.rollout.tensors_of(clip) for clip in clips]
        new = denoise(
            join_clips(tensors),
            self.rollout.experts_of(clips[0]),
            num_steps=sampling.steps,
            shift=sampling.shift,
            camera_cache=parts.camera_cache,
        )
        each = zip(clips, tensors, torch.split(new, 1), strict=True)
        return [to_array(with_image(clip, own, made).to(STORED)) for clip, own, made in each]

    @torch.inference_mode()
    def _commit_all(
        self, plays: Sequence[ModelPlay], clips: Sequence[ClipInputs], latents: Sequence[Array]
    ) -> list[tuple[Tensor, ModelPlay]]:
        """`commit` of plays that have come equally far."""
        new = torch.stack([to_tensor(one) for one in latents]).to(self.rollout.parts.device, torch.float32)
        before = join_states([play.decoder for play in plays])
        videos, after = self.decoder.decode(new, before, piece_latents=_PIECE_LATENTS)
        streams = zip(torch.split(videos, 1), split_states(after, len(plays)), strict=True)
        each = zip(plays, clips, latents, streams, strict=True)
        return [_after(play, clip, made, *stream) for play, clip, made, stream in each]


def _after(
    play: ModelPlay, clip: ClipInputs, latents: Array, video: Tensor, decoder: DecoderState
) -> tuple[Tensor, ModelPlay]:
    """Frames, and the play with its new latents (C, n, h, w) and its stream's `decoder` state after them."""
    so_far = latents if play.latents is None else np.concatenate([play.latents, latents], axis=1)
    world = advance(play.world, clip, latents)
    return torch.from_numpy(video_to_frames(video)), replace(play, world=world, latents=so_far, decoder=decoder)


def _latents_of(play: ModelPlay) -> Array:
    return np.zeros((0, 0, 0, 0)) if play.latents is None else play.latents


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TruthPlay:
    """A scene and its moves so far."""

    scene: Scene
    moves: Moves | None


class TruthPlayer:
    """Renders what the camera would truly see: the perfect model, whose figures are the best that can be measured."""

    at_once = 1

    def begin(self, scene: Scene, policy: Policy = Policy.CAMERA) -> TruthPlay:
        return TruthPlay(scene=scene, moves=None)

    def step(self, play: TruthPlay, moves: Moves) -> tuple[Tensor, TruthPlay]:
        after = moves if play.moves is None else play.moves + moves
        poses = after.poses()[-len(moves) :]
        return play.scene.truth(poses), replace(play, moves=after)

    def step_all(self, plays: Sequence[TruthPlay], moves: Sequence[Moves]) -> list[tuple[Tensor, TruthPlay]]:
        return [self.step(play, part) for play, part in zip(plays, moves, strict=True)]
