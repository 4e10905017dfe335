"""A slow average of a network's weights: what is sampled from, saved and shipped."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Ema:
    """Holds a copy of a network that follows it.

    The average warms up: after n updates it decays by at most (1 + n) / (10 + n), so that it forgets the random start.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False).eval()
        self.updates = 0
        self._live = [param.detach() for param in network.parameters()]
        self._slow = [param.detach() for param in self.network.parameters()]
        self._weight = torch.ones((), device=self._live[0].device)

    def advance(self) -> None:
        """Counts the update that comes next; the only part of it that the host decides."""
        self.updates += 1
        self._weight.fill_(1.0 - min(self.decay, (1 + self.updates) / (10 + self.updates)))

    @torch.no_grad()
    def update(self) -> None:
        """Moves towards the network, by what `advance` found."""
        away = torch._foreach_sub(self._live, self._slow)
        torch._foreach_mul_(away, self._weight)
        torch._foreach_add_(self._slow, away)
