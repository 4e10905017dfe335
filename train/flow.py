"""Flow matching on clips: the velocity of the new latents at every noise level, with the model's own mistakes put into
what it is given (model specification, section 9)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..model.clip import NEW_LATENTS
from .clips import Clips
from .error_buffer import ErrorBuffer, ErrorConfig
from .stage import Workplace
from .world_model import WorldModel, add_noise, shifted


class FlowMatching:
    """The loss, with the error buffer that it fills and draws from."""

    def __init__(
        self,
        errors: ErrorConfig,
        place: Workplace,
        stream_shape: torch.Size,
        *,
        salt: str,
        levels: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        """`salt` tells stages' randomness apart; `levels` are the least and greatest noise level learned, shifted."""
        _, channels, _, height, width = stream_shape
        self.errors = errors
        self.shift = place.preset.sampling.shift
        # The inverse of the shift, so that levels within the range are as dense as in the whole.
        self.low, self.high = (level / (self.shift - (self.shift - 1.0) * level) for level in levels)
        self.generator = place.device_generator(salt)
        self.buffer = ErrorBuffer(errors, (channels, NEW_LATENTS, height, width), self.generator)

    def loss(self, model: WorldModel, clips: Clips) -> Tensor:
        """Mean squared error of the velocity of the new latents."""
        batch = len(clips.start)
        device = self.generator.device
        uniform = torch.rand(batch, generator=self.generator, device=device)
        sigma = shifted((self.low + (self.high - self.low) * uniform).clamp(min=1e-3), self.shift)
        noise = torch.randn(clips.new.shape, generator=self.generator, device=device)
        wrong = self._current_mistakes(clips, sigma)
        noisy = add_noise(clips.new + wrong, noise, sigma)
        seen = self._with_mistakes(clips)
        velocity = model(seen, noisy, sigma)
        level = sigma.view(-1, 1, 1, 1, 1)
        # The velocity that leads from the noisy sample to the true one, mistakes left behind.
        target = noise - clips.new + wrong * (1.0 - level) / level
        if clips.known > 1:
            self.buffer.put((noisy - level * velocity - clips.new).detach()[: self.errors.clips // 8])
        loss: Tensor = (velocity - target).square().mean()
        return loss

    def _current_mistakes(self, clips: Clips, sigma: Tensor) -> Tensor:
        """(B, C, N, h, w) for later clips; first clips have none."""
        if clips.known == 1:
            return torch.zeros_like(clips.new)
        drawn = self.buffer.draw(len(sigma), clips.new.shape[2], consecutive=True, share=self.errors.current)
        return drawn * (sigma >= self.errors.current_sigma_min).view(-1, 1, 1, 1, 1)

    def _with_mistakes(self, clips: Clips) -> Clips:
        """Past and memory with mistakes; a start image is encoded, not predicted, so it keeps its truth."""
        if clips.known == 1:
            return clips
        batch = len(clips.start)
        past = self.buffer.draw(batch, clips.known, consecutive=True, share=self.errors.given)
        latents = torch.cat([clips.latents[:, :, : clips.known] + past, clips.new], dim=2)
        memory = clips.memory
        if memory is not None:
            memory = memory + self.buffer.draw(batch, memory.shape[2], consecutive=False, share=self.errors.given)
        return replace(clips, latents=latents, memory=memory)
