"""The video autoencoder of Wan2.2: 16×16 pixels and 4 frames to one latent, causal in time.

An encoder's and a decoder's parameters have the names of the published checkpoint, which holds both. Videos are
(B, 3, T, H, W) in [-1, 1], latents (B, C, n, H/16, W/16), normalised by the statistics of each channel. A stream's
first latent stands for one frame, every other for four.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .latent_stats import default_latent_stats
from .layout import split_dim
from .vae_blocks import Caches, CausalConv3d, StreamPiece, StreamSequential, head, middle
from .vae_config import SPACE_FACTOR, TIME_FACTOR, VAEConfig
from .vae_stages import DownStage, UpStage

PIXEL_PATCH = 2
"""Pixels are cut into squares of this size before the first convolution."""
PATCH_CHANNELS = 3 * PIXEL_PATCH**2


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DecoderState:
    """A stream's caches after the latents so far: all that the next latents' frames depend on besides themselves."""

    caches: Caches

    @property
    def nbytes(self) -> int:
        """Memory of the caches."""
        return sum(cache.nbytes for cache in self.caches)

    def to(self, device: torch.device | str) -> DecoderState:
        """The same state on another device."""
        return DecoderState(caches=tuple(cache.to(device) for cache in self.caches))


class _Normalised(nn.Module):
    """Holds the statistics of the latent channels, which are no part of a published state dict."""

    latents_mean: Tensor
    latents_std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        mean, std = default_latent_stats(channels)
        self.register_buffer("latents_mean", _per_channel(mean), persistent=False)
        self.register_buffer("latents_std", _per_channel(std), persistent=False)

    def set_latent_stats(self, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor) -> None:
        """Replaces the statistics: two sequences with a number a channel, std above zero."""
        new_mean, new_std = _per_channel(mean), _per_channel(std)
        channels = self.latents_mean.numel()
        if (new_mean.numel(), new_std.numel()) != (channels, channels):
            raise ValueError(f"latent statistics of {new_mean.numel()} and {new_std.numel()} channels, not {channels}")
        if not bool((new_std > 0).all()):
            raise ValueError("a standard deviation of a latent channel is not above zero")
        device = next(self.parameters()).device
        self.latents_mean, self.latents_std = new_mean.to(device), new_std.to(device)


class Encoder(_Normalised):
    """Video to normalised latents."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__(config.z_dim)
        self.config = config
        self.encoder = EncoderStack(config)
        self.conv1 = nn.Conv3d(2 * config.z_dim, 2 * config.z_dim, kernel_size=1)

    def forward(self, video: Tensor, *, piece_latents: int = 1) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latents, not normalised, (B, C, n, H/16, W/16) each; see `encode`."""
        if video.shape[3] % SPACE_FACTOR or video.shape[4] % SPACE_FACTOR:
            raise ValueError(f"a video of {video.shape[3]}×{video.shape[4]} pixels: both must be multiples of 16")
        patches = cut_pixels(video.to(self.conv1.weight.dtype))
        caches: Caches | None = None
        moments = []
        for start, stop in _pieces(video.shape[2], piece_latents):
            piece = StreamPiece(caches)
            moments.append(self.conv1(self.encoder(patches[:, :, start:stop], piece)))
            caches = piece.caches
        mean, log_variance = torch.cat(moments, dim=2).chunk(2, dim=1)
        return mean, log_variance

    def encode(self, video: Tensor, *, piece_latents: int = 1) -> Tensor:
        """Normalised latents (B, C, n, H/16, W/16) of a video (B, 3, 4n-3, H, W).

        It runs in pieces of `piece_latents`; larger ones are faster and take more memory, the result is the same within
        rounding.
        """
        mean, _ = self.forward(video, piece_latents=piece_latents)
        return self.normalise(mean)

    def normalise(self, mean: Tensor) -> Tensor:
        """Latents as they are stored, from the mean of the posterior."""
        return (mean - self.latents_mean) / self.latents_std


class Decoder(_Normalised):
    """Normalised latents to video, piece by piece, with the stream's caches as an explicit value."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__(config.z_dim)
        self.config = config
        self.reach_latents = decoder_reach(config)
        self.conv2 = nn.Conv3d(config.z_dim, config.z_dim, kernel_size=1)
        self.decoder = DecoderStack(config)

    def forward(
        self, latents: Tensor, state: DecoderState | None = None, *, piece_latents: int = 1
    ) -> tuple[Tensor, DecoderState]:
        """Frames that are not clamped, for training; see `decode`."""
        z = self.conv2((latents * self.latents_std + self.latents_mean).to(self.conv2.weight.dtype))
        caches = None if state is None else state.caches
        frames = []
        for part in z.split(piece_latents, dim=2):
            piece = StreamPiece(caches)
            frames.append(join_pixels(self.decoder(part, piece)))
            caches = piece.caches
        assert caches is not None
        return torch.cat(frames, dim=2), DecoderState(caches=caches)

    def decode(
        self, latents: Tensor, state: DecoderState | None = None, *, piece_latents: int = 1
    ) -> tuple[Tensor, DecoderState]:
        """Frames (B, 3, 4n, H, W) in [-1, 1] of latents (B, C, n, H/16, W/16), and the next state.

        `state` is the one after the latents before these; None starts a stream, which gives 4n-3 frames. It is not
        changed. With pieces of one latent, frames have the same bits however a stream is split over calls; larger
        pieces are faster, and equal within rounding.
        """
        frames, state = self.forward(latents, state, piece_latents=piece_latents)
        return frames.clamp(-1, 1), state


class EncoderStack(nn.Module):
    """The encoder's layers, on pixel patches (B, 12, T, H/2, W/2)."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = config.encoder_widths
        self.conv1 = CausalConv3d(PATCH_CHANNELS, widths[0])
        time = (*config.temporal_downsample, False)
        self.downsamples = StreamSequential(
            [
                DownStage(
                    widths[i],
                    widths[i + 1],
                    blocks=config.num_res_blocks,
                    space=i + 1 < len(time),
                    time=time[i],
                )
                for i in range(len(time))
            ]
        )
        self.middle = middle(widths[-1])
        self.head = head(widths[-1], 2 * config.z_dim)

    def forward(self, x: Tensor, piece: StreamPiece) -> Tensor:
        for module in (self.conv1, self.downsamples, self.middle, self.head):
            x = module(x, piece)
        return x


class DecoderStack(nn.Module):
    """The decoder's layers, to pixel patches (B, 12, T, H/2, W/2)."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        widths = config.decoder_widths
        self.conv1 = CausalConv3d(config.z_dim, widths[0])
        self.middle = middle(widths[0])
        time = (*reversed(config.temporal_downsample), False)
        self.upsamples = StreamSequential(
            [
                UpStage(
                    widths[i],
                    widths[i + 1],
                    blocks=config.num_res_blocks + 1,
                    space=i + 1 < len(time),
                    time=time[i],
                )
                for i in range(len(time))
            ]
        )
        self.head = head(widths[-1], PATCH_CHANNELS)

    def forward(self, x: Tensor, piece: StreamPiece) -> Tensor:
        for module in (self.conv1, self.middle, self.upsamples, self.head):
            x = module(x, piece)
        return x


def decoder_reach(config: VAEConfig) -> int:
    """How many latents before a latent its frames depend on.

    Follows the first frame of latent 0 from the output back to the latents: each causal convolution of kernel 3 looks
    two frames further back, each doubling of time halves the index.
    """
    stage_frames = 2 * 2 * (config.num_res_blocks + 1)
    index = -2
    for doubles in (False, *config.temporal_downsample):
        if doubles:
            index = index // 2 - 2
        index -= stage_frames
    middle_frames = 2 * 2 * 2
    return -(index - middle_frames - 2)


def cut_pixels(video: Tensor) -> Tensor:
    """(B, 3, T, H, W) to (B, 12, T, H/2, W/2); channels in the order (colour, column, row)."""
    x = split_dim(split_dim(video, 4, (-1, PIXEL_PATCH)), 3, (-1, PIXEL_PATCH))
    return x.permute(0, 1, 6, 4, 2, 3, 5).flatten(1, 3)


def join_pixels(patches: Tensor) -> Tensor:
    """The inverse of `cut_pixels`."""
    x = split_dim(patches, 1, (-1, PIXEL_PATCH, PIXEL_PATCH))
    return x.permute(0, 1, 4, 5, 3, 6, 2).flatten(5, 6).flatten(3, 4)


def _pieces(frames: int, piece_latents: int) -> list[tuple[int, int]]:
    """Spans of frames that hold `piece_latents` latents each; the stream's first latent is one frame."""
    if frames % TIME_FACTOR != 1:
        raise ValueError(f"a video of {frames} frames: the encoder takes 1, 5, 9, …")
    latents = (frames - 1) // TIME_FACTOR + 1
    bounds = [max(0, TIME_FACTOR * i - TIME_FACTOR + 1) for i in range(0, latents, piece_latents)]
    return list(zip(bounds, [*bounds[1:], frames], strict=True))


def _per_channel(values: Sequence[float] | Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1, 1)
