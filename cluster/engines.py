"""The engine and the decoder that a preset asks for: real ones, or the mock's, which import no torch."""

from __future__ import annotations

from ..model.preset import Preset
from .engine import Decoder, Engine
from .mock import MockDecoder, MockEngine


def make_engine(preset: Preset, device: str = "auto") -> Engine:
    """An engine of `preset` with its weights on `device` ('cpu', 'cuda:0', …; 'auto' takes a GPU if there is one).

    Raises ConfigError or CheckpointError when its weights cannot be loaded.
    """
    if preset.engine == "mock":
        return MockEngine(preset)
    from .rollout_engine import RolloutEngine

    return RolloutEngine(preset, device)


def make_decoder(preset: Preset, device: str = "auto") -> Decoder:
    """The decoder of `preset`; see `make_engine`."""
    if preset.engine == "mock":
        return MockDecoder(preset)
    from .rollout_engine import VaeDecoder

    return VaeDecoder(preset, device)
