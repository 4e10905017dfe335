"""Recorded steps do what the same steps do when every kernel is launched by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from worldloom.train.clips import Episodes
from worldloom.train.draw import ClipDraw, ClipMix, Kind
from worldloom.train.error_buffer import ErrorConfig
from worldloom.train.flow import FlowMatching
from worldloom.train.footage import LatentSet
from worldloom.train.muon import OptimizerConfig
from worldloom.train.ranks import Ranks
from worldloom.train.replay import WARM_UP, Replay
from worldloom.train.stage import Learner, Workplace
from worldloom.train.world_model import WorldModel, start_weights

from .tiny_worlds import NULL, two_places, workplace

KINDS: tuple[Kind, ...] = ("first", "later", "memoryless")


def test_without_a_gpu_every_call_does_the_step() -> None:
    calls: list[int] = []

    def step() -> Mapping[str, Tensor]:
        calls.append(1)
        return {"calls": torch.tensor(float(len(calls)))}

    replay = Replay(torch.device("cpu"), [])
    values = [float(replay("kind", step)["calls"]) for _ in range(WARM_UP + 3)]
    assert values == [1.0, 2.0, 3.0, 4.0, 5.0]


def on_gpu(data: LatentSet) -> LatentSet:
    episodes: Episodes = data.episodes.to(torch.device("cuda"))
    moved = {name: getattr(data, name).cuda() for name in ("streams", "firsts", "memory")}
    return replace(data, episodes=episodes, **moved)


def trained(place: Workplace, *, recorded: bool) -> tuple[list[float], WorldModel]:
    """Losses of a few steps of every kind, and the average that they lead to."""
    data = on_gpu(two_places())
    model = WorldModel(place.preset)
    start_weights(model, torch.Generator().manual_seed(0))
    learner = Learner(model.to(place.device), OptimizerConfig(muon_lr=1e-3, adam_lr=1e-3), 0.9, place)
    draw = ClipDraw(data, ClipMix(), NULL, seed=0, rank=0)
    flow = FlowMatching(ErrorConfig(clips=16), place, data.streams.shape, salt="test")
    run = Replay(place.device, [draw.generator, flow.generator], recording=recorded)
    losses = []
    for number in range(len(KINDS) * (WARM_UP + 3)):
        kind = KINDS[number % len(KINDS)]

        def step(kind: Kind = kind) -> Mapping[str, Tensor]:
            loss = flow.loss(learner.trainee.running, draw.draw(kind, 4))  # type: ignore[arg-type]
            return {"loss": loss.detach(), "grad": learner.learn(loss)}

        learner.pace(1.0 - number / 20)
        losses.append(float(run(kind, step)["loss"]))
    average = learner.ema.network
    assert isinstance(average, WorldModel)
    return losses, average


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_recorded_steps_learn_what_launched_ones_do(tmp_path: Path) -> None:
    here = workplace(tmp_path)
    place = replace(here, ranks=Ranks(rank=0, size=1, device=torch.device("cuda")))
    (launched, one), (replayed, other) = (trained(place, recorded=recorded) for recorded in (False, True))
    # The same random numbers were drawn; sums on a GPU are rounded in no fixed order.
    torch.testing.assert_close(torch.tensor(replayed), torch.tensor(launched), atol=2e-2, rtol=2e-2)
    start = WorldModel(place.preset)
    start_weights(start, torch.Generator().manual_seed(0))
    begin, left, right = (
        torch.cat([param.detach().flatten() for param in model.cuda().parameters()]) for model in (start, one, other)
    )
    travelled = float((left - begin).norm())
    assert travelled > 0.1
    assert float((left - right).norm()) < 0.3 * travelled
