"""How fast is the decoder, by piece size and pruning, and which way of convolving is the fastest at its shapes?

    PYTHONPATH=typings python ops/bench/decoder.py --json RESULT.json [--commit HASH] [--parts check,decoders,shapes]

On one CUDA GPU, bfloat16, random weights. It checks first that the fast decoder gives the plain one's frames, with the
same bits in two runs; then measures 40 frames of a running stream (fast, with other ways of convolving, plain) and
single convolutions. What fails is reported and does not stop the rest.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from worldloom.model.fast_vae import build as fast_build
from worldloom.model.fast_vae.convolution import (
    Convolution,
    Shortcut,
    convolution_of,
    for_library,
    upsampling_convolution,
)
from worldloom.model.fast_vae.convolution_kernel import Blocks, launch_convolve, launch_pixels
from worldloom.model.fast_vae.decoder import FastDecoder
from worldloom.model.fast_vae.grid import Grid, empty_frames, framed, picture
from worldloom.model.fast_vae.library import products_of
from worldloom.model.fast_vae.norm import norm_of, normed
from worldloom.model.fast_vae.pairs import for_pairs
from worldloom.model.vae import Decoder, DecoderState
from worldloom.model.vae_config import VAEConfig

LATENT_GRID = (44, 80)
CHUNK = 10
"""Latents of 40 frames."""
PIECE = 2
"""Latents that a service decodes at a time."""
PRUNINGS = {"full": 0.0, "p50": 0.5, "p75": 0.75}
NEVER = 1 << 30
WAYS = {
    "pairs from 256": (fast_build.LIBRARY_WIDTHS, 256),
    "pairs from 1024": (frozenset({64, 512}), 1024),
    "no pairs": (frozenset({64, 512, 1024}), NEVER),
    "own kernels": (frozenset[int](), NEVER),
}
"""Output channels of convolutions by cuDNN, and input channels from which frames are made in pairs."""
GIB = 1 << 30
DEVICE = torch.device("cuda:0")

Figures = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--commit", default="", help="what was measured")
    parser.add_argument("--parts", default="check,decoders,shapes", help="of these, which")
    parser.add_argument("--decoders", default="p75,full,p50", help="of these, which")
    parser.add_argument("--ways", default=",".join(WAYS), help="of these other ways of convolving, which")
    options = parser.parse_args()
    record = Record(options.json)
    record.keep("commit", options.commit)
    record.keep("device", torch.cuda.get_device_name(DEVICE))
    record.keep("torch", torch.__version__)
    names, ways = options.decoders.split(","), options.ways.split(",")
    parts: dict[str, Callable[[], None]] = {
        "check": lambda: check(record, names),
        "decoders": lambda: decoders(record, names, ways),
        "shapes": lambda: shapes(record),
    }
    for name in options.parts.split(","):
        started = time.perf_counter()
        record.measure(f"{name}.failed", parts[name])
        record.keep(f"{name}.took_s", round(time.perf_counter() - started, 1))


class Record:
    """Figures by name, printed and written as soon as they are known."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._figures: dict[str, Any] = {}
        path.parent.mkdir(parents=True, exist_ok=True)

    def keep(self, name: str, figure: Any) -> None:
        self._figures[name] = figure
        self._path.write_text(json.dumps(self._figures, indent=2) + "\n", encoding="utf-8")
        print(f"{name:28} {json.dumps(figure)}", flush=True)

    def measure(self, name: str, call: Callable[[], Any]) -> None:
        """Keep what the call returns, or why it failed: the rest is still worth its time."""
        try:
            figure = call()
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:
            traceback.print_exc()
            figure = f"failed: {error}"[:300]
        if figure is not None:
            self.keep(name, figure)
        gc.collect()
        torch.cuda.empty_cache()


def check(record: Record, names: list[str]) -> None:
    """Fast against plain, on a small picture of the real widths."""
    torch.backends.cudnn.allow_tf32 = False
    for name in names:
        record.measure(f"check.{name}", lambda pruning=PRUNINGS[name]: agreement(pruning))  # type: ignore[misc]
    record.measure("check.ways", agreement_of_ways)


def agreement(pruning: float) -> Figures:
    """Decibels of the plain and the fast decoder against float32, and which runs have equal bits."""
    decoder = build(pruning)
    latents = torch.randn(48, 5, 11, 20, device=DEVICE)
    exact = plain_frames(copy_of(decoder, torch.float32), latents, (1, 1, 2, 1))
    plain, fast = plain_frames(decoder, latents, (5,)), fast_frames(decoder, latents, (1, 1, 2, 1))
    again, other = fast_frames(decoder, latents, (1, 1, 2, 1)), fast_frames(decoder, latents, (2, 3))
    return {
        "plain_db": psnr(plain, exact),
        "fast_db": psnr(fast, exact),
        "same_bits_again": torch.equal(fast, again),
        "same_bits_in_other_pieces": torch.equal(fast, other),
    }


def agreement_of_ways() -> Figures:
    """Relative errors against float32 of several ways of one convolution."""
    case = Case(name="", frames=17, height=44, width=80, inputs=64, outputs=64)
    source, convolution, shortcut, norm = case.make()
    assert shortcut is not None
    weight = convolution.weights.view(3, 3, 3, 64, 64).permute(4, 3, 0, 1, 2).float()
    expected = F.conv3d(picture(source).permute(3, 0, 1, 2)[None].float(), weight, convolution.bias, padding=(0, 1, 1))
    want = framed(expected[0].permute(1, 2, 3, 0) + picture(shortcut.frames).float())
    errors = {}
    ways = {
        "own": (convolution, NARROW),
        "cudnn": (for_library(convolution), None),
        "pairs": (for_pairs(convolution), None),
    }
    for name, (way, blocks) in ways.items():
        raw = empty_frames(case.frames, case.grid, convolution.out_channels, source)
        active = torch.empty_like(raw)
        launch_convolve(source, way, raw=raw, active=active, norm=norm, shortcut=shortcut, blocks=blocks)
        wanted = F.silu(normed(want, norm))
        errors[name] = [
            float((got.float() - exact).norm() / exact.norm()) for got, exact in ((raw, want), (active, wanted))
        ]
    return errors


def decoders(record: Record, names: list[str], ways: list[str]) -> None:
    """40 frames of a running stream: how convolutions shall be made, and how large a piece shall be."""
    for name in names:
        decoder = build(PRUNINGS[name])
        fast = FastDecoder(decoder)
        # The full decoder's frames of a whole chunk are too many for cuDNN's fast kernels.
        for size in (2, 5, 1) if name == "full" else (2, 10, 5, 1):
            record.measure(f"{name}.{size}", lambda fast=fast, size=size: fast_seconds(fast, size))  # type: ignore[misc]
        record.measure(f"{name}.kernels_ms", lambda fast=fast: kernels(fast))  # type: ignore[misc]
        del fast
        for way in ways:
            widths, pairs_from = WAYS[way]
            record.measure(
                f"{name}.{way}",
                lambda decoder=decoder, widths=widths, pairs_from=pairs_from: way_seconds(decoder, widths, pairs_from),  # type: ignore[misc]
            )
        record.measure(f"{name}.plain", lambda decoder=decoder: plain_seconds(decoder))  # type: ignore[misc]
    record.measure("to_host_s", lambda: seconds(copy_to_host))


def way_seconds(decoder: Decoder, widths: frozenset[int], pairs_from: int) -> Figures:
    """Where convolutions are made in another way; see WAYS."""
    usual = fast_build.LIBRARY_WIDTHS, fast_build.PAIRS_FROM
    fast_build.LIBRARY_WIDTHS, fast_build.PAIRS_FROM = widths, pairs_from
    try:
        fast = FastDecoder(decoder)
    finally:
        fast_build.LIBRARY_WIDTHS, fast_build.PAIRS_FROM = usual
    return {**fast_seconds(fast, PIECE), "kernels_ms": kernels(fast)}


def plain_seconds(decoder: Decoder) -> Figures:
    state = decoder_state(lambda part, before: plain_step(decoder, part, before))
    latents = torch.randn(48, CHUNK, *LATENT_GRID, device=DEVICE)
    return {"chunk_s": seconds(lambda: plain_step(decoder, latents, state, piece=1), runs=2)}


def fast_seconds(fast: FastDecoder, size: int) -> Figures:
    """Of 40 frames in pieces of `size` latents; of the first piece; of the host's work."""
    state = decoder_state(fast.decode)
    latents = torch.randn(48, CHUNK, *LATENT_GRID, device=DEVICE)
    parts = latents.split(size, dim=1)

    def chunk() -> None:
        after = state
        for part in parts:
            _, after = fast.decode(part, after)

    chunk()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats(DEVICE)
    started = time.perf_counter()
    chunk()
    launching_s = time.perf_counter() - started
    return {
        "chunk_s": seconds(chunk, runs=3, warm=True),
        "launching_s": launching_s,
        "piece_s": seconds(lambda: fast.decode(parts[0], state), runs=2, warm=True),
        "state_gib": state.nbytes / GIB,
        "peak_gib": torch.cuda.max_memory_allocated(DEVICE) / GIB,
    }


def kernels(fast: FastDecoder) -> dict[str, float]:
    """Milliseconds of each kernel in 40 frames, the longest first."""
    state = decoder_state(fast.decode)
    latents = torch.randn(48, CHUNK, *LATENT_GRID, device=DEVICE)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for part in latents.split(PIECE, dim=1):
            _, state = fast.decode(part, state)
        torch.cuda.synchronize()
    averages = sorted(profile.key_averages(), key=lambda row: -row.self_device_time_total)
    return {f"{row.count} × {row.key[:90]}": round(row.self_device_time_total / 1000, 2) for row in averages[:12]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A convolution of the decoder, in a piece of two latents."""

    name: str
    frames: int
    height: int
    width: int
    inputs: int
    outputs: int
    scale: int = 1
    pixels: bool = False

    @property
    def grid(self) -> Grid:
        return Grid(height=self.height, width=self.width)

    @property
    def tflop(self) -> float:
        """Of the products with weights that are not padding."""
        taps = 4 * 4 if self.scale == 2 else 27
        return 2e-12 * self.frames * self.height * self.width * taps * self.inputs * self.outputs

    def make(self) -> tuple[Tensor, Convolution, Shortcut | None, Any]:
        taps = 4 if self.scale == 2 else 27
        layer: nn.Module = (
            nn.Conv2d(self.inputs, self.outputs, 3) if self.scale == 2 else nn.Conv3d(self.inputs, self.outputs, 3)
        )
        layer.to(DEVICE, torch.bfloat16)
        weight, bias = layer.weight.detach(), layer.bias.detach()
        past = 0 if self.scale == 2 else 2
        source = framed(
            torch.randn(self.frames + past, self.height, self.width, self.inputs, device=DEVICE).to(torch.bfloat16)
            * (taps**0.5 / 4)
        )
        norm = norm_of(torch.randn(self.outputs, device=DEVICE))
        if self.pixels:
            return source, convolution_of(weight, bias), None, norm
        shortcut = framed(
            torch.randn(self.frames, self.height, self.width, self.outputs, device=DEVICE).to(torch.bfloat16)
        )
        if self.scale == 2:
            return source, upsampling_convolution(weight, bias), Shortcut(frames=shortcut, repeats=4), norm
        return source, convolution_of(weight, bias), Shortcut(frames=shortcut), norm


CASES = (
    Case(name="p75 stage 3", frames=8, height=352, width=640, inputs=64, outputs=64),
    Case(name="p75 stage 2", frames=8, height=176, width=320, inputs=128, outputs=128),
    Case(name="p75 up 2", frames=8, height=176, width=320, inputs=128, outputs=128, scale=2),
    Case(name="p75 head", frames=8, height=352, width=640, inputs=64, outputs=12, pixels=True),
    Case(name="p75 up 1", frames=8, height=88, width=160, inputs=256, outputs=256, scale=2),
    Case(name="p75 stage 1", frames=4, height=88, width=160, inputs=256, outputs=256),
    Case(name="full stage 3", frames=8, height=352, width=640, inputs=256, outputs=256),
    Case(name="full stage 2", frames=8, height=176, width=320, inputs=512, outputs=512),
    Case(name="full up 2", frames=8, height=176, width=320, inputs=512, outputs=512, scale=2),
    Case(name="full head", frames=8, height=352, width=640, inputs=256, outputs=12, pixels=True),
    Case(name="full stage 1", frames=4, height=88, width=160, inputs=1024, outputs=1024),
    Case(name="full up 1", frames=8, height=88, width=160, inputs=1024, outputs=1024, scale=2),
    Case(name="p75 stage 0", frames=2, height=44, width=80, inputs=256, outputs=256),
    Case(name="full stage 0", frames=2, height=44, width=80, inputs=1024, outputs=1024),
)

WIDE = Blocks(rows=128, columns=256, stages=3)
TALL = Blocks(rows=256, columns=128)
SQUARE = Blocks(rows=128, columns=128, stages=3, warps=4)
NARROW = Blocks(rows=128, columns=64, stages=3, warps=4)
LINE = Blocks(rows=128, columns=16, stages=4, warps=4)
VARIANTS = {
    16: (LINE, replace(LINE, depth=32), replace(LINE, rows=256, warps=8)),
    64: (NARROW, replace(NARROW, stages=2), replace(NARROW, rows=256, warps=8, stages=2)),
    128: (TALL, SQUARE, replace(SQUARE, stages=2), replace(SQUARE, rows=64)),
    256: (WIDE, TALL, replace(TALL, stages=3), replace(WIDE, rows=64, warps=4, stages=2)),
}


def shapes(record: Record) -> None:
    """TFLOP/s of each way, at each shape; products of the phases instead of nine taps where space doubles."""
    for case in CASES:
        record.measure(f"shape.{case.name}", lambda case=case: measure_case(case))  # type: ignore[misc]


def measure_case(case: Case) -> Figures:
    source, convolution, shortcut, norm = case.make()

    def rate(run: Callable[[], Any]) -> float | str:
        return guarded(lambda: round(case.tflop / seconds(run, runs=3)))

    ways: Figures = {"tflop": round(case.tflop, 2)}
    if case.scale == 1 and not case.pixels:
        library = for_library(convolution)
        ways["cudnn alone"] = rate(lambda: products_of(source, library))
        ways["cudnn"] = rate(convolving(source, library, case, shortcut, norm, None))
        ways["pairs"] = rate(convolving(source, for_pairs(convolution), case, shortcut, norm, None))
    for blocks in VARIANTS[max(16, min(256, convolution.out_channels))]:
        ways[describe(blocks)] = rate(convolving(source, convolution, case, shortcut, norm, blocks))
    return ways


def convolving(
    source: Tensor, convolution: Convolution, case: Case, shortcut: Shortcut | None, norm: Any, blocks: Blocks | None
) -> Callable[[], Any]:
    grid = case.grid if case.scale == 1 else case.grid.doubled
    if case.pixels:
        pixels = source.new_empty(case.frames, *(2 * n for n in (case.height, case.width)), 3, dtype=torch.uint8)
        return lambda: launch_pixels(source, convolution, pixels, blocks=blocks)
    raw = empty_frames(case.frames, grid, convolution.out_channels, source)
    active = torch.empty_like(raw)
    return lambda: launch_convolve(
        source, convolution, raw=raw, active=active, norm=norm, shortcut=shortcut, blocks=blocks
    )


def describe(blocks: Blocks) -> str:
    return f"{blocks.rows}x{blocks.columns}x{blocks.depth} w{blocks.warps} s{blocks.stages}"


def guarded(measure: Callable[[], float]) -> float | str:
    """What was measured, or why it could not be."""
    try:
        return measure()
    except Exception as error:  # a compiler's errors have many kinds, and one way's failure is a result
        return f"failed: {type(error).__name__} {error}"[:200]


def build(pruning: float) -> Decoder:
    torch.manual_seed(0)
    with DEVICE:
        return Decoder(VAEConfig(pruning_rate=pruning)).to(torch.bfloat16).eval()


def copy_of(decoder: Decoder, dtype: torch.dtype) -> Decoder:
    with DEVICE:
        copied = Decoder(decoder.config).to(dtype).eval()
    copied.load_state_dict(decoder.state_dict())
    return copied


@torch.inference_mode()
def plain_step(
    decoder: Decoder, latents: Tensor, state: DecoderState | None, *, piece: int = CHUNK
) -> tuple[Tensor, DecoderState]:
    video, state = decoder.decode(latents[None], state, piece_latents=piece)
    frames = ((video[0].float() + 1) * 127.5).round_().clamp_(0, 255).to(torch.uint8)
    return frames.permute(1, 2, 3, 0), state


def plain_frames(decoder: Decoder, latents: Tensor, cuts: tuple[int, ...]) -> Tensor:
    return in_pieces(lambda part, state: plain_step(decoder, part, state), latents, cuts)


def fast_frames(decoder: Decoder, latents: Tensor, cuts: tuple[int, ...]) -> Tensor:
    return in_pieces(FastDecoder(decoder).decode, latents, cuts)


Step = Callable[[Tensor, DecoderState | None], tuple[Tensor, DecoderState]]


def in_pieces(step: Step, latents: Tensor, cuts: tuple[int, ...]) -> Tensor:
    state, frames = None, []
    for part in latents.split(list(cuts), dim=1):
        piece, state = step(part, state)
        frames.append(piece)
    return torch.cat(frames)


def decoder_state(step: Step) -> DecoderState:
    """Of a stream that has begun."""
    _, state = step(torch.randn(48, 1, *LATENT_GRID, device=DEVICE), None)
    return state


def psnr(frames: Tensor, exact: Tensor) -> float:
    error = (frames.float() - exact.float()).square().mean()
    return float(10 * torch.log10(255**2 / error.clamp(min=1e-9)))


def copy_to_host() -> None:
    frames = torch.empty(40, 704, 1280, 3, dtype=torch.uint8, device=DEVICE)
    torch.empty(frames.shape, dtype=frames.dtype, pin_memory=True).copy_(frames, non_blocking=True)


def seconds(call: Callable[[], Any], *, runs: int = 5, warm: bool = False) -> float:
    """The median of some runs, after one that does not count unless all is warm."""
    if not warm:
        call()
    times = []
    for _ in range(runs):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop) / 1000)
    return statistics.median(times)


if __name__ == "__main__":
    main()
