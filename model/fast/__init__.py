"""The transformer's blocks for inference: fused, and in 8 bits where asked."""

from __future__ import annotations

from collections.abc import Iterator

from ..block import BlockStack, TransformerBlock
from ..precision import Precision
from ..transformer import WorldTransformer
from .stack import FusedStack

__all__ = ["fuse"]


def fuse(model: WorldTransformer, precision: Precision) -> None:
    """Replace the model's blocks, in place, by fused ones whose linear layers compute in `precision`.

    For inference of one world at a time, on the device and in the dtype that the model has already. Layers that were
    loaded as int8 may become anything. Ends, timestep and text embeddings stay as they are. On a CPU the same rounding
    is done in plain PyTorch.
    """
    assert isinstance(model.blocks, BlockStack), "the blocks are fused already"
    model.blocks = FusedStack(_taken_from(model.blocks), precision)


def _taken_from(stack: BlockStack) -> Iterator[TransformerBlock]:
    """The blocks, each taken out of the stack: little more than one of them is then held twice."""
    while len(stack):
        block = next(iter(stack.blocks()))
        del stack[0]
        yield block
