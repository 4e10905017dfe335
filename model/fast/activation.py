"""Between two layers of an MLP: activation and quantisation in one pass."""

from __future__ import annotations

from enum import IntEnum

import torch.nn.functional as F
from torch import Tensor

from .formats import RowFormat, Rows, quantize_rows


class Activation(IntEnum):
    """The numbers are those that the kernel knows."""

    GELU = 0
    """With tanh."""
    SILU = 1


def activate(x: Tensor, activation: Activation, form: RowFormat, *, groups: Tensor | None = None) -> Rows:
    """Rows x (M, K), in the model's dtype, to activated ones in a format.

    groups: (G, K), added before the activation: its rows belong to G runs of M / G rows of x each.
    """
    if x.is_cuda:
        from .activation_kernel import launch_activate

        return launch_activate(x, activation, form, groups)
    return activate_plainly(x, activation, form, groups)


def activate_plainly(x: Tensor, activation: Activation, form: RowFormat, groups: Tensor | None) -> Rows:
    """`activate` in plain PyTorch."""
    values = x.float()
    if groups is not None:
        values = values + groups.float().repeat_interleave(len(x) // len(groups), dim=0)
    values = F.silu(values) if activation is Activation.SILU else F.gelu(values, approximate="tanh")
    return quantize_rows(values, form, x.dtype)
