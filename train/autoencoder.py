"""The VAE's two halves as one network to train."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..model.vae import Decoder, Encoder
from ..model.vae_config import VAEConfig

WHOLE = 2**30
"""Latents of a piece when a clip is coded in one go."""


class Autoencoder(nn.Module):
    """Encoder and decoder; latent statistics stay 0 and 1 while it trains."""

    def __init__(self, config: VAEConfig) -> None:
        super().__init__()
        self.config = config
        self.coder = Encoder(config)
        self.decoder = Decoder(config)
        for half in (self.coder, self.decoder):
            half.set_latent_stats([0.0] * config.z_dim, [1.0] * config.z_dim)
        start_weights(self)

    def forward(self, video: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction (B, 3, T, H, W) and KL divergence per latent of a video, with `noise` for the posterior."""
        mean, log_variance = self.coder(video, piece_latents=WHOLE)
        log_variance = log_variance.float().clamp(-20.0, 10.0)
        sample = mean + (0.5 * log_variance).exp().to(mean.dtype) * noise.to(mean.dtype)
        made, _ = self.decoder(sample, piece_latents=WHOLE)
        divergence = 0.5 * (mean.float().square() + log_variance.exp() - 1.0 - log_variance).mean()
        return made, divergence

    @torch.no_grad()
    def reconstruct(self, video: Tensor, *, piece_latents: int = 4) -> Tensor:
        """The video (B, 3, T, H, W) after one pass through the posterior's mean, as a stream in pieces."""
        latents = self.coder.encode(video, piece_latents=piece_latents)
        made, _ = self.decoder.decode(latents, piece_latents=piece_latents)
        return made

    def latent_shape(self, video: Tensor) -> tuple[int, ...]:
        batch, _, frames, height, width = video.shape
        return batch, self.config.z_dim, (frames - 1) // 4 + 1, height // 16, width // 16


@torch.no_grad()
def start_weights(network: nn.Module) -> None:
    """He initialisation; the last convolution of a residual block is small, so that blocks start near identity."""
    for name, module in network.named_modules():
        weight = getattr(module, "weight", None)
        if not isinstance(weight, nn.Parameter) or weight.ndim < 4:
            continue
        fan_in = weight[0].numel()
        is_last = name.endswith("residual.6") or name.endswith("proj")
        weight.normal_(0.0, (0.1 if is_last else 1.0) * fan_in**-0.5)
        bias = getattr(module, "bias", None)
        if isinstance(bias, nn.Parameter):
            bias.zero_()
