"""Worlds in one process, chunk after chunk with the decoder beside the denoiser."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from worldloom.cluster.local_pipeline import ChunkActions, DecodedChunk, LocalPipeline
from worldloom.cluster.world import World
from worldloom.errors import ActionError, SessionUnknown
from worldloom.model.preset import load_preset
from worldloom.serve.actions import Actions

PRESET = load_preset("tiny")
IMAGE = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)


def walk(session: str, chunk: int) -> ChunkActions:
    """Forward, with a turn that differs from session to session."""
    rows = 57 if chunk == 0 else 40
    keyboard, mouse = np.zeros((rows, 6), np.float32), np.full((rows, 2), 0.01 * (1 + len(session)), np.float32)
    keyboard[:, 0] = 1
    return ChunkActions(session=session, keyboard=keyboard, mouse=mouse)


def frames_of(chunk: DecodedChunk) -> np.ndarray:
    return np.concatenate(chunk.frames)


@pytest.fixture(scope="module")
def played() -> list[DecodedChunk]:
    pipeline = LocalPipeline(PRESET, device="cpu")
    pipeline.warm_up()
    pipeline.start("a", IMAGE, seed=3)
    return list(pipeline.play(walk("a", chunk) for chunk in range(3)))


def test_it_makes_the_frames_that_a_world_makes(played: list[DecodedChunk]) -> None:
    world = World.load(PRESET, device="cpu").start(IMAGE, seed=3)
    for chunk, made in enumerate(played):
        rows = walk("a", chunk)
        assert np.array_equal(frames_of(made), world.step(Actions(keyboard=rows.keyboard, mouse=rows.mouse)))


def test_chunks_come_in_order_with_their_moments_and_stages(played: list[DecodedChunk]) -> None:
    assert [made.chunk for made in played] == [0, 1, 2]
    for made in played:
        assert made.planned_s < made.first_frame_s < made.last_frame_s
        denoising = {"launch", "prepare", "step0", "step1", "step2"}
        assert set(made.stages) == {"plan", "retrieve", *denoising, "commit", "decode", "copy"}
        assert all(seconds >= 0 for seconds in made.stages.values())
    assert played[0].stages["retrieve"] == 0 < played[1].stages["retrieve"]


def test_sessions_that_take_turns_do_not_meet(played: list[DecodedChunk]) -> None:
    pipeline = LocalPipeline(PRESET, device="cpu")
    pipeline.start("a", IMAGE, seed=3)
    pipeline.start("other", IMAGE, seed=4)
    turns = [walk(session, chunk) for chunk in range(2) for session in ("a", "other")]
    made = list(pipeline.play(turns))
    assert [(one.session, one.chunk) for one in made] == [("a", 0), ("other", 0), ("a", 1), ("other", 1)]
    for mine, alone in zip(made[::2], played, strict=False):
        assert np.array_equal(frames_of(mine), frames_of(alone))


def test_the_next_chunk_is_asked_for_before_the_last_one_is_given() -> None:
    pipeline, asked = LocalPipeline(PRESET, device="cpu"), []

    def chunks() -> Iterator[ChunkActions]:
        for chunk in range(2):
            asked.append(chunk)
            yield walk("a", chunk)

    pipeline.start("a", IMAGE)
    frames = pipeline.play(chunks())
    next(frames)
    assert asked == [0, 1]


def test_rows_that_do_not_fit_and_unknown_sessions_are_errors() -> None:
    pipeline = LocalPipeline(PRESET, device="cpu")
    pipeline.start("a", IMAGE)
    with pytest.raises(ActionError):
        next(pipeline.play([walk("a", 1)]))
    with pytest.raises(SessionUnknown):
        next(pipeline.play([walk("b", 0)]))
    assert pipeline.num_new_frames("a") == 57


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_decoding_beside_denoising_changes_no_bit() -> None:
    pipeline, alone = LocalPipeline(PRESET, device="cuda"), World.load(PRESET, device="cuda").start(IMAGE, seed=3)
    pipeline.start("a", IMAGE, seed=3)
    for chunk, made in enumerate(pipeline.play(walk("a", chunk) for chunk in range(3))):
        rows = walk("a", chunk)
        assert np.array_equal(frames_of(made), alone.step(Actions(keyboard=rows.keyboard, mouse=rows.mouse)))
