# mypy: disable-error-code="no-untyped-def, untyped-decorator"
"""The end of every kernel that makes rows: quantise one, store it with its scale."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def store_row(x, values, scales, row, at, inside, width, FORM: tl.constexpr):
    """Store x, float32 and zero outside of `inside`, in a RowFormat; see `quantize_rows`."""
    target = values + row * width + at
    if FORM == 0:
        tl.store(target, x.to(values.dtype.element_ty), mask=inside)
    else:
        limit = 127.0 if FORM == 1 else 448.0
        scale = tl.max(tl.abs(x)) / limit
        scale = tl.where(scale == 0.0, 1.0, scale)
        tl.store(scales + row, scale)
        x = x * (1.0 / scale)
        if FORM == 1:
            # The cast cuts towards zero, so halves go away from it.
            tl.store(target, (x + tl.where(x < 0.0, -0.5, 0.5)).to(tl.int8), mask=inside)
        else:
            # The largest value comes to 448 but for rounding: nothing is left to cut off.
            tl.store(target, x.to(tl.float8e4nv), mask=inside)
