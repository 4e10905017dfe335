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
        self._pairs = list(zip(network.parameters(), self.running.parameters(), strict=True))

    @property
    def is_copy(self) -> bool:
        return self.running is not self.network

    def collect_gradients(self) -> None:
        """Moves the running copy's gradients to the float32 weights."""
        if not self.is_copy:
            return
        learned: list[tuple[nn.Parameter, Tensor]] = []
        for slow, fast in self._pairs:
            if fast.grad is not None:
                learned.append((slow, fast.grad))
            slow.grad = fast.grad = None
        gradients = [torch.empty_like(slow) for slow, _ in learned]
        torch._foreach_copy_(gradients, [gradient for _, gradient in learned])
        for (slow, _), gradient in zip(learned, gradients, strict=True):
            slow.grad = gradient

    @torch.no_grad()
    def refresh(self) -> None:
        """Rounds the float32 weights into the running copy, after an optimizer step."""
        if self.is_copy:
            slow: list[Tensor] = [pair[0].detach() for pair in self._pairs]
            fast: list[Tensor] = [pair[1].detach() for pair in self._pairs]
            torch._foreach_copy_(fast, slow)


def training_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on GPUs, float32 elsewhere."""
    return torch.bfloat16 if device.type == "cuda" else torch.float32
