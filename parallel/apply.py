"""Sequence parallelism, applied to a model from outside: what is swapped, and what goes in and out of a rollout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ..model.block import TransformerBlock
from ..model.denoise import ClipTensors
from ..model.preset import Preset
from ..model.rollout import RolloutParts
from ..model.transformer import WorldTransformer
from .ranks import Ranks
from .silent import silenced
from .tiles import Tile, cut_grid
from .ulysses import UlyssesCore


@dataclass(frozen=True, kw_only=True, slots=True)
class SequenceSharding:
    """One picture, cut into a tile for each rank."""

    ranks: Ranks
    tiles: tuple[Tile, ...]
    patch: tuple[int, int]
    """Latent rows and columns of a token."""

    @classmethod
    def of(cls, preset: Preset, ranks: Ranks) -> SequenceSharding:
        """The cut of a preset's picture. Raises DoesNotFit where it does not split into as many tiles."""
        assert preset.transformer is not None, "a mock has no picture to cut"
        _, rows, columns = preset.transformer.patch_size
        grid = (preset.latent_height // rows, preset.latent_width // columns)
        return cls(ranks=ranks, tiles=cut_grid(grid, ranks.size), patch=(rows, columns))

    @property
    def tile(self) -> Tile:
        """This rank's."""
        return self.tiles[self.ranks.rank]

    def cut(self, latents: Tensor) -> Tensor:
        """This rank's part of the whole picture's latents (…, h, w)."""
        rows, columns = self.tile.slices(self.patch)
        return latents[..., rows, columns].contiguous()

    def take_part(self, clip: ClipTensors) -> ClipTensors:
        """This rank's tile of a clip."""
        return clip.crop(*self.tile.slices(self.patch)) if self.ranks.size > 1 else clip

    def join_parts(self, latents: Tensor) -> Tensor:
        """Every rank's latents (…, rows, columns) of its tile → (…, h, w), on all ranks."""
        if self.ranks.size == 1:
            return latents
        height = max(tile.bottom - tile.top for tile in self.tiles) * self.patch[0]
        width = max(tile.right - tile.left for tile in self.tiles) * self.patch[1]
        padded = F.pad(latents, (0, width - latents.shape[-1], 0, height - latents.shape[-2]))
        return assemble(self.ranks.gather(padded), self.tiles, self.patch)


def shard_attention(model: WorldTransformer, sharding: SequenceSharding, *, head_chunks: int = 1) -> None:
    """Let the model's tokens be those of one tile: self-attention sees the tokens of all ranks. In place.

    With more `head_chunks`, messages of one chunk of heads overlap with the attention of another.
    """
    if sharding.ranks.size == 1:
        return
    tokens = [tile.tokens for tile in sharding.tiles]
    for block in model.blocks:
        attention = cast(TransformerBlock, block).self_attn
        attention.core = UlyssesCore(
            sharding.ranks, tokens, heads=attention.heads, inner=attention.core, chunks=head_chunks
        )


def unshard_attention(model: WorldTransformer) -> None:
    """Takes back what `shard_attention` has done."""
    for block in model.blocks:
        attention = cast(TransformerBlock, block).self_attn
        if isinstance(attention.core, UlyssesCore):
            attention.core = attention.core.inner


def _sharded_cores(model: WorldTransformer) -> list[UlyssesCore]:
    cores = [cast(TransformerBlock, block).self_attn.core for block in model.blocks]
    return [core for core in cores if isinstance(core, UlyssesCore)]


@contextmanager
def without_messages(models: Iterable[WorldTransformer]) -> Iterator[None]:
    """Inside, sharded attention computes its share of the work and sends nothing; its results mean nothing."""
    cores = [core for model in models for core in _sharded_cores(model)]
    talking = [core.ranks for core in cores]
    for core in cores:
        core.ranks = silenced(core.ranks)
    try:
        yield
    finally:
        for core, ranks in zip(cores, talking, strict=True):
            core.ranks = ranks


def sharded_parts(parts: RolloutParts, sharding: SequenceSharding, *, encoding: Ranks | None = None) -> RolloutParts:
    """The parts of a rollout that shares its picture.

    Text and images are encoded by the first rank of `encoding` alone, for all of them: the sharding's, or more.
    """
    ranks = encoding or sharding.ranks
    return replace(
        parts,
        encode_text=lambda prompt: ranks.share(lambda: parts.encode_text(prompt)),
        encode_image=lambda image: ranks.share(lambda: parts.encode_image(image)),
        take_part=sharding.take_part,
        join_parts=sharding.join_parts,
    )


def assemble(parts: list[Tensor], tiles: tuple[Tile, ...], patch: tuple[int, int]) -> Tensor:
    """The whole picture (…, h, w) of its tiles' parts (…, rows, columns), which may be padded at their ends."""
    height = max(tile.bottom for tile in tiles) * patch[0]
    width = max(tile.right for tile in tiles) * patch[1]
    whole = torch.empty(*parts[0].shape[:-2], height, width, dtype=parts[0].dtype, device=parts[0].device)
    for part, tile in zip(parts, tiles, strict=True):
        rows, columns = tile.slices(patch)
        whole[..., rows, columns] = part[..., : rows.stop - rows.start, : columns.stop - columns.start]
    return whole
