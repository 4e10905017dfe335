"""Past mistakes of the model, put back into its inputs so that it learns to correct itself.

The buffer keeps δ = x̂ − x, what the model predicted less what was true, for whole clips of new latents. A rollout feeds
the model its own latents; adding γδ to clean ones, γ uniform in [0, 1], shows it such inputs in training.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorConfig:
    """How often mistakes are put back."""

    clips: int = 1024
    """Size of the buffer."""
    given: float = 0.5
    """Share of clips whose memory, past or image gets mistakes."""
    current: float = 0.25
    """Share of clips whose new latents do."""
    current_sigma_min: float = 0.3
    """Least noise level at which new latents do: below it the way back is too steep to learn from."""


class ErrorBuffer:
    """A ring of mistakes (clips, C, N, h, w) on the device, which also counts them: the host need not know."""

    def __init__(self, config: ErrorConfig, shape: tuple[int, ...], generator: torch.Generator) -> None:
        self.config = config
        self._generator = generator
        self._ring = torch.zeros(config.clips, *shape, device=generator.device)
        self._put = torch.zeros((), dtype=torch.long, device=generator.device)

    def put(self, mistakes: Tensor) -> None:
        """Keeps mistakes (n, C, N, h, w), n no more than the buffer's size, in the place of the oldest."""
        places = (self._put + torch.arange(len(mistakes), device=mistakes.device)) % self.config.clips
        self._ring.index_copy_(0, places, mistakes.detach().to(self._ring))
        self._put += len(mistakes)

    def draw(self, count: int, frames: int, *, consecutive: bool, share: float) -> Tensor:
        """γδ (count, C, frames, h, w): of successive latents, or each latent's from a clip and place of its own; zeros
        while there are none."""
        span = self._ring.shape[2]
        shape = (count, 1) if consecutive else (count, frames)
        # An empty ring holds zeros.
        filled = self._put.clamp(1, self.config.clips)
        clip = (self._random(*shape) * filled).long().clamp(max=self.config.clips - 1)
        if consecutive:
            first = self._random(count, 1).mul(span - frames + 1).long()
            place = first + torch.arange(frames, device=self._ring.device)
        else:
            place = self._random(count, frames).mul(span).long()
        drawn = self._ring[clip.expand(count, frames), :, place].movedim(1, 2)
        size = self._random(count) * (self._random(count) < share)
        return drawn * size.view(-1, 1, 1, 1, 1)

    def _random(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._generator, device=self._ring.device)
