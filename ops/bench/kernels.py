"""Are the fused kernels right on this GPU, and how far are they from what the memory and the matrix units allow?

    PYTHONPATH=typings python ops/bench/kernels.py --json RESULT.json [--preset mg3-5b] [--only check,passes,…]

First every kernel is compared with its plain definition, at the preset's widths and few rows. Then each is timed at
all of a later clip's tokens, in several variants, beside the copy rate of the memory that was measured just before;
then matrix products and attentions. Parts that fail say so, and the others go on. Needs one GPU and no weights.
"""

from __future__ import annotations

import argparse
import json
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
import triton
from torch import Tensor
from worldloom.model.attention import attention
from worldloom.model.attention_e4m3 import attention_e4m3
from worldloom.model.fast import activation, frames, heads, residual, text
from worldloom.model.fast.activation import Activation
from worldloom.model.fast.activation_kernel import launch_activate
from worldloom.model.fast.formats import RowFormat, Rows, quantize_rows
from worldloom.model.fast.frames_kernel import launch_attend_frames, launch_attend_keyboard
from worldloom.model.fast.heads_kernel import launch_key_mean, launch_turn_heads, launch_turn_heads_e4m3
from worldloom.model.fast.linear import FusedLinear
from worldloom.model.fast.product_kernel import Tiling, launch_product
from worldloom.model.fast.residual import Affine, Gate, Keep, Modulation, Step
from worldloom.model.fast.residual_kernel import launch_advance
from worldloom.model.fast.text_kernel import TextTiling, launch_attend_text
from worldloom.model.preset import load_preset
from worldloom.model.rope import axis_rope, head_thetas, time_rope
from worldloom.model.transformer_config import TransformerConfig

FRAMES = 19
"""Latent frames of a later clip: 5 of memory, 4 of the past, 10 new."""
PROMPT_ROWS = 77
BF16 = torch.bfloat16
DEVICE = torch.device("cuda")
FORMS = (RowFormat.PLAIN, RowFormat.INT8, RowFormat.E4M3)
TILINGS = (
    Tiling(),
    Tiling(persistent=False),
    Tiling(columns=128, warps=8, stages=4),
    Tiling(columns=128, warps=4, stages=3, persistent=False),
    Tiling(rows=256, columns=128),
    Tiling(depth=64, stages=4),
    Tiling(stages=4),
)


@dataclass(kw_only=True)
class Report:
    """What was found, part by part."""

    rows: list[dict[str, object]] = field(default_factory=list)

    def add(self, part: str, name: str, **values: object) -> None:
        self.rows.append({"part": part, "name": name, **values})
        shown = "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
        print(f"{part:9} {name:46} {shown}", flush=True)

    def attempt(self, part: str, name: str, measure: Callable[[], dict[str, object]]) -> None:
        """Adds what `measure` returns, or that it failed."""
        try:
            self.add(part, name, **measure())
        except Exception as error:  # what fails is a finding, and the rest is still worth its time
            traceback.print_exc()
            self.add(part, name, failed=f"{type(error).__name__}: {error}"[:300])


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """A later clip of one preset, or a few frames of it."""

    config: TransformerConfig
    grid: tuple[int, int]
    frames: int

    @property
    def tokens(self) -> int:
        return self.frames * self.grid[0] * self.grid[1]


def noise(*shape: int, dtype: torch.dtype = BF16, spread: float = 1.0) -> Tensor:
    return (torch.randn(*shape, device=DEVICE) * spread).to(dtype)


class Inputs:
    """Random inputs of every kernel."""

    def __init__(self, shapes: Shapes) -> None:
        config, tokens = shapes.config, shapes.tokens
        dim = config.dim
        self.shapes = shapes
        self.x = noise(tokens, dim, dtype=torch.float32)
        self.update = noise(tokens, dim)
        self.terms = noise(tokens, 2 * dim, spread=0.1)
        clean = tokens // shapes.frames * (shapes.frames // 2)
        self.segment = (torch.arange(tokens, device=DEVICE) >= clean).to(torch.int32)
        self.table = noise(2, 6, dim, dtype=torch.float32)
        self.affine = Affine(weight=noise(dim, dtype=torch.float32), bias=noise(dim, dtype=torch.float32))
        self.qkv = noise(tokens, 3 * dim)
        self.norm = heads.HeadNorm(weight=noise(2, dim, dtype=torch.float32) + 1, heads=config.num_heads, eps=1e-6)
        positions = torch.arange(shapes.frames, device=DEVICE)
        thetas = head_thetas(config.num_heads, config.sigma_theta, DEVICE)
        self.rope = axis_rope(positions[None], grid=shapes.grid, head_dim=config.head_dim, thetas=thetas)
        self.scales = heads.head_scales(noise(dim, dim, spread=dim**-0.5), noise(dim), self.norm)
        self.hidden = noise(tokens, config.ffn_dim)
        self.keys = self._keys()
        self.query_norm = text.QueryNorm(weight=self.norm.weight[0], heads=config.num_heads, eps=1e-6)
        assert config.action_config is not None
        self.action = config.action_config
        self.mouse_qkv = noise(tokens, 3 * self.action.mouse_hidden_dim)
        self.keyboard_q = noise(tokens, self.action.keyboard_hidden_dim)
        width = self.action.keyboard_hidden_dim // self.action.heads_num
        self.keyboard = noise(2, shapes.frames, self.action.heads_num, width)
        self.time = time_rope(positions, axis_dims=self.action.rope_dim_list, theta=self.action.rope_theta)
        self.mouse_rows = noise(shapes.frames, self.action.mouse_hidden_dim)

    def _keys(self) -> text.TextKeys:
        config = self.shapes.config
        embedded = noise(config.text_len, 2 * config.dim)
        embedded[PROMPT_ROWS:] = embedded[PROMPT_ROWS]
        rows, bias = text.distinct_rows(embedded, PROMPT_ROWS)
        key, value = rows.unflatten(1, (2, config.num_heads, -1)).unbind(1)
        return text.TextKeys(key=key, value=value, bias=bias, limit=value.abs().amax().float())

    def steps(self, form: RowFormat) -> Iterator[tuple[str, Tensor, Step]]:
        """The passes over the residual stream: name, x and step."""
        first = Modulation(shift=self.table[:, 0], scale=self.table[:, 1], segment=self.segment)
        gate = Gate(values=self.table[:, 5], segment=self.segment)
        dim = self.shapes.config.dim
        camera = (self.terms[:, :dim], self.terms[:, dim:])
        yield "norm", self.x, Step(form=form, plain=BF16, norm=first)
        yield "ffn+norm", self.x, Step(form=form, plain=BF16, update=self.update, gate=gate, norm=first, keep=Keep.SUM)
        yield "attn+camera+norm", self.x, Step(
            form=form, plain=BF16, update=self.update, gate=gate, camera=camera, norm=self.affine, keep=Keep.NORMED
        )  # fmt: skip
        yield "add", self.x, Step(form=form, plain=BF16, update=self.update, keep=Keep.SUM)
        yield "rows", self.update, Step(form=form, plain=BF16)

    def rows(self, width: int, form: RowFormat) -> Rows:
        return quantize_rows(noise(self.shapes.tokens, width), form, BF16)


def rows_error(made: Rows, expected: Rows) -> float:
    return error(made.dequantized(), expected.dequantized())


def error(made: Tensor, expected: Tensor) -> float:
    """Relative, with what was not written counted as wrong."""
    return float((made.double() - expected.double()).norm() / expected.double().norm())


def check(report: Report, small: Inputs) -> None:
    """Every kernel against its plain definition."""

    def compare(name: str, measure: Callable[[], float], limit: float) -> None:
        def judged() -> dict[str, object]:
            found = measure()
            return {"error": found, "limit": limit, "right": bool(found < limit)}

        report.attempt("check", name, judged)

    for form in FORMS:
        limit = {RowFormat.PLAIN: 3e-3, RowFormat.INT8: 1e-3, RowFormat.E4M3: 3e-3}[form]
        for name, x, step in small.steps(form):

            def of_step(x: Tensor = x, step: Step = step) -> float:
                kept, rows = launch_advance(x, step)
                plain_kept, plain_rows = residual.advance_plainly(x, step)
                return max(error(kept, plain_kept), rows_error(rows, plain_rows))

            compare(f"{name}, {form.name}", of_step, limit)
        for kind in Activation:
            compare(
                f"{kind.name}, {form.name}",
                lambda kind=kind, form=form: rows_error(
                    launch_activate(small.hidden, kind, form, None),
                    activation.activate_plainly(small.hidden, kind, form, None),
                ),
                limit,
            )
        compare(
            f"text, {form.name}",
            lambda form=form: rows_error(
                launch_attend_text(small.update, small.query_norm, small.keys, form),
                text.attend_text_plainly(small.update, small.query_norm, small.keys, form),
            ),
            1.5e-2,
        )
    turned = heads.turn_heads_plainly(small.qkv, small.norm, small.rope)
    for index, name in enumerate(("q", "k")):
        compare(
            f"turned {name}",
            lambda index=index: error(launch_turn_heads(small.qkv, small.norm, small.rope)[index], turned[index]),
            3e-3,
        )
    in_e4m3 = heads.turn_heads_e4m3_plainly(small.qkv, small.norm, small.rope, small.scales)
    for name in ("q", "k", "v"):
        compare(
            f"turned {name}, E4M3",
            lambda name=name: error(
                getattr(launch_turn_heads_e4m3(small.qkv, small.norm, small.rope, small.scales), name).float(),
                getattr(in_e4m3, name).float(),
            ),
            3e-3,
        )
    count = small.action.heads_num
    compare(
        "mouse attention",
        lambda: error(
            launch_attend_frames(small.mouse_qkv, small.time, count, 1e-6),
            frames.attend_frames_plainly(small.mouse_qkv, small.time, count, 1e-6),
        ),
        1e-2,
    )
    compare(
        "keyboard attention",
        lambda: error(
            launch_attend_keyboard(small.keyboard_q, *small.keyboard, small.time, 1e-6),
            frames.attend_keyboard_plainly(small.keyboard_q, *small.keyboard, small.time, 1e-6),
        ),
        1e-2,
    )
    for form in (RowFormat.INT8, RowFormat.E4M3):
        linear, rows = random_linear(small.shapes.config.dim, 3 * small.shapes.config.dim, form), None
        rows = small.rows(small.shapes.config.dim, form)
        exact = linear.multiply_plainly(Rows(values=rows.values.cpu(), scales=rows.scales.cpu())) if False else None
        expected = F.linear(rows.dequantized(), linear.weight.float() * linear.scales[:, None], linear.bias.float())
        compare(f"product, {form.name}", lambda: error(linear(rows), expected), 3e-3)
        for tiling in TILINGS:
            compare(
                f"product kernel, {form.name}, {label(tiling)}",
                lambda tiling=tiling: error(
                    launch_product(rows, linear.weight, linear.scales, linear.bias, BF16, tiling), expected
                ),
                3e-3,
            )
