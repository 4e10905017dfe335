"""A copy in another dtype runs, float32 weights learn."""

from __future__ import annotations

import torch
from torch import nn
from worldloom.train.precision import Trainee


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    layers[0].requires_grad_(False)
    return layers


def test_running_copy_follows_all_weights_also_those_that_do_not_learn() -> None:
    network = two_layers()
    trainee = Trainee(network, dtype=torch.bfloat16)
    network.load_state_dict({key: torch.full_like(value, 0.5) for key, value in network.state_dict().items()})
    trainee.refresh()
    for name, value in trainee.running.state_dict().items():
        assert value.dtype == torch.bfloat16
        assert torch.equal(value, torch.full_like(value, 0.5)), name


def test_gradients_of_the_copy_move_to_the_weights_that_learn() -> None:
    network = two_layers()
    trainee = Trainee(network, dtype=torch.bfloat16)
    trainee.running(torch.ones(1, 4, dtype=torch.bfloat16)).sum().backward()
    expected = {name: p.grad.float() for name, p in trainee.running.named_parameters() if p.grad is not None}
    trainee.collect_gradients()
    assert all(p.grad is None for p in trainee.running.parameters())
    found = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys() == {"1.weight", "1.bias"}
    for name, gradient in found.items():
        assert gradient.dtype == torch.float32
        torch.testing.assert_close(gradient, expected[name])
