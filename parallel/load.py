"""A preset to the rollout that several ranks run together."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..model.preset import Preset
from ..model.rollout import Rollout, RolloutParts
from ..model.weights import choose_expert, load_encoder, load_experts, load_text_encoder, torch_dtype
from .apply import SequenceSharding, shard_attention, sharded_parts
from .ranks import Ranks


def load_sharded_rollout(preset: Preset, ranks: Ranks, *, head_chunks: int = 1) -> Rollout:
    """The rollout of `preset` over all ranks, which have to call it together and with the same clips.

    Every rank reads its own weights: the transformers, and on the first rank alone both encoders. Raises ConfigError,
    CheckpointError or DoesNotFit.
    """
    sharding = SequenceSharding.of(preset, ranks)
    experts = load_experts(preset, ranks.device)
    for model in experts.values():
        shard_attention(model, sharding, head_chunks=head_chunks)
    encode_text, encode_image = _encoders(preset, ranks.device) if ranks.is_first else (_elsewhere, _elsewhere)
    parts = RolloutParts(
        expert_for=choose_expert(preset, experts),
        encode_text=encode_text,
        encode_image=encode_image,
        device=ranks.device,
        dtype=torch_dtype(preset),
        camera_cache=preset.camera_cache,
    )
    return Rollout(preset.sampling, sharded_parts(parts, sharding))


def _encoders(preset: Preset, device: torch.device) -> tuple[Callable[[str], Tensor], Callable[[Tensor], Tensor]]:
    text = load_text_encoder(preset, device if preset.text_device == "same" else "cpu")
    return lambda prompt: text.encode([prompt])[0], load_encoder(preset, device).encode


def _elsewhere(what: object) -> Tensor:
    raise AssertionError("the first rank encodes")
