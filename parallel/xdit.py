"""xDiT's attention over several ranks (package xfuser) in the place of ours: Ulysses, a ring, or rings of Ulysses.

To compare with, and for more ranks than there are heads. The package needs CUDA to be imported: it is, when a core is
made. Every rank needs as many tokens, and heads have to be a multiple of the ranks in each Ulysses group.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import ConfigError, DoesNotFit
from ..model.attention import AttentionCore
from ..model.attention_e4m3 import SpreadCore
from ..model.block import TransformerBlock
from ..model.transformer import WorldTransformer
from .apply import SequenceSharding
from .ranks import Ranks

PACKAGE = "xfuser"


class XditCore(SpreadCore):
    """Attention over the tokens of all ranks by xDiT; takes and returns this rank's tokens with all heads."""

    def __init__(self, ranks: Ranks, attention: nn.Module, inner: AttentionCore) -> None:
        """`attention` is xDiT's, and `inner` what a model has without it."""
        super().__init__()
        self.ranks = ranks
        self.attention = attention
        self.inner = inner

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q, k, v (B, n, H, d) of this rank's n tokens, turned → (B, n, H, d)."""
        out: Tensor = self.attention(None, query=q, key=k, value=v)
        return out

    def average(self, values: Tensor) -> Tensor:
        """See `SpreadCore`."""
        return self.ranks.average(values)

    def attend_e4m3(self, q: Tensor, k: Tensor, v: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
        """Raises ConfigError: it knows no such format."""
        raise ConfigError("xDiT's attention takes no e4m3", hint="Use precision fp8, or worldloom's own Ulysses.")


def shard_attention_by_xdit(model: WorldTransformer, sharding: SequenceSharding, *, ring: int) -> None:
    """As `shard_attention`, with rings of `ring` ranks. In place; once in a process, for all its models alike.

    Raises ConfigError where the package is missing, DoesNotFit where tokens or heads cannot be cut so.
    """
    blocks = [cast(TransformerBlock, block).self_attn for block in model.blocks]
    check_cut(sharding, heads=blocks[0].heads, ring=ring)
    attention = _start(sharding.ranks, ring)
    for block in blocks:
        block.core = XditCore(sharding.ranks, attention, block.core)


def check_cut(sharding: SequenceSharding, *, heads: int, ring: int) -> None:
    """Raises DoesNotFit where xDiT cannot cut tokens or heads so."""
    ranks, tokens = sharding.ranks.size, {tile.tokens for tile in sharding.tiles}
    if ranks % ring or heads % (ranks // ring) or len(tokens) > 1:
        raise DoesNotFit(
            f"xDiT cannot share {heads} heads and tiles of {', '.join(map(str, sorted(tokens)))} tokens among {ranks} "
            f"ranks in rings of {ring}",
            hint="Choose another ring, or another number of ranks.",
        )


def _start(ranks: Ranks, ring: int) -> nn.Module:
    if find_spec(PACKAGE) is None:
        raise ConfigError("xDiT is not installed", hint="Install worldloom[xdit], which needs CUDA.")
    distributed = import_module(f"{PACKAGE}.core.distributed")
    if not distributed.model_parallel_is_initialized():
        distributed.init_distributed_environment(rank=ranks.rank, world_size=ranks.size)
        distributed.initialize_model_parallel(
            sequence_parallel_degree=ranks.size, ring_degree=ring, ulysses_degree=ranks.size // ring
        )
    attention: nn.Module = import_module(f"{PACKAGE}.core.long_ctx_attention").xFuserLongContextAttention()
    return attention
