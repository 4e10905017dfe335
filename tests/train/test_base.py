"""The base stage on a tiny set: it learns, it keeps its promises about what it is shown, it makes what it learned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from worldloom.train.draw import ClipDraw, ClipMix
from worldloom.train.error_buffer import ErrorBuffer, ErrorConfig
from worldloom.train.flow import FlowMatching
from worldloom.train.muon import OptimizerConfig
from worldloom.train.stage import Learner, Workplace
from worldloom.train.world_model import WorldModel, sample, shifted, start_weights

from .tiny_worlds import LATENTS, NULL, two_places, workplace


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return workplace(tmp_path)


def test_loss_falls_clearly_and_sampling_gives_what_was_learned(place: Workplace) -> None:
    data = two_places()
    model = WorldModel(place.preset)
    start_weights(model, torch.Generator().manual_seed(0))
    learner = Learner(model, OptimizerConfig(muon_lr=0.02, adam_lr=0.01), 0.9, place)
    draw = ClipDraw(data, ClipMix(null=0.0, gap=0.0), NULL, seed=0, rank=0)
    flow = FlowMatching(ErrorConfig(clips=16), place, data.streams.shape, salt="test")
    steps = 36
    losses = []
    for step in range(steps):
        loss = flow.loss(model, draw.draw(draw.next_kind(), 8))
        learner.pace(1.0 - step / steps)
        learner.learn(loss)
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.4 * sum(losses[:10])
    clips = draw.later(4)
    noise = torch.randn(clips.new.shape, generator=torch.Generator().manual_seed(1))
    made = sample(model, clips, noise, steps=3, shift=5.0)
    assert float((made - clips.new).square().mean()) < 0.3 * float(clips.new.square().mean())


def test_batches_mix_all_kinds_and_ranks_agree_on_each() -> None:
    data = two_places()
    draws = [ClipDraw(data, ClipMix(first=0.4, memoryless=0.3), NULL, seed=3, rank=rank) for rank in (0, 1)]
    kinds = [[draw.next_kind() for _ in range(20)] for draw in draws]
    assert kinds[0] == kinds[1]
    assert set(kinds[0]) == {"first", "later", "memoryless"}
    shapes = {kind: (clips.known, clips.memory_frames) for kind in kinds[0] for clips in [draws[0].draw(kind, 2)]}
    assert shapes == {"first": (1, 0), "later": (4, 5), "memoryless": (4, 0)}


def test_gaps_move_the_clip_and_leave_its_memory() -> None:
    data = two_places()
    near = ClipDraw(data, ClipMix(gap=0.0), NULL, seed=0, rank=0).later(64)
    far = ClipDraw(data, ClipMix(gap=1.0), NULL, seed=0, rank=0).later(64)
    assert near.memory_idx is not None and far.memory_idx is not None
    assert int(near.start.max()) <= LATENTS - 14
    assert int(far.start.max()) > 100
    assert int(far.memory_idx.max()) < LATENTS


class Oracle(torch.nn.Module):
    """Knows the clean clip and answers with the velocity towards it from whatever noisy sample it sees."""

    def forward(self, clips: object, noisy: Tensor, sigma: Tensor) -> Tensor:
        clean: Tensor = clips.new  # type: ignore[attr-defined]
        return (noisy - clean) / sigma.view(-1, 1, 1, 1, 1)


def test_a_model_that_corrects_all_mistakes_has_no_loss(place: Workplace) -> None:
    data = two_places()
    flow = FlowMatching(ErrorConfig(clips=8, given=1.0, current=1.0), place, data.streams.shape, salt="test")
    flow.buffer.put(torch.randn(8, 4, 10, 4, 6))
    clips = ClipDraw(data, ClipMix(), NULL, seed=0, rank=0).later(8)
    assert float(flow.loss(Oracle(), clips)) < 1e-6  # type: ignore[arg-type]


def test_buffer_gives_back_scaled_mistakes_of_successive_latents() -> None:
    generator = torch.Generator().manual_seed(0)
    buffer = ErrorBuffer(ErrorConfig(clips=4), (1, 10, 1, 1), generator)
    assert not buffer.draw(3, 4, consecutive=True, share=1.0).any()
    buffer.put(torch.arange(10.0).add(1).view(1, 1, 10, 1, 1))
    drawn = buffer.draw(32, 4, consecutive=True, share=1.0).flatten(1)
    ratios = drawn[:, 1:] / drawn[:, :-1]
    first = 1.0 / (ratios[:, 0] - 1.0)
    torch.testing.assert_close(ratios[:, 1], (first + 2) / (first + 1), atol=1e-3, rtol=1e-3)
    assert 0 < float(buffer.draw(400, 1, consecutive=True, share=0.5).eq(0).float().mean()) < 0.6


def test_shift_moves_levels_towards_noise_and_keeps_the_ends() -> None:
    levels = shifted(torch.tensor([0.0, 0.5, 1.0]), 5.0)
    torch.testing.assert_close(levels, torch.tensor([0.0, 5.0 / 6.0, 1.0]))
