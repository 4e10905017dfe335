"""Conditioning that training builds in batches equals what a rollout builds for one world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor
from worldloom.memory.retrieval import select_frames
from worldloom.model.camera import CameraRays, ray_map
from worldloom.model.clip import ClipInputs, MemoryQuery, MemoryView, advance, initial_state, plan_clip
from worldloom.model.denoise import ClipTensors, denoise
from worldloom.model.poses import integrate_poses
from worldloom.model.preset import load_preset
from worldloom.model.rollout import clip_tensors
from worldloom.train.clips import Clips, Episodes, condition, extrinsics_from
from worldloom.train.selfplay import segment_clips
from worldloom.train.world_model import WorldModel, sample, start_weights

FRAMES = 137
SIZE = (4, 4, 6)
PROMPT = [7, 9, 1, 0, 0, 0, 0, 0]


@dataclass(frozen=True, kw_only=True, slots=True)
class Walk:
    """One episode with the latents of its stream."""

    keyboard: np.ndarray
    mouse: np.ndarray
    poses: np.ndarray
    latents: np.ndarray


def walk(seed: int) -> Walk:
    """Random stretches of walking and turning, there and back in part."""
    rng = np.random.default_rng(seed)
    keyboard = np.zeros((FRAMES, 6), np.float32)
    mouse = np.zeros((FRAMES, 2), np.float32)
    for start in range(0, FRAMES, 12):
        keyboard[start : start + 12, rng.integers(4)] = rng.integers(2)
        mouse[start : start + 12] = rng.choice([-0.1, 0.0, 0.1], 2) * [0.3, 1]
    poses = integrate_poses(keyboard, mouse).astype(np.float64)
    latents = rng.standard_normal((SIZE[0], 35, *SIZE[1:])).astype(np.float32)
    return Walk(keyboard=keyboard, mouse=mouse, poses=poses, latents=latents)


def planned(walk: Walk) -> list[ClipInputs]:
    """The three clips of the walk as a session plans them, with memory by the store's rule."""

    def retrieve(query: MemoryQuery) -> MemoryView:
        found = select_frames(query.query_poses, walk.poses, query.candidate_stop)
        return MemoryView(
            latents=walk.latents[:, found.latent_idx],
            frame_idx=found.frame_idx,
            frame_idx_raw=found.frame_idx_raw,
            latent_idx=found.latent_idx,
            overlap=found.overlap,
            poses=walk.poses[found.pose_idx],
        )

    state, clips = initial_state(0), []
    for first, stop, latents in ((0, 57, slice(0, 15)), (57, 97, slice(15, 25)), (97, 137, slice(25, 35))):
        clip = plan_clip(
            state,
            walk.keyboard[first:stop],
            walk.mouse[first:stop],
            prompt="",
            viewpoint="first_person",
            image=np.zeros((64, 96, 3), np.uint8),
            retrieve=retrieve,
        )
        state = advance(state, clip, walk.latents[:, latents])
        clips.append(clip)
    return clips


def episodes(walks: list[Walk]) -> Episodes:
    return Episodes(
        extrinsics=extrinsics_from(torch.from_numpy(np.stack([walk.poses for walk in walks]))),
        keyboard=torch.from_numpy(np.stack([walk.keyboard for walk in walks])),
        mouse=torch.from_numpy(np.stack([walk.mouse for walk in walks])),
        tokens=torch.tensor([[PROMPT]] * len(walks)),
    )


def batch_of(walks: list[Walk], segment: int) -> Clips:
    made = 1 if segment == 0 else 10 * segment + 5
    stream = torch.from_numpy(np.stack([walk.latents[:, :made] for walk in walks]))
    return segment_clips(episodes(walks), stream, segment, torch.zeros(len(walks), dtype=torch.long))


def tensors_of(clip: ClipInputs, walk: Walk, context: Tensor, noise: Tensor) -> ClipTensors:
    past = walk.latents[:, :1] if clip.past is None else np.asarray(clip.past)
    return clip_tensors(clip, noise=noise, clean=torch.from_numpy(past)[None], context=context)


@pytest.fixture(scope="module")
def model() -> WorldModel:
    network = WorldModel(load_preset("tiny"))
    start_weights(network, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            # Blocks start as the identity: what conditions them must matter for these tests.
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return network


class Recorder:
    """Stands for a transformer and notes how it is prepared."""

    dtype = torch.float32

    def prepare(self, **inputs: Tensor) -> dict[str, Tensor]:
        return inputs


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_batched_conditioning_equals_that_of_planned_clips(segment: int) -> None:
    walks = [walk(1), walk(2), walk(3)]
    clips = batch_of(walks, segment)
    prepared = condition(Recorder(), clips, torch.zeros(3, 8, 32))  # type: ignore[arg-type]
    built = cast(dict[str, Tensor], prepared)
    for row, one in enumerate(walks):
        plan = planned(one)[segment]
        tensors = tensors_of(plan, one, torch.zeros(1, 32), torch.zeros(1))
        rays = cast(CameraRays, built["plucker"])
        made = ray_map(rays.cameras[row], grid=rays.grid, dtype=torch.float32)
        torch.testing.assert_close(made, tensors.plucker, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(built["keyboard"][row], tensors.keyboard[0], atol=0, rtol=0)
        torch.testing.assert_close(built["mouse"][row], tensors.mouse[0], atol=0, rtol=0)
        assert tuple(built["predict_range"][row].tolist()) == tensors.predict_range
        torch.testing.assert_close(clips.latents[row, :, : clips.known], tensors.clean[0], atol=0, rtol=0)
        if plan.memory is not None:
            assert built["memory_latent_idx"][row].tolist() == plan.memory.latent_idx.tolist()
            assert clips.memory is not None and tensors.memory is not None
            torch.testing.assert_close(clips.memory[row], tensors.memory[0], atol=0, rtol=0)


@pytest.mark.parametrize("segment", [0, 1])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_batched_sampling_makes_the_latents_that_a_rollout_makes(
    model: WorldModel, segment: int, guidance: float
) -> None:
    walks = [walk(4), walk(5)]
    clips = batch_of(walks, segment)
    noise = torch.randn(clips.new.shape, generator=torch.Generator().manual_seed(3))
    null = torch.tensor([1, 0, 0, 0, 0, 0, 0, 0])
    made = sample(model, clips, noise, steps=3, shift=5.0, guidance=guidance, null_tokens=null)
    with torch.no_grad():
        context = model.context(torch.tensor([PROMPT]))[0, :3]
        null_context = model.context(null[None])[0, :1]
    for row, one in enumerate(walks):
        plan = planned(one)[segment]
        tensors = clip_tensors(
            plan,
            noise=noise[row : row + 1],
            clean=clips.latents[row : row + 1, :, : clips.known],
            context=context,
            null_context=null_context,
        )
        alone = denoise(tensors, lambda _: model.transformer, num_steps=3, guidance=guidance)
        torch.testing.assert_close(made[row], alone[0], atol=2e-4, rtol=2e-4)


def test_without_memory_a_later_clip_keeps_its_own_cameras() -> None:
    clips = batch_of([walk(1)], 1)
    bare = clips.without_memory()
    assert bare.memory is None and bare.memory_frames == 0
    assert torch.equal(bare.cameras, clips.cameras[:, 5:])
    assert bare.segments((1, 2, 2)) == (4 * 6, 10 * 6)


def test_nulled_clips_are_neutral_where_marked_and_nowhere_else() -> None:
    clips = batch_of([walk(1), walk(2)], 1)
    null = torch.tensor([1, 0, 0, 0, 0, 0, 0, 0])
    marked = clips.nulled(torch.tensor([True, False]), null)
    assert bool((marked.keyboard[0] == -1).all()) and bool((marked.mouse[0] == 1).all())
    assert torch.equal(marked.tokens[0], null)
    assert torch.equal(marked.keyboard[1], clips.keyboard[1]) and torch.equal(marked.tokens[1], clips.tokens[1])
