"""How well a VAE draws long streams again, and what pruning its decoder costs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ...model.clip import NEW_LATENTS
from ...model.preset import Preset
from ...model.vae import Decoder, DecoderState, Encoder
from ...model.weights import load_decoder
from .metrics import psnr, sharpness, ssim, to_signed
from .moves import Moves
from .player import OnChunk
from .report import Aim, Picture, Report, Table, Tally, number
from .scenes import Scene

FRAMES = 133
"""Of a long stream: 34 latents."""
LATE = slice(93, 133)
"""Where errors that grow along a stream show."""
FULL = "full"
LEAST_LATE_PSNR = 30.0
"""dB of the VAE's own reconstruction late in long streams."""
_FRAMES_PER_PASS = 4 * NEW_LATENTS
_SHOWN = 8


def total_streams(worlds: int, decoders: int) -> int:
    """Streams that `measure` decodes."""
    return worlds * decoders


def pruned_decoders(preset: Preset, files: Mapping[float, str], device: torch.device) -> dict[str, Decoder]:
    """The full decoder and the pruned ones, by name.

    `files` gives the file of each pruned one in the weights' directory. Raises CheckpointError where one is missing.
    """
    decoders = {FULL: load_decoder(_with_decoder(preset, 0.0, ""), device)}
    for rate, file in files.items():
        decoders[f"{rate:.0%} pruned"] = load_decoder(_with_decoder(preset, rate, file), device)
    return decoders


def _with_decoder(preset: Preset, rate: float, file: str) -> Preset:
    return replace(preset, decoder_pruning_rate=rate, weights=replace(preset.weights, decoder_file=file))


@torch.inference_mode()
def measure(
    encoder: Encoder,
    decoders: Mapping[str, Decoder],
    walks: Sequence[tuple[Scene, Moves]],
    device: torch.device,
    on_stream: OnChunk,
) -> Report:
    """Encodes the true frames along each path of FRAMES rows, and decodes them by every decoder."""
    tally = Tally("decoder")
    pictures: dict[str, Picture] = {}
    for scene, path in walks:
        frames = scene.truth(path.poses())
        truth = to_signed(frames)
        latents = encoder.encode(truth.movedim(0, 1)[None].to(device), piece_latents=4).float()
        shown = [frames[_shown()].numpy()]
        full: Tensor | None = None
        for name, decoder in decoders.items():
            made, seconds = decode_stream(decoder, latents)
            full = made if full is None else full
            tally.add(name, **_figures(made, truth, full), ms_per_frame=1000 * seconds / _FRAMES_PER_PASS)
            shown.append(((made[_shown()].movedim(1, -1) + 1) * 127.5).round().byte().numpy())
            on_stream()
        pictures[f"decoder-{scene.seed}"] = shown
    table = Table(title="Held-out streams of 133 frames, drawn again", columns=_COLUMNS, rows=tally.rows())
    late = number(table.row(decoder=FULL)["psnr_late"])
    return Report(
        title="Decoder",
        settings={"worlds": [scene.seed for scene, _ in walks], "frames": FRAMES, "late": [LATE.start, LATE.stop - 1]},
        tables=[table],
        aims=[Aim(what="PSNR of the VAE late in long streams, dB", value=late, limit=LEAST_LATE_PSNR)],
        pictures=pictures,
    )


_COLUMNS = {
    "decoder": "decoder", "psnr": "PSNR", "ssim": "SSIM", "psnr_late": "PSNR, frames 93–132", "ssim_late": "SSIM there",
    "sharpness": "sharpness (truth = 1)", "psnr_full": "PSNR to the full decoder", "ms_per_frame": "ms a frame",
}  # fmt: skip


def decode_stream(decoder: Decoder, latents: Tensor) -> tuple[Tensor, float]:
    """Frames (F, 3, H, W) on the CPU of latents (1, C, n, h, w), and the median seconds of a full pass of a chunk."""
    state: DecoderState | None = None
    parts, seconds = [], []
    for part in torch.split(latents, NEW_LATENTS, dim=2):
        began = time.perf_counter()
        video, state = decoder.decode(part, state, piece_latents=5)
        frames = video[0].movedim(0, 1).float().cpu()
        if len(frames) == _FRAMES_PER_PASS:
            seconds.append(time.perf_counter() - began)
        parts.append(frames)
    return torch.cat(parts), float(np.median(seconds))


def _figures(made: Tensor, truth: Tensor, full: Tensor) -> dict[str, Tensor]:
    quality, likeness = psnr(made, truth), ssim(made, truth)
    return {
        "psnr": quality,
        "ssim": likeness,
        "psnr_late": quality[LATE],
        "ssim_late": likeness[LATE],
        "sharpness": sharpness(made).mean() / sharpness(truth).mean(),
        "psnr_full": psnr(made, full) if made is not full else torch.tensor(torch.nan),
    }


def _shown() -> list[int]:
    return torch.linspace(0, FRAMES - 1, _SHOWN).long().tolist()
