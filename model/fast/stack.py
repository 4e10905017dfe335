"""All blocks for inference, one after another."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from ..action import ActionWindows
from ..block import TransformerBlock
from ..conditioning import BlockConditioning, Conditioning
from ..precision import Precision
from .block import FusedBlock, Pass
from .formats import RowFormat, Rows
from .residual import Gate, Keep, Step, advance, as_rows
from .text import distinct_rows


class FusedStack(nn.ModuleList):
    """The counterpart of BlockStack, of FusedBlocks: one world, without gradients."""

    uses_axis_rope = True
    modulation: Tensor

    def __init__(self, blocks: Iterable[TransformerBlock], precision: Precision) -> None:
        """Takes the blocks one by one: whoever makes them need not hold more than one."""
        super().__init__()
        modulation = []
        for block in blocks:
            modulation.append(block.modulation.detach().float())
            self.append(FusedBlock(block, precision))
        self.register_buffer("modulation", torch.cat(modulation))
        first = next(iter(self.blocks()))
        self.form = RowFormat.of(precision)
        self.plain = first.plain
        self.stream = first.stream
        self.eps = first.eps

    def blocks(self) -> Iterable[FusedBlock]:
        return cast(Iterable[FusedBlock], self)

    def prepare(
        self, text: Tensor, text_rows: int, camera: Tensor, windows: ActionWindows | None, *, camera_cache: bool
    ) -> tuple[BlockConditioning, ...]:
        """As BlockStack.prepare."""
        if len(camera) != 1 or len(text) != 1:
            raise ValueError(f"fused blocks take one world at a time, not {len(camera)} cameras and {len(text)} texts")
        distinct, bias = distinct_rows(text[0], text_rows)
        rows = as_rows(distinct, self.form)
        cached = (camera[0], as_rows(camera[0], self.form)) if camera_cache else None
        return tuple(block.prepare(rows, bias, cached, windows) for block in self.blocks())

    def forward(
        self, x: Tensor, times: Tensor, segments: tuple[int, ...], shared: Conditioning, *, keep: int
    ) -> Tensor:
        """As BlockStack.forward, with a batch of 1."""
        blocks = tuple(self.blocks())
        camera = None if shared.camera is None else shared.camera[0]
        tables = self.modulation[:, None] + times  # (blocks, S, 6, D)
        segment = segment_of_tokens(segments, x.device)
        # A last block with an action module needs the tokens of all frames, at each position.
        least = keep if blocks[-1].action_model is None else len(segment)
        counts = [len(segment)] * (len(blocks) - 1) + [least]
        passes = [
            Pass(modulation=table, segment=segment, rope=shared.axis_rope, keep=count)
            for table, count in zip(tables, counts, strict=True)
        ]
        stream, rows = self._norm(x[0], passes[0])
        for index, (block, own) in enumerate(zip(blocks, shared.blocks, strict=True)):
            stream, update = block(stream, rows, passes[index], own, camera)
            gate = passes[index].second_gate()
            if index + 1 < len(blocks):
                stream, rows = self._norm(stream, passes[index + 1], update, gate)
        final = Step(form=RowFormat.PLAIN, plain=torch.float32, update=update, gate=gate)
        return advance(stream, final)[1].values[None, -keep:]

    def _norm(
        self, x: Tensor, following: Pass, update: Tensor | None = None, gate: Gate | None = None
    ) -> tuple[Tensor, Rows]:
        """Add a gated update, and make the rows that the following block starts with."""
        step = Step(
            form=self.form,
            plain=self.plain,
            eps=self.eps,
            update=update,
            gate=gate,
            norm=following.first_norm(),
            keep=Keep.NOTHING if update is None else Keep.SUM,
            stream=self.stream,
        )
        return advance(x, step)


@functools.lru_cache(maxsize=8)
def segment_of_tokens(segments: tuple[int, ...], device: torch.device) -> Tensor:
    """(M,) int32: which of the runs of `segments` tokens each token belongs to."""
    runs = [torch.full((count,), index, dtype=torch.int32, device=device) for index, count in enumerate(segments)]
    return torch.cat(runs)
