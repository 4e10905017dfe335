"""The Triton kernels against their definitions in plain PyTorch: in Triton's interpreter, compiled where a GPU is.

The interpreter multiplies matrices in float32 only, so that is the dtype here.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

if find_spec("triton") is None:
    pytest.skip("Triton is not installed", allow_module_level=True)
if not torch.cuda.is_available():
    from . import interpreter  # noqa: F401  # before any kernel

from worldloom.model.fast.activation import Activation, activate_plainly
from worldloom.model.fast.activation_kernel import launch_activate
from worldloom.model.fast.formats import RowFormat, Rows, quantize_rows
from worldloom.model.fast.frames import attend_frames_plainly, attend_keyboard_plainly
from worldloom.model.fast.frames_kernel import launch_attend_frames, launch_attend_keyboard
from worldloom.model.fast.heads import HeadNorm, head_scales, turn_heads_e4m3_plainly, turn_heads_plainly
from worldloom.model.fast.heads_kernel import launch_turn_heads, launch_turn_heads_e4m3
from worldloom.model.fast.linear import FusedLinear
from worldloom.model.fast.product_kernel import Tiling, launch_product
from worldloom.model.fast.residual import Affine, Gate, Keep, Modulation, Step, advance_plainly
from worldloom.model.fast.residual_kernel import launch_advance
from worldloom.model.fast.text import QueryNorm, TextKeys, attend_text_plainly, distinct_rows, text_scale
from worldloom.model.fast.text_kernel import TextTiling, launch_attend_text
from worldloom.model.layout import split_dim
from worldloom.model.rope import AxisRope, axis_rope, head_thetas, time_rope

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
few_examples = settings(max_examples=12, deadline=None)
forms = pytest.mark.parametrize("form", list(RowFormat))


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, device=DEVICE)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def assert_rows_agree(made: Rows, expected: Rows) -> None:
    """Few 8-bit values differ, and those by one step: they were on the edge between two."""
    a, b = made.values.float(), expected.values.float()
    assert made.values.dtype == expected.values.dtype and a.shape == b.shape
    if expected.scales is None or made.scales is None:
        assert made.scales is expected.scales
        torch.testing.assert_close(a, b, atol=1e-5 * float(b.abs().max()), rtol=1e-5)
        return
    assert (a != b).float().mean() < 0.02
    torch.testing.assert_close(a, b, atol=1.0 if made.values.dtype == torch.int8 else 2**-9, rtol=0.13)
    torch.testing.assert_close(made.scales, expected.scales)


def segments(rows: int) -> Tensor:
    return (torch.arange(rows, device=DEVICE) >= rows // 3).to(torch.int32)


def full_step(rows: int, width: int, form: RowFormat, keep: Keep, stream: torch.dtype, *, affine: bool) -> Step:
    table, terms = noise(2, 6, width), noise(rows, 2 * width)
    modulation = Modulation(shift=table[:, 0], scale=table[:, 1], segment=segments(rows))
    return Step(
        form=form,
        plain=torch.float32,
        update=noise(rows, width),
        gate=Gate(values=table[:, 2], segment=segments(rows)),
        camera=(terms[:, :width], terms[:, width:]) if affine else None,
        norm=Affine(weight=noise(width), bias=noise(width)) if affine else modulation,
        keep=keep,
        stream=stream,
    )


@forms
@pytest.mark.parametrize("keep", list(Keep))
@pytest.mark.parametrize(
    ("affine", "stream", "rounding"), [(False, torch.float32, 1e-5), (True, torch.bfloat16, 2**-7)]
)
def test_one_pass_adds_moves_norms_and_quantises(
    form: RowFormat, keep: Keep, affine: bool, stream: torch.dtype, rounding: float
) -> None:
    step = full_step(7, 48, form, keep, stream, affine=affine)
    x = noise(7, 48).to(stream)
    (kept, rows), (plain_kept, plain_rows) = launch_advance(x, step), advance_plainly(x, step)
    torch.testing.assert_close(kept, plain_kept, atol=rounding, rtol=rounding)
    assert_rows_agree(rows, plain_rows)


@few_examples
@given(rows=st.integers(1, 9), width=st.integers(1, 70), form=st.sampled_from(RowFormat), size=st.floats(1e-6, 1e6))
def test_rows_of_any_width_and_size_quantise_as_defined(rows: int, width: int, form: RowFormat, size: float) -> None:
    x = noise(rows, width) * size
    x[0] = 0
    made = launch_advance(x, Step(form=form, plain=torch.float32))[1]
    assert_rows_agree(made, quantize_rows(x, form, torch.float32))
    assert not made.dequantized()[0].any()


def test_part_of_a_wider_tensor_is_read_in_place() -> None:
    wide = noise(6, 50)
    step = Step(form=RowFormat.PLAIN, plain=torch.float32, update=noise(6, 64)[:, 10:30])
    assert_rows_agree(launch_advance(wide[:, 5:25], step)[1], advance_plainly(wide[:, 5:25], step)[1])


@forms
@pytest.mark.parametrize("kind", list(Activation))
@pytest.mark.parametrize("groups", [None, 3])
def test_activations_and_groups_of_rows(form: RowFormat, kind: Activation, groups: int | None) -> None:
    x = noise(12, 40) * 3
    added = None if groups is None else noise(groups, 40)
    assert_rows_agree(launch_activate(x, kind, form, added), activate_plainly(x, kind, form, added))


def rope_of(heads: int, width: int, sigma: float) -> AxisRope:
    thetas = head_thetas(heads, sigma, DEVICE)
    return axis_rope(torch.tensor([[0, 5, 90]], device=DEVICE), grid=(2, 3), head_dim=width, thetas=thetas)


@pytest.mark.parametrize(("heads", "width", "sigma"), [(3, 16, 0.8), (2, 8, 0.0), (5, 4, 0.8)])
def test_heads_are_normed_and_turned(heads: int, width: int, sigma: float) -> None:
    rope = rope_of(heads, width, sigma)
    qkv = noise(18, 3 * heads * width)
    norm = HeadNorm(weight=noise(2, heads * width), heads=heads, eps=1e-6)
    for made, expected in zip(launch_turn_heads(qkv, norm, rope), turn_heads_plainly(qkv, norm, rope), strict=True):
        torch.testing.assert_close(made, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("heads", "width"), [(3, 16), (2, 8)])
def test_heads_in_e4m3_have_smooth_keys(heads: int, width: int) -> None:
    rope = rope_of(heads, width, 0.8)
    qkv = noise(18, 3 * heads * width)
    norm = HeadNorm(weight=noise(2, heads * width), heads=heads, eps=1e-6)
    scales = head_scales(noise(heads * width, 32), noise(heads * width), norm)
    made = launch_turn_heads_e4m3(qkv, norm, rope, scales)
    expected = turn_heads_e4m3_plainly(qkv, norm, rope, scales)
    for a, b in zip((made.q, made.k, made.v), (expected.q, expected.k, expected.v), strict=True):
        assert (a.float() != b.float()).float().mean() < 0.02
        torch.testing.assert_close(a.float(), b.float(), atol=2**-6, rtol=0.13)


def text_keys(heads: int, width: int, prompt: int, length: int) -> TextKeys:
    text = noise(length, 2 * heads * width)
    text[prompt:] = text[min(prompt, length - 1)]
    rows, bias = distinct_rows(text, prompt)
    key, value = split_dim(rows, 1, (2, heads, width)).unbind(1)
    return TextKeys(key=key, value=value, bias=bias, scale=text_scale(value))


@forms
@pytest.mark.parametrize(("prompt", "length"), [(3, 80), (80, 80), (150, 300)])
def test_text_is_attended_to(form: RowFormat, prompt: int, length: int) -> None:
    keys, q = text_keys(2, 16, prompt, length), noise(37, 32)
    norm = QueryNorm(weight=noise(32), heads=2, eps=1e-6)
    made = launch_attend_text(q, norm, keys, form, tiling=TextTiling(tokens=16, tiles=2, warps=4))
    assert_rows_agree(made, attend_text_plainly(q, norm, keys, form))


@pytest.mark.parametrize("frames", [1, 3, 19])
def test_actions_are_attended_to(frames: int) -> None:
    heads, width = 2, 16
    rope = time_rope(torch.arange(frames, device=DEVICE), axis_dims=(8, 4, 4), theta=256.0)
    qkv = noise(frames * 3, 3 * heads * width)
    made = launch_attend_frames(qkv, rope, heads, 1e-6)
    torch.testing.assert_close(made, attend_frames_plainly(qkv, rope, heads, 1e-6), atol=1e-5, rtol=1e-4)
    q, keyboard = noise(frames * 5, heads * width), noise(frames, 2, heads, width)
    key, value = keyboard.unbind(1)
    made = launch_attend_keyboard(q, key.contiguous(), value, rope, 1e-6)
    torch.testing.assert_close(made, attend_keyboard_plainly(q, key, value, rope, 1e-6), atol=1e-5, rtol=1e-4)


@few_examples
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 5),
    depth=st.integers(1, 5),
    form=st.sampled_from([RowFormat.INT8, RowFormat.E4M3]),
    persistent=st.booleans(),
    bias=st.booleans(),
)
def test_products_of_8_bit_rows(
    rows: int, columns: int, depth: int, form: RowFormat, persistent: bool, bias: bool
) -> None:
    columns, depth = 16 * columns, 16 * depth
    linear = FusedLinear(noise(columns, depth), noise(columns) if bias else None, form)
    x = quantize_rows(noise(rows, depth), form, torch.float32)
    assert linear.scales is not None
    tiling = Tiling(rows=16, columns=32, depth=32, group=2, persistent=persistent)
    made = launch_product(x, linear.weight, linear.scales, linear.bias, torch.float32, tiling)
    torch.testing.assert_close(made, linear.multiply_plainly(x), atol=1e-4, rtol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("form", [RowFormat.INT8, RowFormat.E4M3])
@pytest.mark.parametrize("plain", [torch.float32, torch.bfloat16])
def test_layers_of_both_dtypes_multiply_8_bits_and_add_their_bias(form: RowFormat, plain: torch.dtype) -> None:
    linear = FusedLinear(noise(48, 32).to(plain), noise(48).to(plain), form)
    rows = quantize_rows(noise(20, 32), form, plain)
    expected = linear.multiply_plainly(rows)
    torch.testing.assert_close(linear(rows), expected, atol=2e-2, rtol=1e-2)
