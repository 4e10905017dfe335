"""Tensors to NumPy arrays and back. bfloat16, which NumPy lacks, is ml_dtypes' type on that side."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .clip import Array


def to_tensor(array: Array) -> Tensor:
    """A tensor of the array's dtype on the CPU, over a copy of its numbers."""
    contiguous = np.array(array, order="C")
    if contiguous.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(contiguous.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(contiguous)


def to_array(tensor: Tensor) -> npt.NDArray[Any]:
    """An array of the tensor's dtype; it shares the memory of a CPU tensor."""
    tensor = tensor.detach().contiguous().cpu()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.uint16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()
