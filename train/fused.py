"""Norm and SiLU of the autoencoder as one compiled kernel.

Between its convolutions a VAE does little arithmetic on large tensors, so what counts is how often they are read. The
kernel sees channels-last activations as a matrix (positions, channels) of any number of rows: one for each width is
compiled, whatever the size of the crops.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model.vae_blocks import ChannelNorm, StreamSequential


class NormSiLU(nn.Module):
    """SiLU(norm(x)), with the norm's own parameter."""

    def __init__(self, norm: ChannelNorm, *, compiled: bool) -> None:
        super().__init__()
        self.gamma = norm.gamma
        self.compiled = compiled

    def forward(self, x: Tensor) -> Tensor:
        last = x.movedim(1, -1)
        rows = last.reshape(-1, x.shape[1])
        if self.compiled:
            torch._dynamo.mark_dynamic(rows, 0)
        kernel = _compiled() if self.compiled else norm_silu
        return kernel(rows, self.gamma.flatten()).view(last.shape).movedim(-1, 1)


def norm_silu(rows: Tensor, gamma: Tensor) -> Tensor:
    """Rows (n, C) normalised, scaled by gamma (C,) and through SiLU; computed in float32, in the rows' dtype."""
    x = rows.float()
    normed = x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-6) * gamma.float()
    return F.silu(normed).to(rows.dtype)


@lru_cache(maxsize=1)
def _compiled() -> Callable[[Tensor, Tensor], Tensor]:
    return torch.compile(norm_silu)


def fuse_norms(network: nn.Module, *, compiled: bool) -> int:
    """Replaces every norm that a SiLU follows by one step, in place; returns how many. Parameters keep their names."""
    count = 0
    for sequence in [module for module in network.modules() if isinstance(module, StreamSequential)]:
        steps = list(sequence.named_children())
        for (name, norm), (after, silu) in pairwise(steps):
            if isinstance(norm, ChannelNorm) and isinstance(silu, nn.SiLU):
                setattr(sequence, name, NormSiLU(norm, compiled=compiled))
                setattr(sequence, after, nn.Identity())
                count += 1
    return count
