"""A transformer that has no memory yet becomes one that runs: plain, or with its blocks fused, one after another."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from .block import BlockStack, TransformerBlock
from .checkpoint import Assemble, Materialise, fill_at_once
from .precision import Precision
from .transformer import WorldTransformer


def assembly_for(precision: Precision, device: torch.device, dtype: torch.dtype) -> Assemble:
    """How a transformer of this precision is made. Fused blocks serve all 8-bit precisions, and bfloat16 on GPUs."""
    exact = precision is Precision.BF16
    if exact and (device.type != "cuda" or dtype != torch.bfloat16):
        return fill_at_once
    return lambda model, materialise: fill_and_fuse(model, materialise, precision)


def fill_and_fuse(model: WorldTransformer, materialise: Materialise, precision: Precision) -> None:
    """Never holds more than one block as it is stored: the 5B in 8 bits is made within 8 GB."""
    from .fast.stack import FusedStack

    plain = model.blocks
    assert isinstance(plain, BlockStack), "a new transformer has plain blocks"
    model.blocks = BlockStack()
    materialise(model, "")
    model.blocks = FusedStack(_taken_out(plain, materialise), precision)


def _taken_out(stack: BlockStack, materialise: Materialise) -> Iterator[TransformerBlock]:
    """The blocks with their weights. `stack` is empty afterwards."""
    for index in range(len(stack)):
        block = stack[0]
        assert isinstance(block, TransformerBlock)
        del stack[0]
        materialise(block, f"blocks.{index}.")
        yield block
