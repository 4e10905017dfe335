# mypy: disable-error-code="no-untyped-def, untyped-decorator"
"""`activate` as one Triton kernel, a row a program.

At the width of a feed-forward the arithmetic is as slow as the memory, so a value takes few instructions.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from .activation import Activation
from .formats import RowFormat, Rows, empty_rows
from .residual_kernel import row_warps
from .row_store import store_row


@triton.jit
def _activate(
    x, groups, values, scales, stride, width, group_rows,
    BLOCK: tl.constexpr, HAS_GROUPS: tl.constexpr, ACTIVATION: tl.constexpr, FORM: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < width
    y = tl.load(x + row * stride + at, mask=inside, other=0.0).to(tl.float32)
    if HAS_GROUPS:
        y += tl.load(groups + (row // group_rows) * width + at, mask=inside, other=0.0).to(tl.float32)
    # SiLU is y / (1 + 2^(-y·log2 e)); GELU with tanh is SiLU with another exponent.
    by = -1.4426950409
    if ACTIVATION == 0:
        by = -2.302208198 - 0.1029432397 * (y * y)
    # A reciprocal root and its square are two instructions, a division is ten.
    root = tl.math.rsqrt(1.0 + tl.exp2(y * by))
    store_row(y * root * root, values, scales, row, at, inside, width, FORM)


def launch_activate(
    x: Tensor, activation: Activation, form: RowFormat, groups: Tensor | None, *, warps: int | None = None
) -> Rows:
    """`activate` on a GPU. The last dimension of x is contiguous, and so is `groups`."""
    count, width = x.shape
    rows = empty_rows(count, width, form, x.dtype, x.device)
    block = triton.next_power_of_2(width)
    _activate[(count,)](
        x, groups, rows.values, rows.scales, x.stride(0), width, 1 if groups is None else count // len(groups),
        BLOCK=block, HAS_GROUPS=groups is not None, ACTIVATION=int(activation), FORM=int(form),
        num_warps=warps or row_warps(block),
    )  # fmt: skip
    return rows


assert (Activation.GELU, Activation.SILU) == (0, 1)
