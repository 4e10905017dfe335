"""A picture decoded by several ranks, a band of its rows each.

rank 0   own rows             each rank also holds some rows of its neighbours: of a latent row, as many as it has
         lower neighbour's    become by then. Before each convolution the nearest of them is fetched from the rank
rank 1   upper neighbour's    that computes it. So the frames are those of one rank. Attention within a frame, which
         own rows             is at the size of latents and costs little, is computed by all, for the whole frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import DoesNotFit
from ..model.fast_vae.decoder import FastDecoder
from ..model.fast_vae.grid import framed, picture
from ..model.fast_vae.signal import Piece
from ..model.vae import DecoderState
from ..model.vae_blocks import Caches
from ..model.vae_config import SPACE_FACTOR
from .ranks import Ranks
from .tiles import even_counts


@dataclass(frozen=True, kw_only=True, slots=True)
class Bands:
    """How many latent rows each rank has, as one of them sees it."""

    ranks: Ranks
    counts: tuple[int, ...]

    @classmethod
    def of(cls, rows: int, ranks: Ranks) -> Bands:
        """The rows of a picture in bands that are as even as can be. Raises DoesNotFit for more ranks than rows."""
        if ranks.size > rows:
            raise DoesNotFit(
                f"{rows} rows of latents do not make a band for each of {ranks.size} ranks",
                hint="Decode on fewer ranks.",
            )
        return cls(ranks=ranks, counts=even_counts(rows, ranks.size))

    @property
    def above(self) -> int:
        """Latent rows that are held of the upper neighbour."""
        return int(self.ranks.rank > 0)

    @property
    def below(self) -> int:
        """… and of the lower one."""
        return int(self.ranks.rank < self.ranks.size - 1)

    def held(self, scale: int = 1) -> slice:
        """Rows of the whole picture that this rank holds, where a latent row has become `scale` rows."""
        start = sum(self.counts[: self.ranks.rank])
        stop = start + self.counts[self.ranks.rank]
        return slice((start - self.above) * scale, (stop + self.below) * scale)

    def own(self, held_rows: int) -> slice:
        """The rows of its own among as many that it holds."""
        scale = held_rows // (self.counts[self.ranks.rank] + self.above + self.below)
        return slice(self.above * scale, held_rows - self.below * scale)

    def join(self, rows: Tensor) -> Tensor:
        """The own rows of all ranks, on all: (T, rows, …) → (T, all rows, …)."""
        scale = rows.shape[1] // self.counts[self.ranks.rank]
        most = max(self.counts) * scale
        padding = (0, 0) * (rows.dim() - 2) + (0, most - rows.shape[1])
        parts = self.ranks.gather(F.pad(rows, padding))
        return torch.cat([part[:, : count * scale] for part, count in zip(parts, self.counts, strict=True)], dim=1)

    def fetch_edges(self, image: Tensor) -> None:
        """Overwrite the rows next to this rank's own, of an image (T, held rows, …), with those of its neighbours."""
        own = self.own(image.shape[1])
        edges = self.ranks.gather(torch.stack([image[:, own.start], image[:, own.stop - 1]]))
        if self.above:
            image[:, own.start - 1] = edges[self.ranks.rank - 1][1]
        if self.below:
            image[:, own.stop] = edges[self.ranks.rank + 1][0]


class BandPiece(Piece):
    """A piece of a stream, of the rows that one rank holds."""

    def __init__(self, before: Caches | None, bands: Bands) -> None:
        super().__init__(before)
        self._bands = bands

    def across(self, frames: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        """See `Piece.across`; all ranks compute it."""
        image, bands = picture(frames), self._bands
        own = bands.own(image.shape[1])
        whole = bands.join(image[:, own])
        scale = (own.stop - own.start) // bands.counts[bands.ranks.rank]
        return framed(picture(compute(framed(whole)))[:, bands.held(scale)])

    def complete(self, frames: Tensor) -> None:
        """See `Piece.complete`."""
        self._bands.fetch_edges(picture(frames))


class BandDecoder:
    """A decoder of which each rank has a band of the picture; all ranks call it with the same latents."""

    def __init__(self, decoder: FastDecoder, bands: Bands) -> None:
        self._decoder = decoder
        self._bands = bands

    @torch.inference_mode()
    def decode(self, latents: Tensor, state: DecoderState | None) -> tuple[Tensor, DecoderState]:
        """As `FastDecoder.decode`, of the whole picture, with a state of this rank's rows. The first rank has the
        frames, the others none of them: (0, 16h, 16w, 3)."""
        bands = self._bands
        pixels, state = self._decoder.decode(
            latents[:, :, bands.held()], state, begin=lambda caches: BandPiece(caches, bands)
        )
        own = bands.own(pixels.shape[1])
        frames = bands.join(pixels[:, own])
        assert frames.shape[1] == SPACE_FACTOR * sum(bands.counts), "bands make up the picture"
        return (frames if bands.ranks.is_first else frames[:0]), state
