"""The optimizer of all stages."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from worldloom.train.ema import Ema
from worldloom.train.muon import Muon, OptimizerConfig, is_matrix, orthogonalize

CONFIG = OptimizerConfig(muon_lr=0.02, adam_lr=0.01)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 8, 3, padding=1)
        self.inner = nn.Linear(8, 8)
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(torch.relu(self.inner(torch.relu(self.conv(x)).mean(dim=(2, 3, 4)))))
        return out


@pytest.mark.parametrize("shape", [(3, 16, 40), (2, 40, 16), (1, 24, 24)])
def test_orthogonalized_matrices_have_singular_values_near_one(shape: tuple[int, int, int]) -> None:
    stack = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalize(stack))
    assert float(values.min()) > 0.5 and float(values.max()) < 1.35


def test_scaling_a_gradient_does_not_change_its_direction() -> None:
    stack = torch.randn(2, 8, 20, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(orthogonalize(stack), orthogonalize(1e-3 * stack), atol=1e-3, rtol=1e-3)


def test_convolutions_and_linear_layers_are_matrices_and_the_rest_is_not() -> None:
    net = Net()
    chosen = {name for name, param in net.named_parameters() if is_matrix(name, param)}
    assert chosen == {"conv.weight", "inner.weight"}
    assert not is_matrix("norm.gamma", nn.Parameter(torch.ones(8, 1, 1, 1)))
    assert not is_matrix("transformer.text_embedding.0.weight", nn.Parameter(torch.ones(8, 8)))


def test_a_few_steps_bring_a_regression_down() -> None:
    torch.manual_seed(0)
    net = Net()
    optimizer = Muon(net.named_parameters(), CONFIG)
    x, y = torch.randn(16, 3, 4, 4, 4), torch.randn(16, 2)
    losses = []
    for _ in range(40):
        loss = (net(x) - y).square().mean()
        loss.backward()
        optimizer.collect()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_optimizer_goes_on_from_its_state_as_if_it_had_not_stopped() -> None:
    torch.manual_seed(0)
    first, second = Net(), Net()
    one = Muon(first.named_parameters(), CONFIG)
    x = torch.randn(4, 3, 4, 4, 4)

    def learn(net: Net, optimizer: Muon) -> None:
        net(x).square().mean().backward()
        optimizer.collect()
        optimizer.step()

    learn(first, one)
    second.load_state_dict(first.state_dict())
    other = Muon(second.named_parameters(), CONFIG)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    learn(first, one)
    learn(second, other)
    for left, right in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(left, right)


def test_state_of_another_network_is_refused() -> None:
    state = Muon(nn.Linear(4, 3).named_parameters(), CONFIG).state_dict()
    with pytest.raises(ValueError, match="optimizer state"):
        Muon(nn.Linear(5, 3).named_parameters(), CONFIG).load_state_dict(state)


def test_average_forgets_the_random_start_and_follows_the_weights() -> None:
    net = nn.Linear(2, 2)
    average = Ema(net, 0.99)
    with torch.no_grad():
        net.weight.fill_(3.0)
    for _ in range(200):
        average.advance()
        average.update()
    torch.testing.assert_close(average.network.weight, net.weight, atol=0.3, rtol=0)
