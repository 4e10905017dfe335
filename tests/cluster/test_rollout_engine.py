"""The real engine and decoder on the smallest whole model."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
import torch
from worldloom.cluster.engine import ChunkJob
from worldloom.cluster.engines import make_decoder, make_engine
from worldloom.cluster.rollout_engine import RolloutEngine, VaeDecoder
from worldloom.model.clip import ClipInputs
from worldloom.model.preset import load_preset
from worldloom.model.rehearsal import still_clips

PRESET = load_preset("tiny")


def job(clip: ClipInputs) -> ChunkJob:
    return ChunkJob(session="s", epoch=1, clip=clip)


@pytest.fixture(scope="module")
def engine() -> RolloutEngine:
    return RolloutEngine(PRESET, "cpu")


@pytest.fixture(scope="module")
def decoder() -> VaeDecoder:
    return VaeDecoder(PRESET, "cpu")


@pytest.fixture(scope="module")
def latents() -> np.ndarray:
    shape = (PRESET.latent_channels, 15, PRESET.latent_height, PRESET.latent_width)
    return np.random.default_rng(0).standard_normal(shape).astype(ml_dtypes.bfloat16)


def test_first_and_later_clips_give_their_new_latents_in_bfloat16(engine: RolloutEngine) -> None:
    for clip, count in zip(still_clips(PRESET), (15, 10), strict=True):
        result = engine.step(job(clip))
        assert result.latents.shape == (4, count, 4, 6)
        assert result.latents.dtype == ml_dtypes.bfloat16
        assert np.isfinite(result.latents.astype(np.float32)).all()
        assert list(result.timings) == ["prepare", "step0", "step1", "step2"]


def test_two_engines_of_one_preset_give_the_same_bits(engine: RolloutEngine) -> None:
    first, _ = still_clips(PRESET)
    other = RolloutEngine(PRESET, "cpu")
    other.warm_up()
    assert engine.step(job(first)).latents.tobytes() == other.step(job(first)).latents.tobytes()


def test_prompt_image_and_actions_change_the_world(engine: RolloutEngine) -> None:
    first, _ = still_clips(PRESET)
    assert first.image is not None
    same = engine.step(job(first)).latents
    for changed in (
        replace(first, prompt="a hall"),
        replace(first, image=255 - first.image // 2),
        replace(first, mouse=first.mouse + np.float32(0.5)),
        replace(first, keyboard=first.keyboard + np.float32(1)),
    ):
        assert (engine.step(job(changed)).latents != same).any()


def test_frames_have_the_same_bits_however_a_stream_is_split(decoder: VaeDecoder, latents: np.ndarray) -> None:
    whole, _ = decoder.decode(latents, None)
    assert whole.shape == (57, 64, 96, 3)
    assert whole.dtype == np.uint8
    pieces, state = [], None
    for part in (slice(0, 1), slice(1, 7), slice(7, 15)):
        frames, state = decoder.decode(latents[:, part], state)
        pieces.append(frames)
    assert np.array_equal(np.concatenate(pieces), whole)


def test_decoding_the_reach_again_rebuilds_a_lost_state(decoder: VaeDecoder) -> None:
    start = decoder.reach_latents + 2
    stream = np.random.default_rng(1).standard_normal((PRESET.latent_channels, start + 1, 2, 2)).astype(np.float32)
    whole, _ = decoder.decode(stream, None)
    _, rebuilt = decoder.decode(stream[:, 2:start], None)
    frames, _ = decoder.decode(stream[:, start:], rebuilt)
    assert np.array_equal(frames, whole[-4:])


def test_a_decoder_state_can_be_used_twice(decoder: VaeDecoder, latents: np.ndarray) -> None:
    _, state = decoder.decode(latents[:, :3], None)
    once, _ = decoder.decode(latents[:, 3:5], state)
    again, _ = decoder.decode(latents[:, 3:5], state)
    assert np.array_equal(once, again)


def test_warming_up_changes_nothing(engine: RolloutEngine, decoder: VaeDecoder, latents: np.ndarray) -> None:
    first, _ = still_clips(PRESET)
    before = engine.step(job(first)).latents, decoder.decode(latents[:, :2], None)[0]
    engine.warm_up()
    decoder.warm_up()
    after = engine.step(job(first)).latents, decoder.decode(latents[:, :2], None)[0]
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def test_the_factories_make_the_real_ones_for_a_model() -> None:
    assert isinstance(make_engine(PRESET, "cpu"), RolloutEngine)
    assert isinstance(make_decoder(PRESET, "cpu"), VaeDecoder)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_makes_the_same_world_within_rounding(engine: RolloutEngine, decoder: VaeDecoder) -> None:
    on_gpu, gpu_decoder = RolloutEngine(PRESET, "cuda"), VaeDecoder(PRESET, "cuda")
    for clip in still_clips(PRESET):
        latents, others = (made.step(job(clip)).latents.astype(np.float32) for made in (engine, on_gpu))
        assert np.linalg.norm(others - latents) < 0.01 * np.linalg.norm(latents)
    video, _ = gpu_decoder.decode(latents, None)
    assert video.shape == decoder.decode(latents, None)[0].shape
