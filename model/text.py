"""The umT5 text encoder: prompts to the states that the transformer attends to.

Sizes: B prompts, L tokens, D width. Parameter names are those of the published encoder's state dict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import CheckpointError
from .layout import split_heads
from .norm import RMSNorm
from .text_config import TextConfig
from .tokenizer import PAD_ID, Tokenizer

NORM_EPS = 1e-6


class Embedding(nn.Embedding):
    """A table, whose numbers are drawn only where it has some: for the meta device, PyTorch would first load its
    compiler, which takes as long as PyTorch itself."""

    def reset_parameters(self) -> None:
        if not self.weight.is_meta:
            super().reset_parameters()


class UMT5Encoder(nn.Module):
    """Token ids to text states, in both directions."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = Embedding(config.vocab, config.dim)
        self.blocks = nn.ModuleList(TextBlock(config) for _ in range(config.num_layers))
        self.norm = RMSNorm(config.dim, NORM_EPS)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """States (B, L, D) of ids (B, L); `mask` (B, L) is 1 for tokens, 0 for padding, whose rows mean nothing."""
        buckets = relative_buckets(ids.shape[1], self.config, device=ids.device)
        hidden = torch.zeros(mask.shape, dtype=self.token_embedding.weight.dtype, device=ids.device)
        padding = hidden.masked_fill(mask == 0, torch.finfo(hidden.dtype).min)[:, None, None]
        x: Tensor = self.token_embedding(ids)
        for block in self.blocks:
            x = block(x, buckets, padding)
        normed: Tensor = self.norm(x)
        return normed


class TextBlock(nn.Module):
    """Self-attention with a relative bias of its own, then a gated feed-forward, each as a residual."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.norm1 = RMSNorm(config.dim, NORM_EPS)
        self.attn = TextAttention(config)
        self.norm2 = RMSNorm(config.dim, NORM_EPS)
        self.ffn = GatedFeedForward(config)
        self.pos_embedding = RelativeBias(config)

    def forward(self, x: Tensor, buckets: Tensor, padding: Tensor) -> Tensor:
        """x (B, L, D), buckets (L, L), padding (B, 1, 1, L): 0, or very negative where a key is padding."""
        x = x + self.attn(self.norm1(x), self.pos_embedding(buckets) + padding)
        fed: Tensor = x + self.ffn(self.norm2(x))
        return fed


class TextAttention(nn.Module):
    """Multi-head attention, whose scores are not scaled."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.q = nn.Linear(config.dim, config.dim_attn, bias=False)
        self.k = nn.Linear(config.dim, config.dim_attn, bias=False)
        self.v = nn.Linear(config.dim, config.dim_attn, bias=False)
        self.o = nn.Linear(config.dim_attn, config.dim, bias=False)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (B, L, D), bias (B, heads, L, L) → (B, L, D)."""
        q, k, v = (split_heads(layer(x), self.num_heads).transpose(1, 2) for layer in (self.q, self.k, self.v))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
        out: Tensor = self.o(attended.transpose(1, 2).flatten(2))
        return out


class GatedFeedForward(nn.Module):
    """fc2(fc1(x) · GELU(gate(x)))."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.gate = nn.Sequential(nn.Linear(config.dim, config.dim_ffn, bias=False), nn.GELU(approximate="tanh"))
        self.fc1 = nn.Linear(config.dim, config.dim_ffn, bias=False)
        self.fc2 = nn.Linear(config.dim_ffn, config.dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.fc1(x) * self.gate(x))
        return out


class RelativeBias(nn.Module):
    """One number for each head and bucket of distance."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.embedding = Embedding(config.num_buckets, config.num_heads)

    def forward(self, buckets: Tensor) -> Tensor:
        """(L, L) → (1, heads, L, L)."""
        bias: Tensor = self.embedding(buckets)
        return bias.permute(2, 0, 1)[None]


def relative_buckets(length: int, config: TextConfig, *, device: torch.device | None = None) -> Tensor:
    """Bucket of each (query, key) pair, (L, L): T5's (arXiv 1910.10683, section 2.1) in both directions.

    Half the buckets of a direction are single distances, the others grow with the logarithm up to `max_distance`.
    """
    position = torch.arange(length, device=device)
    offset = position[None, :] - position[:, None]
    half = config.num_buckets // 2
    exact = half // 2
    distance = offset.abs()
    growth = torch.log(distance.clamp(min=1).float() / exact) / math.log(config.max_distance / exact)
    far = (exact + (growth * (half - exact)).long()).clamp(max=half - 1)
    return half * (offset > 0) + torch.where(distance < exact, distance, far)


class TextEncoder:
    """Prompts to text states: a tokenizer and the network."""

    def __init__(self, network: UMT5Encoder, tokenizer: Tokenizer) -> None:
        """Raises CheckpointError if the tokenizer has ids that the network has no embedding for."""
        if tokenizer.vocab_size > network.config.vocab:
            raise CheckpointError(
                f"the tokenizer has {tokenizer.vocab_size} tokens, the text encoder only {network.config.vocab}",
                hint="Take both from the same checkpoint.",
            )
        self.network = network
        self.tokenizer = tokenizer

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> list[Tensor]:
        """States (L, D) of each prompt, rows of its own tokens only, L <= text_len. Longer prompts are cut."""
        if not prompts:
            return []
        rows = [torch.tensor(self.tokenizer.encode(prompt)) for prompt in prompts]
        ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD_ID)
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(ids.shape[1])[None] < lengths[:, None]
        device = self.network.token_embedding.weight.device
        states = self.network(ids.to(device), mask.to(device))
        return [state[: len(row)] for state, row in zip(states, rows, strict=True)]
