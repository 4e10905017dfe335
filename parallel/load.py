"""A preset to what each of several ranks runs of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..model.preset import Preset
from ..model.rollout import Rollout, RolloutParts
from ..model.transformer import WorldTransformer
from ..model.weights import choose_expert, load_encoder, load_experts, load_text_encoder, torch_dtype
from .apply import SequenceSharding, shard_attention, sharded_parts
from .planner import Layout, Placement
from .ranks import Ranks
from .relay import Relay, RelayRollout


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shared:
    """What one of several ranks holds of a preset."""

    rollout: Rollout | RelayRollout
    experts: Mapping[str, WorldTransformer]
    """The transformers of this rank."""


def load_sharded_rollout(preset: Preset, ranks: Ranks, *, head_chunks: int = 1) -> Rollout:
    """The rollout of `preset` over all ranks, which have to call it together and with the same clips.

    Every rank reads its own weights: the transformers, and on the first rank alone both encoders. Raises ConfigError,
    CheckpointError or DoesNotFit.
    """
    rollout, _ = _load(preset, SequenceSharding.of(preset, ranks), ranks, None, head_chunks)
    return rollout


def load_layout(preset: Preset, ranks: Ranks, layout: Layout, *, head_chunks: int = 1) -> Shared:
    """This rank's share of `preset` as `layout` has it, on as many ranks as that has. Raises as above."""
    assert layout.gpus == ranks.size, "a layout is for all ranks"
    if layout.text_on_cpu:
        preset = replace(preset, text_device="cpu")
    if layout.placement is not Placement.PIPELINED:
        rollout, experts = _load(preset, SequenceSharding.of(preset, ranks), ranks, None, head_chunks)
        return Shared(rollout=rollout, experts=experts)
    front, back = layout.stages
    relay = Relay.of(ranks, front=front.ranks)
    sharding = SequenceSharding.of(preset, relay.side)
    mine = (front if relay.is_front else back).experts
    rollout, experts = _load(preset, sharding, ranks, mine, head_chunks)
    return Shared(rollout=RelayRollout(preset, rollout, relay, sharding), experts=experts)


def _load(
    preset: Preset, sharding: SequenceSharding, everyone: Ranks, names: Collection[str] | None, head_chunks: int
) -> tuple[Rollout, dict[str, WorldTransformer]]:
    experts = load_experts(preset, everyone.device, names)
    for model in experts.values():
        shard_attention(model, sharding, head_chunks=head_chunks)
    encode_text, encode_image = _encoders(preset, everyone.device) if everyone.is_first else (_elsewhere, _elsewhere)
    parts = RolloutParts(
        expert_for=choose_expert(preset, experts) if names is None else _choose_among(preset, experts),
        encode_text=encode_text,
        encode_image=encode_image,
        device=everyone.device,
        dtype=torch_dtype(preset),
        camera_cache=preset.camera_cache,
    )
    return Rollout(preset.sampling, sharded_parts(parts, sharding, encoding=everyone)), experts


def _choose_among(preset: Preset, experts: Mapping[str, WorldTransformer]) -> Callable[[int, str], WorldTransformer]:
    """As `choose_expert`, of a mixture that has its other experts elsewhere."""
    assert preset.mixture is not None, "only a mixture is split"
    name_for = preset.mixture.expert_for
    return lambda timestep, viewpoint: experts[name_for(timestep, viewpoint)]


def _encoders(preset: Preset, device: torch.device) -> tuple[Callable[[str], Tensor], Callable[[Tensor], Tensor]]:
    text = load_text_encoder(preset, device if preset.text_device == "same" else "cpu")
    return lambda prompt: text.encode([prompt])[0], load_encoder(preset, device).encode


def _elsewhere(what: object) -> Tensor:
    raise AssertionError("the first rank encodes")
