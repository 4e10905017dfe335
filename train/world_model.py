"""Transformer and text encoder as one network that learns: noisy clips to velocities, and noise to clips."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..model.conditioning import Conditioning
from ..model.preset import Preset
from ..model.sampler import TIMESTEPS, unipc_schedule
from ..model.text import UMT5Encoder
from ..model.tokenizer import PAD_ID
from ..model.transformer import WorldTransformer
from .clips import Clips, condition


class WorldModel(nn.Module):
    """What the base stage trains and the distillation copies."""

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        assert preset.transformer is not None, "training needs a preset with a transformer"
        self.transformer = WorldTransformer(preset.transformer)
        self.text = UMT5Encoder(preset.text)

    def context(self, tokens: Tensor) -> Tensor:
        """Text states (B, L, text_dim) of tokens (B, L); rows behind a prompt's end are zero, as in the model."""
        mask = tokens != PAD_ID
        states: Tensor = self.text(tokens, mask)
        return states * mask[:, :, None]

    def prepare(self, clips: Clips) -> Conditioning:
        return condition(self.transformer, clips, self.context(clips.tokens))

    def velocity(self, clips: Clips, conditioning: Conditioning, noisy: Tensor, sigma: Tensor) -> Tensor:
        """Velocity (B, C, N, h, w), float32, of new latents `noisy` at noise levels `sigma` (B,)."""
        given = clips.latents[:, :, : clips.known]
        times = torch.stack([torch.zeros_like(sigma), sigma * TIMESTEPS], dim=1)
        dtype = self.transformer.dtype
        out: Tensor = self.transformer(
            torch.cat([given, noisy], dim=2).to(dtype),
            timesteps=times,
            segments=clips.segments(self.transformer.config.patch_size),
            conditioning=conditioning,
            memory=None if clips.memory is None else clips.memory.to(dtype),
        )
        return out[:, :, clips.known :].float()

    def forward(self, clips: Clips, noisy: Tensor, sigma: Tensor) -> Tensor:
        return self.velocity(clips, self.prepare(clips), noisy, sigma)


_ZERO_AT_START = ("time_projection.1", "head.head", "cam_scale_layer", "cam_shift_layer", "proj_mouse", "proj_keyboard")


@torch.no_grad()
def start_weights(model: nn.Module, generator: torch.Generator) -> None:
    """Draws the weights that training starts from, in place.

    Whatever writes to the residual stream starts at zero (the gates through `time_projection`, as in adaLN-Zero,
    Peebles & Xie 2023, arXiv 2212.09748): every block begins as the identity of its normalised input.
    """
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, nn.Embedding):
            module.weight.copy_(0.5 * torch.randn(module.weight.shape, generator=generator))
        elif isinstance(weight, nn.Parameter) and weight.ndim >= 2:
            gain = 0.0 if name.endswith(_ZERO_AT_START) else weight[0].numel() ** -0.5
            weight.copy_(gain * torch.randn(weight.shape, generator=generator))
            bias = getattr(module, "bias", None)
            if isinstance(bias, nn.Parameter):
                bias.zero_()


def add_noise(clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """(1 - σ) clean + σ noise for latents (B, C, T, h, w) and levels (B,)."""
    level = sigma.view(-1, 1, 1, 1, 1)
    return torch.lerp(clean, noise, level)


def shifted(uniform: Tensor, shift: float) -> Tensor:
    """Noise levels from uniform numbers, as the sampler's schedule shifts them."""
    return shift * uniform / (1.0 + (shift - 1.0) * uniform)


@torch.no_grad()
def sample(
    model: WorldModel,
    clips: Clips,
    noise: Tensor,
    *,
    steps: int,
    shift: float,
    guidance: float = 1.0,
    null_tokens: Tensor | None = None,
) -> Tensor:
    """New latents (B, C, N, h, w) of clips, by the solver that serves them."""
    schedule = unipc_schedule(steps, shift)
    branches = [(clips, model.prepare(clips))]
    if guidance > 1.0 and null_tokens is not None:
        everywhere = torch.ones_like(clips.start, dtype=torch.bool)
        null = clips.without_memory().nulled(everywhere, null_tokens)
        branches.append((null, model.prepare(null)))
    state = schedule.start(noise)
    for weights in schedule.steps:
        sigma = torch.full_like(clips.start, weights.timestep, dtype=torch.float32) / TIMESTEPS
        velocity, *rest = (model.velocity(c, prepared, state.sample, sigma) for c, prepared in branches)
        if rest:
            velocity = rest[0] + guidance * (velocity - rest[0])
        state = schedule.advance(state, velocity)
    return state.sample
