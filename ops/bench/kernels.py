"""Are the fused kernels right on this GPU, and how far are they from what the memory and the matrix units allow?

    PYTHONPATH=typings python ops/bench/kernels.py --json RESULT.json [--preset mg3-5b] [--only check passes products …]

First every kernel is compared with its plain definition, at the preset's widths and few rows. Then each is timed at
all of a later clip's tokens, in several variants, beside the memory's copy rate that was measured just before; then
matrix products and attentions. Parts that fail say so, and the others go on. Needs one GPU and no weights.
"""

from __future__ import annotations

import argparse
import json
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
import triton.testing
from kernel_inputs import BF16, DEVICE, Inputs, Shapes
from torch import Tensor
from worldloom.model.attention import attention
from worldloom.model.attention_e4m3 import attention_e4m3
from worldloom.model.fast import activation, frames, heads, residual, text
from worldloom.model.fast.activation import Activation
from worldloom.model.fast.activation_kernel import launch_activate
from worldloom.model.fast.formats import RowFormat, Rows
from worldloom.model.fast.frames_kernel import launch_attend_frames, launch_attend_keyboard
from worldloom.model.fast.heads_kernel import launch_key_mean, launch_turn_heads, launch_turn_heads_e4m3
from worldloom.model.fast.product_kernel import Tiling, launch_product
from worldloom.model.fast.residual import Keep
from worldloom.model.fast.residual_kernel import RowTiling, launch_advance
from worldloom.model.fast.text_kernel import TextTiling, launch_attend_text
from worldloom.model.preset import load_preset

FRAMES = 19
"""Latent frames of a later clip: 5 of memory, 4 of the past, 10 new."""
EPS = 1e-6
ROW_TILINGS = (
    RowTiling(count=1, warps=16),
    RowTiling(count=1, warps=8),
    RowTiling(count=2, warps=8, registers=128),
    RowTiling(count=8, warps=8, registers=128),
    RowTiling(count=4, warps=16, registers=64),
)
TEXT_TILINGS = (
    TextTiling(),
    TextTiling(tiles=48),
    TextTiling(tiles=12, registers=168),
    TextTiling(tokens=128, tiles=12, warps=8, registers=128),
)
TILINGS = {
    "128×128×128": Tiling(),
    "128×128×128, groups of 4": Tiling(group=4),
    "128×128×128, groups of 16": Tiling(group=16),
    "128×128×128, persistent": Tiling(persistent=True),
    "128×128×64, 5 stages": Tiling(depth=64, stages=5),
    "128×256×128, 8 warps, 4 stages": Tiling(columns=256, warps=8, stages=4),
}


@dataclass(kw_only=True)
class Report:
    """What was found, part by part."""

    rows: list[dict[str, object]] = field(default_factory=list)

    def attempt(self, part: str, name: str, measure: Callable[[], dict[str, object]]) -> None:
        """Adds what `measure` returns, or that it failed: the rest is still worth its time."""
        try:
            values = measure()
        except Exception as error:
            traceback.print_exc()
            values = {"failed": f"{type(error).__name__}: {error}"[:200]}
        self.rows.append({"part": part, "name": name, **values})
        shown = "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
        print(f"{part:10} {name:42} {shown}", flush=True)


Pair = tuple[str, Callable[[], Tensor], Callable[[], Tensor], float]
"""A kernel: its name, what it makes, what it should make, the largest relative error."""


def pairs(small: Inputs) -> Iterator[Pair]:
    """All kernels at a small size."""
    for form in RowFormat:
        limit = {RowFormat.PLAIN: 3e-3, RowFormat.INT8: 3e-3, RowFormat.E4M3: 4e-3}[form]
        for name, x, step in (*small.steps(form), *small.steps(form, BF16)):
            yield (
                f"{name} {form.name} {x.dtype}",
                lambda x=x, step=step: torch.cat([launch_advance(x, step)[0].float(), _rows(launch_advance(x, step))]),
                lambda x=x, step=step: torch.cat(
                    [residual.advance_plainly(x, step)[0].float(), _rows(residual.advance_plainly(x, step))]
                ),
                limit,
            )
        for kind in Activation:
            yield (
                f"{kind.name} {form.name}",
                lambda form=form, kind=kind: launch_activate(small.hidden, kind, form, None).dequantized(),
                lambda form=form, kind=kind: activation.activate_plainly(small.hidden, kind, form, None).dequantized(),
                limit,
            )
        yield (
            f"text {form.name}",
            lambda form=form: launch_attend_text(small.update, small.query_norm, small.keys, form).dequantized(),
            lambda form=form: text.attend_text_plainly(small.update, small.query_norm, small.keys, form).dequantized(),
            1.5e-2,
        )
    yield from head_pairs(small)
    yield from product_pairs(small)


def head_pairs(small: Inputs) -> Iterator[Pair]:
    """The kernels that make heads."""
    qkv, norm, rope, scales, count = small.qkv, small.norm, small.rope, small.scales, small.action.heads_num
    yield (
        "q, k",
        lambda: torch.cat(launch_turn_heads(qkv, norm, rope)),
        lambda: torch.cat(heads.turn_heads_plainly(qkv, norm, rope)),
        3e-3,
    )
    for part in ("q", "k", "v"):
        yield (
            f"{part} E4M3",
            lambda part=part: getattr(launch_turn_heads_e4m3(qkv, norm, rope, scales), part),
            lambda part=part: getattr(heads.turn_heads_e4m3_plainly(qkv, norm, rope, scales), part),
            4e-3,
        )
    yield (
        "mouse attention",
        lambda: launch_attend_frames(small.mouse_qkv, small.time, count, EPS),
        lambda: frames.attend_frames_plainly(small.mouse_qkv, small.time, count, EPS),
        1e-2,
    )
    yield (
        "keyboard attention",
        lambda: launch_attend_keyboard(small.keyboard_q, *small.keyboard, small.time, EPS),
        lambda: frames.attend_keyboard_plainly(small.keyboard_q, *small.keyboard, small.time, EPS),
        1e-2,
    )


def product_pairs(small: Inputs) -> Iterator[Pair]:
    """Matrix products of 8-bit rows."""
    dim = small.shapes.config.dim
    for form in (RowFormat.INT8, RowFormat.E4M3):
        linear, rows = small.linear(dim, 2 * dim, form), small.rows(dim, form)
        weight, scales, bias = linear.weight, linear.scales, linear.bias

        def expected(rows: Rows = rows, weight=weight, scales=scales, bias=bias) -> Tensor:
            return F.linear(rows.dequantized(), weight.float() * scales[:, None], bias.float())

        yield f"product {form.name}", lambda linear=linear, rows=rows: linear(rows), expected, 4e-3
        for name, tiling in TILINGS.items():
            yield (
                f"product kernel {form.name} {name}",
                lambda rows=rows, weight=weight, scales=scales, bias=bias, tiling=tiling: launch_product(
                    rows, weight, scales, bias, BF16, tiling
                ),
                expected,
                4e-3,
            )


def check(report: Report, small: Inputs) -> None:
    """Every kernel against its plain definition, twice: the same bits each time."""
    for name, make, expect, limit in pairs(small):

        def judged(make=make, expect=expect, limit=limit) -> dict[str, object]:
            made, again, expected = make(), make(), expect()
            error = float((made.double() - expected.double()).norm() / expected.double().norm())
            repeats = bool(torch.equal(made.float(), again.float()))
            return {"error": error, "right": error < limit and repeats, "repeats": repeats}

        report.attempt("check", name, judged)


def milliseconds(run: Callable[[], object]) -> float:
    """Median, with the L2 cache emptied before each run."""
    return float(triton.testing.do_bench(run, warmup=5, rep=40, return_mode="median"))


def copy_rate(report: Report) -> float:
    """Bytes a second, read and written."""
    source = torch.empty(1 << 30, dtype=torch.uint8, device=DEVICE).random_()
    target = torch.empty_like(source)
    rate = 2 * source.numel() / (milliseconds(lambda: target.copy_(source)) / 1e3)
    report.attempt("passes", "copy", lambda: {"tb_s": rate / 1e12})
    return rate


def passes(report: Report, full: Inputs) -> None:
    """What the memory bounds. `share` is the time that its bytes need at the copy rate, of the time that it takes."""
    rate = copy_rate(report)
    tokens, config = full.shapes.tokens, full.shapes.config
    dim, e4m3 = config.dim, RowFormat.E4M3

    def measure(name: str, run: Callable[[], object], row_bytes: int) -> None:
        def timed() -> dict[str, object]:
            ms = milliseconds(run)
            return {"ms": ms, "share": tokens * row_bytes / rate * 1e3 / ms}

        report.attempt("passes", name, timed)

    # Bytes a value: stream in and out, bf16 updates and camera terms, 8-bit rows.
    for name, x, step in full.steps(e4m3, BF16):
        width = x.element_size() * (1 + (step.keep is not Keep.NOTHING))
        width += 1 + 2 * (step.update is not None) + 4 * (step.camera is not None)
        for tiling in (None, *ROW_TILINGS[: None if "+" in name else 1]):
            label = "as it is" if tiling is None else f"{tiling.count} rows {tiling.warps} warps {tiling.registers}"
            measure(f"{name} {label}", lambda x=x, step=step, t=tiling: launch_advance(x, step, tiling=t),
                    width * dim)  # fmt: skip
    for warps in (4, 8, 16):
        measure(f"GELU {warps} warps",
                lambda w=warps: launch_activate(full.hidden, Activation.GELU, e4m3, None, warps=w),
                3 * config.ffn_dim)  # fmt: skip
        measure(f"SiLU {warps} warps",
                lambda w=warps: launch_activate(full.update, Activation.SILU, e4m3, None, warps=w),
                3 * dim)  # fmt: skip
    for warps, count in ((16, 16), (16, 8), (16, 32), (8, 16)):
        measure(f"q, k {warps} warps {count} tokens",
                lambda w=warps, n=count: launch_turn_heads(full.qkv, full.norm, full.rope, warps=w, count=n),
                8 * dim)  # fmt: skip
        measure(f"q, k, v in e4m3 {warps} warps {count} tokens",
                lambda w=warps, n=count: launch_turn_heads_e4m3(
                    full.qkv, full.norm, full.rope, full.scales, warps=w, count=n
                ),
                9 * dim)  # fmt: skip
    measure("mean of keys", lambda: launch_key_mean(full.qkv, full.norm, full.rope), dim // 8)
    count, hidden = full.action.heads_num, full.action.mouse_hidden_dim
    for warps in (1, 2, 4):
        measure(f"mouse attention {warps} warps",
                lambda w=warps: launch_attend_frames(full.mouse_qkv, full.time, count, EPS, warps=w),
                8 * hidden)  # fmt: skip
    measure("keyboard attention", lambda: launch_attend_keyboard(full.keyboard_q, *full.keyboard, full.time, EPS),
            4 * full.action.keyboard_hidden_dim)  # fmt: skip
    measure("mouse GELU",
            lambda: launch_activate(full.mouse_qkv[:, :hidden], Activation.GELU, e4m3, full.mouse_rows),
            3 * hidden)  # fmt: skip
    for tiling in TEXT_TILINGS:
        name = f"text {tiling.tokens}×{tiling.tiles} tokens {tiling.warps} warps {tiling.registers}"
        measure(name, lambda t=tiling: launch_attend_text(full.update, full.query_norm, full.keys, e4m3, tiling=t),
                5 * dim)  # fmt: skip


def products(report: Report, full: Inputs) -> None:
    """Matrix products at the shapes of a block, of its action module and of its camera."""
    config, tokens = full.shapes.config, full.shapes.tokens
    dim, ffn, hidden = config.dim, config.ffn_dim, full.action.mouse_hidden_dim
    shapes = {
        "qkv": (dim, 3 * dim), "o": (dim, dim), "up": (dim, ffn), "down": (ffn, dim), "camera terms": (dim, 2 * dim),
        "mouse in": (dim, hidden), "mouse mid": (hidden, hidden), "mouse out": (hidden, dim),
    }  # fmt: skip

    def measure(name: str, run: Callable[[], object], width: int, columns: int) -> None:
        def timed() -> dict[str, object]:
            ms = milliseconds(run)
            return {"ms": ms, "tflop_s": 2 * tokens * width * columns / ms / 1e9}

        report.attempt("products", name, timed)

    for name, (width, columns) in shapes.items():
        for form in RowFormat:
            linear, rows = full.linear(width, columns, form), full.rows(width, form)
            measure(f"{name} {width}→{columns} {form.name}", lambda f=linear, r=rows: f(r), width, columns)
    for name in ("qkv", "up", "down"):
        width, columns = shapes[name]
        linear, rows = full.linear(width, columns, RowFormat.INT8), full.rows(width, RowFormat.INT8)
        for cut, tiling in TILINGS.items():
            measure(f"kernel {name} INT8 {cut}",
                    lambda f=linear, r=rows, t=tiling: launch_product(r, f.weight, f.scales, f.bias, BF16, t),
                    width, columns)  # fmt: skip


def attentions(report: Report, full: Inputs) -> None:
    """Self-attention by the best backend, and in e4m3."""
    config, tokens = full.shapes.config, full.shapes.tokens
    flop = 4 * tokens * tokens * config.dim

    def timed(run: Callable[[], object]) -> dict[str, object]:
        ms = milliseconds(run)
        return {"ms": ms, "tflop_s": flop / ms / 1e9}

    q, k = launch_turn_heads(full.qkv, full.norm, full.rope)
    v = full.qkv.view(tokens, 3, config.num_heads, -1)[:, 2]
    report.attempt("attention", "bf16, v in place", lambda: timed(lambda: attention(q[None], k[None], v[None])))
    whole = v.contiguous()
    report.attempt("attention", "bf16, v apart", lambda: timed(lambda: attention(q[None], k[None], whole[None])))

    def in_e4m3() -> dict[str, object]:
        e = launch_turn_heads_e4m3(full.qkv, full.norm, full.rope, full.scales)
        values = timed(lambda: attention_e4m3(e.q[None], e.k[None], e.v[None], e.scales, BF16))
        few = slice(0, 512)
        made = attention_e4m3(e.q[None, few], e.k[None], e.v[None], e.scales, BF16)
        exact = F.scaled_dot_product_attention(*(x[None].transpose(1, 2) for x in (q[few], k, v))).transpose(1, 2)
        return {**values, "error": float((made - exact).float().norm() / exact.float().norm())}

    report.attempt("attention", "e4m3", in_e4m3)


PARTS = {"check": check, "passes": passes, "products": products, "attentions": attentions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="where to write what was found")
    parser.add_argument("--preset", default="mg3-5b")
    parser.add_argument("--only", nargs="+", choices=tuple(PARTS), default=tuple(PARTS))
    arguments = parser.parse_args()
    torch.manual_seed(0)
    preset = load_preset(arguments.preset)
    assert preset.transformer is not None, "a preset with a transformer"
    _, rows, columns = preset.transformer.patch_size
    grid = (preset.latent_height // rows, preset.latent_width // columns)
    report = Report()
    for name in arguments.only:
        frames_of_part, grid_of_part = (3, (10, 13)) if name == "check" else (FRAMES, grid)
        inputs = Inputs(Shapes(config=preset.transformer, grid=grid_of_part, frames=frames_of_part))
        report.attempt(name, "whole part", lambda n=name, i=inputs: PARTS[n](report, i) or {})
        arguments.json.write_text(json.dumps(report.rows, indent=1))
    wrong = [row["name"] for row in report.rows if row.get("right") is False or "failed" in row]
    print("wrong or failed:", ", ".join(map(str, wrong)) if wrong else "nothing")


def _rows(advanced: tuple[Tensor, Rows]) -> Tensor:
    return advanced[1].dequantized()


if __name__ == "__main__":
    with torch.inference_mode():
        main()
