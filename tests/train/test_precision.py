"""A copy in another dtype runs, float32 weights learn."""

from __future__ import annotations

import torch
from torch import nn
from worldloom.train.muon import Muon, OptimizerConfig
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


def test_gradients_of_the_copy_move_the_weights_that_learn() -> None:
    network = two_layers()
    trainee = Trainee(network, dtype=torch.bfloat16)
    named = [(name, param) for name, param in network.named_parameters() if param.requires_grad]
    optimizer = Muon(named, OptimizerConfig(muon_lr=0.1, adam_lr=0.1), source=trainee.twin)
    trainee.running(torch.ones(1, 4, dtype=torch.bfloat16)).sum().backward()
    grads = [param.grad for param in trainee.running.parameters() if param.grad is not None]
    expected = torch.cat([grad.float().flatten() for grad in grads])
    optimizer.collect()
    assert all(param.grad is None for param in trainee.running.parameters())
    assert optimizer.gradient.dtype == torch.float32
    torch.testing.assert_close(optimizer.gradient.sort().values, expected.sort().values)
    before = {name: param.clone() for name, param in network.named_parameters()}
    optimizer.step()
    changed = {name for name, param in network.named_parameters() if not torch.equal(param, before[name])}
    assert changed == {"1.weight", "1.bias"}
