"""A preset's networks with their weights: loaded where it names a directory, drawn from its seed where it does not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import torch
from torch import nn

from .assembly import assembly_for
from .attention_e4m3 import require_e4m3_attention
from .checkpoint import Assemble, Materialise, load_text, load_transformer, load_vae_decoder, load_vae_encoder
from .init import fill_with_repeated_noise, init_weights
from .locations import weights_directory
from .mixture import LOW_NOISE, ExpertMixture
from .precision import Precision, require_precision
from .preset import Preset
from .rollout import RolloutParts
from .text import TextEncoder, UMT5Encoder
from .tokenizer import Tokenizer, byte_pipeline
from .transfer import to_device
from .transformer import WorldTransformer
from .transformer_config import TransformerConfig
from .vae import Decoder, Encoder

FAST_INIT_PARAMETERS = 200_000_000
"""Random weights of larger transformers are drawn on the GPU they run on, not on the CPU; those of larger text encoders
are one run of noise, repeated."""

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def load_parts(preset: Preset, device: torch.device | str) -> RolloutParts:
    """All that a rollout of `preset` needs. Raises CheckpointError or ConfigError if it cannot be loaded."""
    device = torch.device(device)
    encoder = load_encoder(preset, device)
    text = load_text_encoder(preset, device if preset.text_device == "same" else "cpu")
    return RolloutParts(
        expert_for=choose_expert(preset, load_experts(preset, device)),
        encode_text=lambda prompt: to_device(text.encode([prompt])[0], device),
        encode_image=encoder.encode,
        device=device,
        dtype=torch_dtype(preset),
        camera_cache=preset.camera_cache,
    )


def expert_names(preset: Preset) -> tuple[str, ...]:
    """The preset's transformers, by the directories of their weights: one, or those of its mixture."""
    return (preset.weights.transformer_dir,) if preset.mixture is None else preset.mixture.experts


def load_experts(
    preset: Preset,
    device: torch.device | str,
    names: Collection[str] | None = None,
    *,
    on_weights: Callable[[int], None] = lambda count: None,
) -> dict[str, WorldTransformer]:
    """The transformers of these names, or all of them. `on_weights` hears how many numbers have been loaded, part by
    part. Raises CheckpointError or ConfigError."""
    return {
        name: _load_expert(preset, name, torch.device(device), seed_offset=index, on_weights=on_weights)
        for index, name in enumerate(expert_names(preset))
        if names is None or name in names
    }


def choose_expert(preset: Preset, experts: Mapping[str, WorldTransformer]) -> Callable[[int, str], WorldTransformer]:
    """Which of the preset's `experts` runs at a timestep in [0, 1000) for a viewpoint."""
    if preset.mixture is None:
        (model,) = experts.values()
        return lambda timestep, viewpoint: model
    return ExpertMixture(preset.mixture, experts).expert_for


def load_encoder(preset: Preset, device: torch.device | str) -> Encoder:
    """The VAE's encoder."""
    directory = weights_directory(preset)
    if directory is None:
        return _random(lambda: Encoder(preset.vae), preset, device)
    return load_vae_encoder(directory / preset.weights.vae_file, preset.vae, device=device, dtype=torch_dtype(preset))


def load_decoder(preset: Preset, device: torch.device | str) -> Decoder:
    """The VAE's decoder, pruned as the preset says."""
    directory = weights_directory(preset)
    if directory is None:
        return _random(lambda: Decoder(preset.decoder), preset, device)
    path = directory / preset.weights.decoder_path
    return load_vae_decoder(path, preset.decoder, device=device, dtype=torch_dtype(preset))


def load_text_encoder(preset: Preset, device: torch.device | str) -> TextEncoder:
    """The text encoder with its tokenizer, which has one token a byte where there are no weights."""
    directory = weights_directory(preset)
    if directory is None:
        network = _random_text(preset, torch.device(device))
        return TextEncoder(network, Tokenizer(byte_pipeline(), preset.text.text_len))
    network = load_text(directory / preset.weights.text_file, preset.text, device=device, dtype=torch_dtype(preset))
    tokenizer = Tokenizer.from_directory(directory / preset.weights.tokenizer_dir, preset.text.text_len)
    return TextEncoder(network, tokenizer)


def torch_dtype(preset: Preset) -> torch.dtype:
    """The preset's dtype."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[preset.dtype]


def _load_expert(
    preset: Preset, name: str, device: torch.device, *, seed_offset: int, on_weights: Callable[[int], None]
) -> WorldTransformer:
    dtype = torch_dtype(preset)
    _check_device(preset.precision, device)
    assemble = _counted(assembly_for(preset.precision, device, dtype), on_weights)
    directory = weights_directory(preset)
    if directory is not None:
        model = load_transformer(directory / name, device=device, dtype=dtype, assemble=assemble)
        replace(preset, transformer=model.config)  # Raises ConfigError if it does not go with the preset's other parts.
        return model
    assert preset.transformer is not None, "a preset with engine 'rollout' has a transformer"
    config = replace(preset.transformer, action_config=None) if name == LOW_NOISE else preset.transformer
    return _random_transformer(config, dtype, preset.weights.seed + seed_offset, device, assemble)


def _counted(assemble: Assemble, on_weights: Callable[[int], None]) -> Assemble:
    def counted(model: WorldTransformer, materialise: Materialise) -> None:
        def fill(part: nn.Module, prefix: str) -> None:
            materialise(part, prefix)
            on_weights(sum(parameter.numel() for parameter in part.parameters()))

        assemble(model, fill)

    return counted


def _check_device(precision: Precision, device: torch.device) -> None:
    """Raises DoesNotFit or ConfigError where `device` cannot run it."""
    require_precision(precision, torch.cuda.get_device_capability(device) if device.type == "cuda" else None)
    if precision is Precision.FP8_ATTENTION:
        require_e4m3_attention(device)


def _random_transformer(
    config: TransformerConfig, dtype: torch.dtype, seed: int, device: torch.device, assemble: Assemble
) -> WorldTransformer:
    with torch.device("meta"):
        model = WorldTransformer(config).to(dtype).eval()
    large = sum(parameter.numel() for parameter in model.parameters()) > FAST_INIT_PARAMETERS

    def materialise(part: nn.Module, prefix: str) -> None:
        _give_memory(part, device)
        init_weights(part, seed, fast=large and device.type == "cuda", prefix=prefix)

    assemble(model, materialise)
    return model


def _random_text(preset: Preset, device: torch.device) -> UMT5Encoder:
    with torch.device("meta"):
        network = UMT5Encoder(preset.text).to(torch_dtype(preset)).eval()
    if sum(parameter.numel() for parameter in network.parameters()) <= FAST_INIT_PARAMETERS:
        return _random(lambda: UMT5Encoder(preset.text), preset, device)
    _give_memory(network, device)
    fill_with_repeated_noise(network, preset.weights.seed)
    return network


def _give_memory(module: nn.Module, device: torch.device) -> None:
    """As `Module.to_empty`, but by shapes alone: `torch.empty_like` of a tensor on the meta device loads SymPy."""
    tensors = module.state_dict().items()
    empty = {name: torch.empty(tensor.shape, dtype=tensor.dtype, device=device) for name, tensor in tensors}
    module.load_state_dict(empty, assign=True)


def _random(build: Callable[[], ModuleT], preset: Preset, device: torch.device | str) -> ModuleT:
    """A module with torch's own initial weights from the preset's seed; they differ between kinds of devices."""
    device = torch.device(device)
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda), _default_dtype(torch_dtype(preset)), device:
        torch.manual_seed(preset.weights.seed)
        return build().eval()


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
