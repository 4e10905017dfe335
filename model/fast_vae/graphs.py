"""Pieces of a stream as CUDA graphs: one launch a piece, whatever else the process is busy with."""

from __future__ import annotations

import torch
from torch import Tensor

from ..vae import DecoderState
from ..vae_blocks import Caches
from .decoder import FastDecoder


class CapturedPiece:
    """The decoding of pieces of one shape, either all at a stream's start or all later, recorded once."""

    def __init__(self, decoder: FastDecoder, latents: Tensor, state: DecoderState | None) -> None:
        """Records what `decoder` does with pieces like this one, after doing it once for real."""
        self._latents = latents.clone()
        self._before: Caches | None = None
        if state is not None:
            self._before = tuple(cache.clone() for cache in state.caches)
        before = None if self._before is None else DecoderState(caches=self._before)
        decoder.decode(self._latents, before)
        torch.cuda.synchronize(latents.device)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._frames, after = decoder.decode(self._latents, before)
        self._after = after.caches

    def decode(self, latents: Tensor, state: DecoderState | None) -> tuple[Tensor, DecoderState]:
        """As `FastDecoder.decode`. The frames are overwritten by the next call."""
        self._latents.copy_(latents)
        if self._before is not None:
            assert state is not None, "recorded for later pieces of a stream"
            torch._foreach_copy_(self._before, state.caches)
        self._graph.replay()
        return self._frames, DecoderState(caches=tuple(cache.clone() for cache in self._after))
