"""Prompts of rendered worlds as token ids."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..model.tokenizer import PAD_ID, Tokenizer, word_pipeline
from .data.blueprint import Attributes
from .data.prompts import Detail, compose, vocabulary

VARIANTS: tuple[Detail, ...] = (Detail.SHORT, Detail.MEDIUM, Detail.LONG, Detail.LONG)
"""Details of the prompts that are kept for each world."""


class PromptTokens:
    """The tokenizer of the worlds' vocabulary, and prompts in it."""

    def __init__(self, text_len: int) -> None:
        self.text_len = text_len
        self.pipeline = word_pipeline(vocabulary())
        self.tokenizer = Tokenizer(self.pipeline, text_len)

    def ids(self, prompt: str) -> Tensor:
        """(L,) ids, padded to text_len."""
        ids = self.tokenizer.encode(prompt)
        return torch.tensor(ids + [PAD_ID] * (self.text_len - len(ids)))

    def of(self, attributes: Sequence[Attributes]) -> Tensor:
        """(B, V, L) ids of the prompts of B worlds."""
        return torch.stack(
            [
                torch.stack([self.ids(compose(world, detail, seed)) for seed, detail in enumerate(VARIANTS)])
                for world in attributes
            ]
        )
