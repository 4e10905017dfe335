"""Does the 5B load, and run a first clip and a clip with memory, on one GPU? How long, how much memory?

    PYTHONPATH=typings python ops/bench/load_5b.py --json RESULT.json [--commit HASH] [--preset mg3-5b]

Random weights, drawn on the GPU in the preset's dtype; text states are random as well, since umT5-XXL costs the same
for every model. Both clips run twice: the first time with all that a process does once. Needs no Ray, PyAV or network.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from worldloom.model.attention import AttentionSite, choose_backend
from worldloom.model.clip import ClipInputs
from worldloom.model.init import init_weights
from worldloom.model.preset import Preset, load_preset
from worldloom.model.rehearsal import still_clips
from worldloom.model.rollout import Rollout, RolloutParts, video_to_frames
from worldloom.model.transformer import WorldTransformer
from worldloom.model.vae import Decoder, DecoderState, Encoder

PROMPT_TOKENS = 77
ROUNDS = ("first_time", "warm")
GIB = 1 << 30
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}

ModuleT = TypeVar("ModuleT", bound=nn.Module)
Result = TypeVar("Result")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--commit", default="", help="what was measured")
    parser.add_argument("--preset", default="mg3-5b")
    parser.add_argument("--device", default="cuda:0")
    options = parser.parse_args()
    figures = {"commit": options.commit, **measure(load_preset(options.preset), torch.device(options.device))}
    text = json.dumps(figures, indent=2)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(text + "\n", encoding="utf-8")
    print(text)


def measure(preset: Preset, device: torch.device) -> dict[str, Any]:
    """All figures. Times are seconds. Raises SystemExit if anything that was computed is not finite."""
    transformer, load_s = timed(device, lambda: build_transformer(preset, device))
    encoder = build(lambda: Encoder(preset.vae), preset, device)
    decoder = build(lambda: Decoder(preset.decoder), preset, device)
    weights_gib = memory_gib(device)
    rollout = Rollout(preset.sampling, parts_of(preset, transformer, encoder, device))
    rounds = {name: play(rollout, decoder, preset, device) for name in ROUNDS}
    return {
        "preset": preset.name,
        "size": [preset.video.height, preset.video.width],
        "dtype": preset.dtype,
        "steps": preset.sampling.steps,
        "decoder_pruning_rate": preset.decoder_pruning_rate,
        "parameters": {
            name: sum(parameter.numel() for parameter in module.parameters())
            for name, module in (("transformer", transformer), ("encoder", encoder), ("decoder", decoder))
        },
        "attention": attention_backend(transformer, device),
        "build_transformer_s": load_s,
        **rounds,
        "weights_gib": weights_gib,
        "peak_gib": torch.cuda.max_memory_allocated(device) / GIB if device.type == "cuda" else None,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "cuda": torch.version.cuda},
    }


def play(rollout: Rollout, decoder: Decoder, preset: Preset, device: torch.device) -> dict[str, Any]:
    """Both clips of one stream, denoised and decoded."""
    state, figures = None, {}
    for name, clip in zip(("first_clip", "memory_clip"), still_clips(preset), strict=True):
        figures[name], state = run_clip(rollout, decoder, clip, state, device)
    return figures


def run_clip(
    rollout: Rollout, decoder: Decoder, clip: ClipInputs, state: DecoderState | None, device: torch.device
) -> tuple[dict[str, Any], DecoderState]:
    """Figures of one clip, and the stream's state after it."""
    result, denoise_s = timed(device, partial(rollout.denoise, clip))
    (video, state), decode_s = timed(device, partial(decode, decoder, result.latents, state))
    frames, to_host_s = timed(device, partial(video_to_frames, video))
    check_finite("latents", result.latents)
    check_finite("frames", video)
    stages = {**result.timings, "denoise": denoise_s, "decode": decode_s, "frames_to_host": to_host_s}
    figures = {
        "stages_s": stages,
        "latents": {"mean": float(result.latents.mean()), "std": float(result.latents.std())},
        "frames": {"count": len(frames), "mean": float(frames.mean()), "std": float(frames.std())},
    }
    return figures, state


@torch.inference_mode()
def decode(decoder: Decoder, latents: Tensor, state: DecoderState | None) -> tuple[Tensor, DecoderState]:
    return decoder.decode(latents[None], state)


def build_transformer(preset: Preset, device: torch.device) -> WorldTransformer:
    assert preset.transformer is not None, "a preset with a model has a transformer"
    with torch.device("meta"):
        model = WorldTransformer(preset.transformer).to(DTYPES[preset.dtype])
    model.to_empty(device=device)
    init_weights(model, preset.weights.seed, fast=True)
    return model.eval()


def build(make: Callable[[], ModuleT], preset: Preset, device: torch.device) -> ModuleT:
    """A module with torch's own initial weights."""
    torch.manual_seed(preset.weights.seed)
    with device:
        return make().to(DTYPES[preset.dtype]).eval()


def parts_of(preset: Preset, transformer: WorldTransformer, encoder: Encoder, device: torch.device) -> RolloutParts:
    text_len = min(PROMPT_TOKENS, preset.text.text_len)
    context = torch.randn(text_len, preset.text.dim, generator=torch.Generator().manual_seed(0)) * 0.1
    return RolloutParts(
        expert_for=lambda timestep, viewpoint: transformer,
        encode_text=lambda prompt: context.to(device, transformer.dtype),
        encode_image=encoder.encode,
        device=device,
        dtype=transformer.dtype,
    )


def timed(device: torch.device, call: Callable[[], Result]) -> tuple[Result, float]:
    """The call's result and its seconds, with the device's work done."""
    synchronize(device)
    started = time.perf_counter()
    result = call()
    synchronize(device)
    return result, time.perf_counter() - started


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def memory_gib(device: torch.device) -> float | None:
    return torch.cuda.memory_allocated(device) / GIB if device.type == "cuda" else None


def attention_backend(transformer: WorldTransformer, device: torch.device) -> str:
    """The kernel that self-attention uses."""
    sample = torch.empty(1, 1, 1, transformer.config.head_dim, dtype=transformer.dtype, device=device)
    return str(choose_backend(AttentionSite.of(sample)))


def check_finite(what: str, values: Tensor) -> None:
    if not bool(torch.isfinite(values).all()):
        raise SystemExit(f"{what}: {int((~torch.isfinite(values)).sum())} of {values.numel()} are not finite")


if __name__ == "__main__":
    main()
