"""The rollout against the reference's clips, and what a session may rely on."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from worldloom.memory.retrieval import select_frames
from worldloom.model.arrays import to_array, to_tensor
from worldloom.model.clip import ClipInputs, MemoryQuery, MemoryView, Retrieve, advance, initial_state, plan_clip
from worldloom.model.denoise import denoise
from worldloom.model.noise import chunk_noise
from worldloom.model.preset import SamplingConfig
from worldloom.model.rollout import Rollout, RolloutParts, clip_tensors, image_to_video, video_to_frames
from worldloom.model.transformer import WorldTransformer
from worldloom.model.transformer_config import TransformerConfig

from .golden import golden, relative_error, shared_golden

IMAGE = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def transformer() -> WorldTransformer:
    model = WorldTransformer(TransformerConfig.from_dict(json.loads(golden("dit/config.json").read_text())))
    model.load_state_dict(load_file(golden("dit/diffusion_pytorch_model.safetensors")))
    return model.eval()


def retrieve_from(latents: Tensor, poses: np.ndarray) -> Retrieve:
    """Memory of a world with these latents (C, n, h, w) and poses (F, 5)."""

    def retrieve(query: MemoryQuery) -> MemoryView:
        chosen = select_frames(query.query_poses, poses, query.candidate_stop)
        return MemoryView(
            latents=to_array(latents[:, chosen.latent_idx]),
            frame_idx=chosen.frame_idx,
            frame_idx_raw=chosen.frame_idx_raw,
            latent_idx=chosen.latent_idx,
            overlap=chosen.overlap,
            poses=poses[chosen.pose_idx],
        )

    return retrieve


@pytest.mark.parametrize(
    ("kind", "num_clips", "num_steps", "guidance"), [("distilled", 5, 3, 1.0), ("base", 2, 4, 5.0)]
)
def test_new_latents_of_every_clip_match_the_reference(
    transformer: WorldTransformer, kind: str, num_clips: int, num_steps: int, guidance: float
) -> None:
    inputs = load_file(shared_golden("rollout/inputs.safetensors"))
    expected = load_file(shared_golden("rollout/expected.safetensors"))
    state, latents = initial_state(0), torch.zeros(48, 0, 4, 6)
    for index in range(num_clips):
        rows = slice(len(state.poses), len(state.poses) + state.num_new_frames)
        clip = plan_clip(
            state,
            inputs["keyboard"][rows].numpy(),
            inputs["mouse"][rows].numpy(),
            prompt="",
            viewpoint="first_person",
            image=IMAGE,
            retrieve=retrieve_from(latents, state.poses),
        )
        clean = inputs["image_latent"] if clip.past is None else to_tensor(clip.past)[None]
        tensors = clip_tensors(
            clip,
            noise=inputs[f"{kind}.noise{index}"][:, :, clean.shape[2] :],
            clean=clean,
            context=inputs["context"],
            null_context=inputs["negative_context"],
        )
        if index == 1:
            assert relative_error(tensors.plucker, expected["chunk1.plucker"]) < 2e-5
        new = denoise(tensors, lambda timestep: transformer, num_steps=num_steps, guidance=guidance)[0]
        if index == 0:
            new = torch.cat([inputs["image_latent"][0], new], dim=1)
        assert relative_error(new, expected[f"{kind}.chunk{index}.latents"][0]) < 2e-5
        latents = torch.cat([latents, new], dim=1)
        state = advance(state, clip, to_array(new))


class Parts:
    """Networks around the golden transformer that note what they were asked."""

    def __init__(self, transformer: WorldTransformer) -> None:
        self.transformer = transformer
        self.steps: list[tuple[int, str]] = []
        self.prompts: list[str] = []

    def expert_for(self, timestep: int, viewpoint: str) -> WorldTransformer:
        self.steps.append((timestep, viewpoint))
        return self.transformer

    def encode_text(self, prompt: str) -> Tensor:
        self.prompts.append(prompt)
        return torch.full((3, 32), 0.1 * len(prompt))

    def encode_image(self, video: Tensor) -> Tensor:
        return video.mean(dim=(1, 3, 4)).expand(1, 48, 1)[..., None, None].expand(1, 48, 1, 4, 6)

    def rollout(self, **sampling: Any) -> Rollout:
        return Rollout(
            replace(SamplingConfig(steps=2), **sampling),
            RolloutParts(
                expert_for=self.expert_for,
                encode_text=self.encode_text,
                encode_image=self.encode_image,
                device=torch.device("cpu"),
                dtype=torch.float32,
            ),
        )


@pytest.fixture
def parts(transformer: WorldTransformer) -> Parts:
    return Parts(transformer)


def first_clip(**changes: Any) -> ClipInputs:
    actions = np.zeros((57, 6), np.float32), np.full((57, 2), 0.05, np.float32)
    state = initial_state(5)
    clip = plan_clip(
        state,
        *actions,
        prompt="hall",
        viewpoint="third_person",
        image=IMAGE,
        retrieve=retrieve_from(torch.empty(0), state.poses),
    )
    return replace(clip, **changes)


def second_clip() -> ClipInputs:
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(48, 15, 4, 6, generator=generator)
    first = first_clip()
    state = advance(initial_state(5), first, to_array(latents))
    actions = np.zeros((40, 6), np.float32), np.full((40, 2), -0.05, np.float32)
    return plan_clip(
        state,
        *actions,
        prompt="hall",
        viewpoint="third_person",
        image=None,
        retrieve=retrieve_from(latents, state.poses),
    )


def test_a_first_clip_gives_the_image_latent_and_fourteen_more(parts: Parts) -> None:
    latents = parts.rollout().denoise(first_clip()).latents
    assert latents.shape == (48, 15, 4, 6)
    assert torch.equal(latents[:, :1], parts.encode_image(image_to_video(IMAGE))[0])


def test_a_later_clip_gives_ten_latents_that_follow_from_past_and_memory(parts: Parts) -> None:
    rollout, clip = parts.rollout(), second_clip()
    assert clip.past is not None and clip.memory is not None
    latents = rollout.denoise(clip).latents
    assert latents.shape == (48, 10, 4, 6)
    assert torch.equal(rollout.denoise(clip).latents, latents)
    other_past = replace(clip, past=clip.past.astype(np.float32) + np.float32(0.1))
    memory_latents = clip.memory.latents.astype(np.float32) + np.float32(0.1)
    other_memory = replace(clip, memory=replace(clip.memory, latents=memory_latents))
    for other in (other_past, other_memory):
        assert not torch.equal(rollout.denoise(other).latents, latents)


def test_a_clip_may_come_without_memory(parts: Parts) -> None:
    clip, rollout = second_clip(), parts.rollout()
    forgetful = rollout.denoise(replace(clip, memory=None, query_poses=None)).latents
    assert forgetful.shape == (48, 10, 4, 6)
    assert not torch.equal(forgetful, rollout.denoise(clip).latents)


@pytest.mark.parametrize("place", [{"seed": 6}, {"branch": 1}, {"chunk": 1}])
def test_another_place_in_the_history_means_other_noise(parts: Parts, place: dict[str, int]) -> None:
    rollout = parts.rollout(steps=1)
    assert not torch.equal(rollout.denoise(first_clip()).latents, rollout.denoise(first_clip(**place)).latents)


def test_a_step_runs_the_expert_of_its_timestep_and_viewpoint(parts: Parts) -> None:
    parts.rollout(steps=3).denoise(first_clip())
    assert list(dict.fromkeys(parts.steps)) == [(999, "third_person"), (908, "third_person"), (713, "third_person")]


def test_a_prompt_is_encoded_once_and_the_negative_one_only_with_guidance(parts: Parts) -> None:
    rollout = parts.rollout()
    rollout.denoise(first_clip())
    rollout.denoise(second_clip())
    assert parts.prompts == ["hall"]
    parts.rollout(guidance=2.0, negative_prompt="blurry").denoise(first_clip())
    assert parts.prompts == ["hall", "hall", "blurry"]


def test_steps_are_reported_and_timed(parts: Parts) -> None:
    seen: list[tuple[int, int]] = []
    result = parts.rollout(steps=3).denoise(first_clip(), on_step=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert list(result.timings) == ["prepare", "step0", "step1", "step2"]


def test_guidance_without_a_negative_prompt_is_an_error(transformer: WorldTransformer) -> None:
    tensors = clip_tensors(
        first_clip(),
        noise=chunk_noise((1, 48, 14, 4, 6), seed=0, branch=0, chunk=0),
        clean=torch.zeros(1, 48, 1, 4, 6),
        context=torch.zeros(3, 32),
    )
    with pytest.raises(ValueError, match="negative prompt"):
        denoise(tensors, lambda timestep: transformer, num_steps=1, guidance=2.0)


def test_images_survive_the_way_to_a_video_and_back() -> None:
    assert np.array_equal(video_to_frames(image_to_video(IMAGE)), IMAGE[None])
