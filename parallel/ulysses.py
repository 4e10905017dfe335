"""Sequence parallelism after DeepSpeed-Ulysses (arXiv 2309.14509): ranks trade tokens for heads around an attention.

                     rank 0      rank 1                       rank 0      rank 1
    q, k, v of    tokens of    tokens of    all-to-all      all tokens, all tokens,
    all heads      tile 0       tile 1     ------------>      heads 0…    …heads
                                                                 |           |      attention
    output of     tokens of    tokens of   <------------      all tokens, all tokens,
    all heads      tile 0       tile 1      all-to-all        heads 0…    …heads

- q, k and v travel packed in one message for each pair of ranks, the output in another.
- Numbers of tokens and of heads may differ between ranks; a rank may even have no head. Nothing is padded.
- Attention does not mind in which order its tokens come, so they stay in the order of the ranks.
- With several chunks of heads, one chunk's messages travel while another chunk is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
import torch.distributed as dist
from torch import Tensor

from ..model.attention import AttentionCore
from ..model.attention_e4m3 import SpreadCore, attention_e4m3
from .ranks import Ranks
from .tiles import even_counts


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadRun:
    """The heads [start, stop) that one rank computes in one chunk."""

    start: int
    stop: int

    @property
    def count(self) -> int:
        return self.stop - self.start


def head_chunks(heads: int, ranks: int, chunks: int) -> tuple[tuple[HeadRun, ...], ...]:
    """For each chunk the run of heads of each rank. Every head is in one run; ranks differ by one head at most."""
    of_ranks = even_counts(heads, ranks)
    starts = [0, *accumulate(of_ranks)]
    runs = []
    for chunk in range(chunks):
        row = []
        for start, count in zip(starts, of_ranks, strict=False):
            first, last = (start + edge * count // chunks for edge in (chunk, chunk + 1))
            row.append(HeadRun(start=first, stop=last))
        runs.append(tuple(row))
    return tuple(runs)


class UlyssesCore(SpreadCore):
    """Attention over the tokens of all ranks; takes and returns this rank's tokens with all heads."""

    def __init__(self, ranks: Ranks, tokens: Sequence[int], *, heads: int, inner: AttentionCore, chunks: int) -> None:
        """`tokens` of each rank in one frame; `inner` computes attention; `chunks` of heads overlap."""
        super().__init__()
        self.ranks = ranks
        self.tokens = tuple(tokens)
        self.inner = inner
        self.chunks = head_chunks(heads, ranks.size, chunks)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v (B, n, H, d) of this rank's n tokens, turned → (B, n, H, d)."""
        return self._across(q, k, v, q.dtype, lambda packed, run: self.inner(*packed.unbind(2)))

    def average(self, values: Tensor) -> Tensor:
        """See `SpreadCore`. Ranks count alike, whatever their numbers of tokens."""
        return self.ranks.average(values)

    def attend_e4m3(self, q: Tensor, k: Tensor, v: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
        """See `SpreadCore`; q, k and v travel as they are, in half the bytes."""

        def attend(packed: Tensor, run: HeadRun) -> Tensor:
            queries, keys, values = packed.view(q.dtype).unbind(2)
            return attention_e4m3(queries, keys, values, scales[:, run.start : run.stop].contiguous(), dtype)

        # As bytes: not all that carries messages knows the format.
        return self._across(q.view(torch.uint8), k.view(torch.uint8), v.view(torch.uint8), dtype, attend)

    def _across(
        self, q: Tensor, k: Tensor, v: Tensor, dtype: torch.dtype, attend: Callable[[Tensor, HeadRun], Tensor]
    ) -> Tensor:
        """`attend` takes (B, tokens, 3, heads, d) of all tokens and a run of heads, and makes (B, tokens, heads, d) in
        `dtype`."""
        frames = q.shape[1] // self.tokens[self.ranks.rank]
        counts = [frames * count for count in self.tokens]
        arriving = [self._send_heads(q, k, v, runs, counts) for runs in self.chunks]
        returning = []
        for runs, (work, packed) in zip(self.chunks, arriving, strict=True):
            work.wait()
            run = runs[self.ranks.rank]
            attended = packed.new_empty(packed.shape[0], packed.shape[1], 0, packed.shape[-1], dtype=dtype)
            if run.count > 0:
                attended = attend(packed.transpose(0, 1), run).transpose(0, 1).contiguous()
            returning.append(self._send_tokens(attended, runs, counts))
        out = torch.empty(q.shape, dtype=dtype, device=q.device)
        for runs, (work, flat) in zip(self.chunks, returning, strict=True):
            work.wait()
            self._unpack(flat, runs, out)
        return out

    def _send_heads(
        self, q: Tensor, k: Tensor, v: Tensor, runs: tuple[HeadRun, ...], counts: Sequence[int]
    ) -> tuple[dist.Work, Tensor]:
        """Start to send each rank its heads of q, k, v; (tokens, B, 3, heads, d) of all ranks will arrive."""
        batch, own, _, width = q.shape
        mine = runs[self.ranks.rank].count
        unit = 3 * batch * width
        sends = [own * run.count * unit for run in runs]
        sent = q.new_empty(sum(sends))
        for run, part in zip(runs, torch.split(sent, sends), strict=True):
            target = part.view(own, batch, 3, run.count, width)
            for index, x in enumerate((q, k, v)):
                target[:, :, index].copy_(x[:, :, run.start : run.stop].transpose(0, 1))
        received = q.new_empty(sum(counts), batch, 3, mine, width)
        work = self.ranks.all_to_all(
            received.view(-1), sent, counts=[count * mine * unit for count in counts], sends=sends
        )
        return work, received

    def _send_tokens(
        self, attended: Tensor, runs: tuple[HeadRun, ...], counts: Sequence[int]
    ) -> tuple[dist.Work, Tensor]:
        """Start to send each rank its tokens; a run of (own tokens, B, heads, d) of each rank will arrive."""
        _, batch, mine, width = attended.shape
        own = counts[self.ranks.rank]
        arriving = [own * run.count * batch * width for run in runs]
        received = attended.new_empty(sum(arriving))
        sends = [count * mine * batch * width for count in counts]
        return self.ranks.all_to_all(received, attended.view(-1), counts=arriving, sends=sends), received

    def _unpack(self, flat: Tensor, runs: tuple[HeadRun, ...], out: Tensor) -> None:
        batch, own, _, width = out.shape
        parts = torch.split(flat, [own * run.count * batch * width for run in runs])
        for run, part in zip(runs, parts, strict=True):
            out[:, :, run.start : run.stop] = part.view(own, batch, run.count, width).transpose(0, 1)
