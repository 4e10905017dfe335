"""A preset to what each of several ranks runs of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..model.mixture import LOW_NOISE
from ..model.preset import Preset
from ..model.rollout import Rollout, RolloutParts
from ..model.transformer import WorldTransformer
from ..model.weights import choose_expert, load_encoder, load_experts, load_text_encoder, torch_dtype
from .apply import SequenceSharding, shard_attention, sharded_parts
from .loading import loading
from .planner import Layout, Placement
from .ranks import Ranks
from .relay import Relay, RelayRollout
from .slot import ExpertSlot, choose_with_slot, host_copies


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shared:
    """What one of several ranks holds of a preset."""

    rollout: Rollout | RelayRollout
    experts: Mapping[str, WorldTransformer]
    """The transformers of this rank."""


def load_layout(preset: Preset, ranks: Ranks, layout: Layout) -> Shared:
    """This rank's share of `preset` as `layout` has it. As many ranks as that has call it together.

    Each reads its own weights: its transformers, and on the first rank alone both encoders. Raises ConfigError,
    CheckpointError or DoesNotFit.
    """
    assert layout.gpus == ranks.size, "a layout is for all ranks"
    if layout.text_on_cpu:
        preset = replace(preset, text_device="cpu")
    if layout.placement is not Placement.PIPELINED:
        (stage,) = layout.stages
        sharding = SequenceSharding.of(preset, ranks)
        rollout, experts = _load(preset, sharding, ranks, stage.experts, layout.cold)
        return Shared(rollout=rollout, experts=experts)
    front, back = layout.stages
    relay = Relay.of(ranks, front=front.ranks)
    sharding = SequenceSharding.of(preset, relay.side)
    mine, cold = (front.experts, layout.cold) if relay.is_front else (back.experts, ())
    rollout, experts = _load(preset, sharding, ranks, mine, cold)
    return Shared(rollout=RelayRollout(preset, rollout, relay, sharding), experts=experts)


def _load(
    preset: Preset,
    sharding: SequenceSharding,
    everyone: Ranks,
    names: Collection[str],
    cold: Sequence[str],
) -> tuple[Rollout, dict[str, WorldTransformer]]:
    """A rollout with the experts of these names on the device, and those that are `cold` on the host."""
    # What will wait on the host comes by way of the device: only there it gets its form. So it goes first.
    with loading(preset, [*cold, *names], everyone) as count:
        waiting = {
            name: host_copies(load_experts(preset, everyone.device, [name], on_weights=count)[name]) for name in cold
        }
        experts = load_experts(preset, everyone.device, names, on_weights=count)
    for model in experts.values():
        shard_attention(model, sharding)
    encode_text, encode_image = _encoders(preset, everyone.device) if everyone.is_first else (_elsewhere, _elsewhere)
    parts = RolloutParts(
        expert_for=_choice(preset, experts, waiting),
        encode_text=encode_text,
        encode_image=encode_image,
        device=everyone.device,
        dtype=torch_dtype(preset),
        camera_cache=preset.camera_cache,
    )
    return Rollout(preset.sampling, sharded_parts(parts, sharding, encoding=everyone)), experts


def _choice(
    preset: Preset, experts: Mapping[str, WorldTransformer], waiting: Mapping[str, list[Tensor]]
) -> Callable[[int, str], WorldTransformer]:
    """Which network runs at a timestep for a viewpoint; of a mixture, others may be on other ranks."""
    if preset.mixture is None:
        return choose_expert(preset, experts)
    name_for = preset.mixture.expert_for
    if not waiting:
        return lambda timestep, viewpoint: experts[name_for(timestep, viewpoint)]
    # Those that wait take turns with the one high-noise expert that is on the device.
    place = next(name for name in experts if name != LOW_NOISE)
    slot = ExpertSlot(place, experts[place])
    for name, weights in waiting.items():
        slot.add(name, weights)
    return choose_with_slot(name_for, {name: model for name, model in experts.items() if name != place}, slot)


def _encoders(preset: Preset, device: torch.device) -> tuple[Callable[[str], Tensor], Callable[[Tensor], Tensor]]:
    text = load_text_encoder(preset, device if preset.text_device == "same" else "cpu")
    return lambda prompt: text.encode([prompt])[0], load_encoder(preset, device).encode


def _elsewhere(what: object) -> Tensor:
    raise AssertionError("the first rank encodes")
