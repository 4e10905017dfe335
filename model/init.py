"""Seeded weights for models that are not trained."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor, nn

# Layers that write to the residual stream start small, so that it keeps its size through all blocks.
_GAINS = {
    "self_attn.o": 0.5,
    "cross_attn.o": 0.25,
    "ffn.2": 0.5,
    "cam_scale_layer": 0.05,
    "cam_shift_layer": 0.05,
    "proj_mouse": 0.25,
    "proj_keyboard": 0.25,
}
"""Standard deviation of a layer's weights, relative to 1/√fan-in."""
NOISE_RUN = 1 << 20


@torch.no_grad()
def init_weights(model: nn.Module, seed: int, *, fast: bool = False, prefix: str = "") -> None:
    """Fill the parameters of a materialised transformer, or of its part whose names begin with `prefix`, in place.

    Every parameter has a generator of its own, keyed by (seed, name): its values depend on no order, no other
    parameter and no device. With `fast` they are drawn where the parameter lies, and differ between kinds of devices.
    """
    for name, parameter in model.named_parameters(prefix.removesuffix(".")):
        device = parameter.device if fast else torch.device("cpu")
        parameter.copy_(_draw(name, parameter.shape, torch.Generator(device).manual_seed(_key(seed, name))))


@torch.no_grad()
def fill_with_repeated_noise(module: nn.Module, seed: int) -> None:
    """Seeded weights at the speed of memory, in place: norms of 1, and elsewhere one run of noise again and again, of
    the size that keeps a layer's output as large as its input. For networks that only have to take their time."""
    noise = torch.randn(NOISE_RUN, generator=torch.Generator().manual_seed(seed))
    for parameter in module.parameters():
        if parameter.dim() == 1:
            parameter.fill_(1.0)
        else:
            run = (noise / math.sqrt(parameter.shape[-1])).to(parameter)
            for part in torch.split(parameter.view(-1), NOISE_RUN):
                part.copy_(run[: len(part)])


def _draw(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    layer, _, kind = name.rpartition(".")
    if len(shape) == 1:  # biases, and the weights of norms
        return torch.full(shape, float(kind == "weight"), device=generator.device)
    fan_in = shape[-1] if kind == "modulation" else math.prod(shape[1:])
    gain = next((gain for suffix, gain in _GAINS.items() if layer.endswith(suffix)), 1.0)
    return torch.randn(shape, generator=generator, device=generator.device) * (gain / math.sqrt(fan_in))


def _key(seed: int, name: str) -> int:
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
