"""The decoder for showing: latents to RGB frames in 8 bits, the same function as `Decoder` within rounding."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..vae import Decoder, DecoderState
from ..vae_blocks import Caches
from .build import build_network
from .grid import Grid, framed, padded_channels
from .pixels import convolve_pixels
from .signal import PAST_FRAMES, Piece, Signal


class FastDecoder:
    """An inference form of a loaded decoder, for one stream at a time; its weights are copies.

    States are not those of `Decoder`: caches have other layouts.
    """

    def __init__(self, decoder: Decoder) -> None:
        self.config = decoder.config
        self.reach_latents = decoder.reach_latents
        self._network = build_network(decoder)
        self._mean = decoder.latents_mean.flatten()
        self._std = decoder.latents_std.flatten()
        assert decoder.conv2.bias is not None
        self._first = (decoder.conv2.weight.detach().flatten(1), decoder.conv2.bias.detach())

    @torch.inference_mode()
    def decode(
        self, latents: Tensor, state: DecoderState | None = None, *, begin: Callable[[Caches | None], Piece] = Piece
    ) -> tuple[Tensor, DecoderState]:
        """RGB frames (4n, 16h, 16w, 3), uint8, of latents (C, n, h, w) in one piece, and the next state.

        `state` is the one after the latents before these; None starts a stream, which gives 4n − 3 frames. It is not
        changed. Smaller pieces are shown earlier, larger ones are faster. `begin` makes a piece of the caches before
        it.
        """
        piece = begin(None if state is None else state.caches)
        signal = self._enter(latents, piece)
        for layer in self._network.layers:
            signal = layer(signal, piece)
        assert signal.buffer is not None
        piece.close(signal.buffer)
        return convolve_pixels(signal.buffer, self._network.head), DecoderState(caches=piece.caches)

    def _enter(self, latents: Tensor, piece: Piece) -> Signal:
        """The first convolution's buffer."""
        weight, bias = self._first
        values = latents.permute(1, 2, 3, 0) * self._std + self._mean
        z = F.linear(values.to(weight.dtype), weight, bias)
        count, height, width, channels = z.shape
        grid = Grid(height=height, width=width)
        buffer = piece.open(count, grid, padded_channels(channels), z)
        filled = F.pad(z, (0, buffer.shape[3] - channels))
        buffer[PAST_FRAMES:].copy_(framed(filled))
        return Signal(raw=None, buffer=buffer)
