"""Random inputs of the fused kernels, at the shapes of a preset's later clip."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from worldloom.model.fast import heads, text
from worldloom.model.fast.formats import RowFormat, Rows, quantize_rows
from worldloom.model.fast.linear import FusedLinear
from worldloom.model.fast.residual import Affine, Gate, Keep, Modulation, Step
from worldloom.model.rope import axis_rope, head_thetas, time_rope
from worldloom.model.transformer_config import TransformerConfig

PROMPT_ROWS = 77
BF16 = torch.bfloat16
DEVICE = torch.device("cuda")


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
        return text.TextKeys(key=key, value=value, bias=bias, scale=text.text_scale(value))

    def steps(self, form: RowFormat, stream: torch.dtype = torch.float32) -> Iterator[tuple[str, Tensor, Step]]:
        """The passes over the residual stream: name, x and step."""
        first = Modulation(shift=self.table[:, 0], scale=self.table[:, 1], segment=self.segment)
        gate = Gate(values=self.table[:, 5], segment=self.segment)
        dim = self.shapes.config.dim
        camera = (self.terms[:, :dim], self.terms[:, dim:])
        added = Step(form=form, plain=BF16, update=self.update, keep=Keep.SUM, stream=stream)
        x = self.x.to(stream)
        yield "norm", x, Step(form=form, plain=BF16, norm=first)
        yield "ffn+norm", x, replace(added, gate=gate, norm=first)
        yield "text+norm", x, replace(added, norm=first)
        yield "attn+camera+norm", x, replace(added, gate=gate, camera=camera, norm=self.affine, keep=Keep.NORMED)
        yield "add", x, added
        yield "rows", self.update, Step(form=form, plain=BF16)

    def rows(self, width: int, form: RowFormat) -> Rows:
        return quantize_rows(noise(self.shapes.tokens, width), form, BF16)

    def linear(self, width: int, columns: int, form: RowFormat) -> FusedLinear:
        return FusedLinear(noise(columns, width, spread=width**-0.5), noise(columns), form)
