"""Training in bf16 with float32 weights behind it.

A GPU runs a bf16 copy of the network, the same arithmetic that serves it later; the optimizer sees float32 weights. On
a CPU the network trains as it is.
"""

from __future__ import annotations

import copy
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


class Trainee(Generic[Network]):
    """A network under training: `network` holds the float32 weights, `running` is what forward passes use."""

    def __init__(self, network: Network, *, dtype: torch.dtype) -> None:
        self.network = network
        self.running: Network = network if dtype == torch.float32 else copy.deepcopy(network).to(dtype)
        # All of them: those that do not learn may still be loaded from a checkpoint.
        self._twins = dict(zip(network.parameters(), self.running.parameters(), strict=True))

    @property
    def is_copy(self) -> bool:
        return self.running is not self.network

    def twin(self, param: nn.Parameter) -> nn.Parameter:
        """The parameter of the running network that stands for one of the network: it gets the gradients."""
        return self._twins[param]

    @torch.no_grad()
    def refresh(self) -> None:
        """Rounds the float32 weights into the running copy, after an optimizer step."""
        if self.is_copy:
            slow: list[Tensor] = [param.detach() for param in self._twins]
            fast: list[Tensor] = [param.detach() for param in self._twins.values()]
            torch._foreach_copy_(fast, slow)


def training_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on GPUs, float32 elsewhere."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32
