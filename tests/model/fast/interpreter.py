"""Triton's interpreter on the CPU, with its rounding mended. To be imported before any kernel."""

from __future__ import annotations

import os

os.environ.setdefault("TRITON_INTERPRET", "1")

import numpy as np
import numpy.typing as npt
import torch
import triton.language as tl
from triton.runtime import interpreter

_convert = interpreter._convert_float
_patch = interpreter._patch_lang_tensor
_NARROW = {tl.float8e4nv: (torch.float8_e4m3fn, torch.uint8), tl.bfloat16: (torch.bfloat16, torch.uint16)}


def _round_as_hardware(
    values: npt.NDArray[np.generic], source: tl.dtype, target: tl.dtype, mode: object
) -> npt.NDArray[np.generic]:
    """The interpreter loses the carry where rounding reaches the next power of two (127.9 becomes 64 in e4m3)."""
    if source != tl.float32 or target not in _NARROW:
        converted: npt.NDArray[np.generic] = _convert(values, source, target, mode)
        return converted
    dtype, bits = _NARROW[target]
    floats = torch.from_numpy(np.ascontiguousarray(values).view(np.float32))
    return floats.to(dtype).view(bits).numpy()


def _patch_index_too(tensor: type, scope: interpreter._LangPatchScope) -> None:
    """NumPy 2.4 no longer makes an int of an array of one number, which loop bounds are here."""
    _patch(tensor, scope)
    scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))


interpreter._convert_float = _round_as_hardware
interpreter._patch_lang_tensor = _patch_index_too
