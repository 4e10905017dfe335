"""Distribution matching: where it pushes, what it starts from, what it rolls out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from worldloom.train.checkpoints import save_weights
from worldloom.train.clips import Clips, Episodes
from worldloom.train.distill import Distillation, DistillRecipe, Turn
from worldloom.train.footage import Starts
from worldloom.train.muon import OptimizerConfig
from worldloom.train.progress import Budget
from worldloom.train.rendering import RenderConfig
from worldloom.train.selfplay import Solver, roll, segment_clips
from worldloom.train.world_model import WorldModel, sample, start_weights

from .tiny_worlds import NULL, two_places, workplace

RECIPE = DistillRecipe(
    budget=Budget(seconds=10, steps=2),
    render=RenderConfig(seconds=1, clips=2, frames=97),
    batch=3,
    student=OptimizerConfig(muon_lr=1e-3, adam_lr=1e-3),
    critic=OptimizerConfig(muon_lr=1e-3, adam_lr=1e-3),
    max_segments=2,
    guidance=1.0,
)


@pytest.fixture
def distillation(tmp_path: Path) -> Distillation:
    place = workplace(tmp_path)
    model = WorldModel(place.preset)
    start_weights(model, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    save_weights(place.folder("base"), model.state_dict())
    data = two_places()
    starts = Starts(episodes=data.episodes, images=data.streams[:, :, :1])
    return Distillation(RECIPE, place, data, starts, NULL)


def true_clips(distillation: Distillation) -> Clips:
    return distillation.draw.draw("later", RECIPE.batch)


def test_a_student_that_the_critic_mistakes_for_the_teacher_is_left_alone(distillation: Distillation) -> None:
    loss = distillation.student_loss(true_clips(distillation), 2)
    torch.autograd.backward(loss)
    student, _ = distillation.running
    # Critic and teacher are still one: there is no difference to follow.
    assert all(p.grad is None or float(p.grad.abs().max()) < 1e-6 for p in student.parameters())


def test_a_critic_that_differs_moves_the_student_and_nobody_else(distillation: Distillation) -> None:
    student, critic = distillation.running
    with torch.no_grad():
        critic.transformer.head.head.bias.add_(0.5)
    torch.autograd.backward(distillation.student_loss(true_clips(distillation), 2))
    assert any(p.grad is not None and float(p.grad.abs().max()) > 1e-6 for p in student.parameters())
    assert all(p.grad is None for model in (critic, distillation.teacher) for p in model.parameters())


def test_the_critic_learns_from_what_the_student_makes(distillation: Distillation) -> None:
    student, critic = distillation.running
    torch.autograd.backward(distillation.critic_loss(true_clips(distillation)))
    assert any(p.grad is not None and bool(p.grad.any()) for p in critic.parameters())
    assert all(p.grad is None for p in student.parameters())


def test_the_last_evaluation_gives_what_the_sampler_gives(distillation: Distillation) -> None:
    clips = true_clips(distillation)
    state = distillation.generator.get_state()
    with torch.no_grad():
        made = distillation.make(clips, evaluations=3)
    distillation.generator.set_state(state)
    noise = torch.randn(clips.new.shape, generator=distillation.generator)
    expected = sample(distillation.running[0], clips, noise, steps=3, shift=5.0)
    torch.testing.assert_close(made, expected, atol=1e-3, rtol=1e-3)


def test_what_comes_next_is_put_where_the_last_was(distillation: Distillation) -> None:
    turns = [Turn(kind="later", segment=segment, evaluations=1) for segment in (None, 1)]
    distillation.next_clips(turns[0])
    place = distillation.clips("later")
    before = place.clone()
    distillation.next_clips(turns[1])
    assert distillation.clips("later") is place
    assert not torch.equal(place.latents, before.latents)
    assert bool((place.start == 11).all())


def test_turns_go_through_all_segments_and_evaluations(distillation: Distillation) -> None:
    cold = [distillation.choose(0.1) for _ in range(40)]
    rolled = [distillation.choose(0.9) for _ in range(40)]
    assert {turn.segment for turn in cold} == {None}
    assert {turn.kind for turn in cold} == {"first", "later"}
    assert {turn.segment for turn in rolled} == {0, 1}
    assert {turn.evaluations for turn in rolled} == {1, 2, 3}
    assert all(turn.kind == ("later" if turn.segment else "first") for turn in rolled)


def test_rollouts_remember_their_own_latents(distillation: Distillation) -> None:
    data = two_places()
    episodes: Episodes = data.episodes.select(torch.tensor([0, 1, 1]))
    images = data.streams[[0, 1, 1], :, :1]
    generator = torch.Generator().manual_seed(0)
    stream = roll(distillation.teacher, episodes, images, 2, Solver(steps=1, shift=5.0), generator)
    assert stream.shape == (3, 4, 25, 4, 6)
    torch.testing.assert_close(stream[:, :, :1], images)
    clips = segment_clips(episodes, stream[:, :, :15], 1, torch.zeros(3, dtype=torch.long))
    assert clips.memory is not None and clips.memory_idx is not None
    for row in range(3):
        torch.testing.assert_close(clips.memory[row], stream[row][:, clips.memory_idx[row]])
    torch.testing.assert_close(clips.latents[:, :, :4], stream[:, :, 11:15])
