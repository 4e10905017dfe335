"""A preset to the rollout that runs it."""

from __future__ import annotations

import torch

from ..errors import ConfigError, DoesNotFit
from .preset import Preset
from .rollout import Rollout
from .weights import load_parts


def load_rollout(preset: Preset, device: torch.device | str) -> Rollout:
    """The rollout of `preset` with its weights on `device`. Raises ConfigError or CheckpointError if it cannot be."""
    if preset.engine != "rollout":
        raise ConfigError(f"preset {preset.name!r} has no model to load", hint="Use make_engine and make_decoder.")
    return Rollout(preset.sampling, load_parts(preset, device))


def resolve_device(name: str) -> torch.device:
    """The torch device called `name`; 'auto' is the first GPU if there is one, else the CPU.

    Raises ConfigError for a name that torch does not know, DoesNotFit for a GPU that is not there.
    """
    if name == "auto":
        return torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"there is no device {name!r}", hint="Use 'auto', 'cpu' or 'cuda:N'.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DoesNotFit(
            f"device {name!r} is asked for, this machine has {torch.cuda.device_count()} CUDA GPUs",
            hint="Use 'cpu', or 'auto' to take what is there.",
        )
    return device
