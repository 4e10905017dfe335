"""How fast is the decoder, by piece size and pruning, and which way of convolving is the fastest at its shapes?

    PYTHONPATH=typings python ops/bench/decoder.py --json RESULT.json [--commit HASH] [--parts check,decoders,shapes]

On one CUDA GPU, bfloat16, random weights. It checks first that the fast decoder gives the plain one's frames, with the
same bits in two runs; then measures 40 frames of a running stream (plain, fast, as CUDA graphs) and single
convolutions. A part that fails is reported and does not stop the others.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from worldloom.model.fast_vae.convolution import Convolution, Shortcut, convolution_of, upsampling_convolution
from worldloom.model.fast_vae.convolution_kernel import Blocks, choose_blocks, launch_convolve, launch_pixels
from worldloom.model.fast_vae.decoder import FastDecoder
from worldloom.model.fast_vae.graphs import CapturedPiece
from worldloom.model.fast_vae.grid import Grid, empty_frames, framed, picture
from worldloom.model.fast_vae.norm import activate, norm_of
from worldloom.model.vae import Decoder, DecoderState
from worldloom.model.vae_config import VAEConfig

LATENT_GRID = (44, 80)
CHUNK = 10
"""Latents of 40 frames."""
PRUNINGS = {"full": 0.0, "p50": 0.5, "p75": 0.75}
PIECES = (1, 2, 5, 10)
GIB = 1 << 30
DEVICE = torch.device("cuda:0")

Figures = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--commit", default="", help="what was measured")
    parser.add_argument("--parts", default="check,decoders,shapes", help="of these, which")
    options = parser.parse_args()
    parts: dict[str, Callable[[], Any]] = {"check": check, "decoders": decoders, "shapes": shapes}
    figures: Figures = {
        "commit": options.commit,
        "device": torch.cuda.get_device_name(DEVICE),
        "torch": torch.__version__,
    }
    for name in options.parts.split(","):
        started = time.perf_counter()
        try:
            figures[name] = parts[name]()
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:
            traceback.print_exc()
            figures[name] = f"failed: {error}"
        figures[f"{name}_took_s"] = round(time.perf_counter() - started, 1)
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        print(f"-- {name}: {figures[f'{name}_took_s']} s", flush=True)


def check() -> Figures:
    """Fast against plain, on a small picture of the real widths."""
    torch.backends.cudnn.allow_tf32 = False
    figures: Figures = {}
    for name, pruning in PRUNINGS.items():
        decoder = build(pruning)
        latents = torch.randn(48, 5, 11, 20, device=DEVICE)
        exact = plain_frames(copy_of(decoder, torch.float32), latents, (1, 1, 2, 1))
        plain, fast = plain_frames(decoder, latents, (5,)), fast_frames(decoder, latents, (1, 1, 2, 1))
        again, other = fast_frames(decoder, latents, (1, 1, 2, 1)), fast_frames(decoder, latents, (2, 3))
        figures[name] = {
            "plain_db": psnr(plain, exact),
            "fast_db": psnr(fast, exact),
            "same_bits_again": bool(torch.equal(fast, again)),
            "same_bits_in_other_pieces": bool(torch.equal(fast, other)),
            "spread": float(exact.float().std()),
        }
        print(name, figures[name], flush=True)
    figures["ways"] = same_bits_both_ways()
    print(figures["ways"], flush=True)
    return figures


def same_bits_both_ways() -> Figures:
    """Do the two ways of going through the taps give the same bits, near those of float32?"""
    case = Case(name="", frames=18, height=44, width=80, inputs=64, outputs=64)
    source, convolution, shortcut, norm = case.make()
    results = []
    for blocks in (Blocks(rows=256, columns=64), Blocks(rows=256, columns=64, stages=3, by_input=True)):
        raw = empty_frames(case.frames, case.grid, convolution.out_channels, source)
        active = torch.empty_like(raw)
        launch_convolve(source, convolution, raw=raw, active=active, norm=norm, shortcut=shortcut, blocks=blocks)
        results.append((raw, active))
    weight = convolution.weights.view(3, 3, 3, 64, 64).permute(4, 3, 0, 1, 2).float()
    expected = F.conv3d(picture(source).permute(3, 0, 1, 2)[None].float(), weight, convolution.bias, padding=(0, 1, 1))
    assert shortcut is not None
    want = framed(expected[0].permute(1, 2, 3, 0) + picture(shortcut.frames).float())
    error = (results[0][0].float() - want).norm() / want.norm()
    same = all(torch.equal(a, b) for a, b in zip(*results, strict=True))
    return {"same_bits": same, "relative_error": float(error)}


def decoders() -> Figures:
    """40 frames of a running stream, and its first piece."""
    figures: Figures = {}
    for name, pruning in PRUNINGS.items():
        decoder = build(pruning)
        torch.cuda.reset_peak_memory_stats(DEVICE)
        figures[name] = {"plain": plain_seconds(decoder)}
        fast = FastDecoder(decoder)
        for size in reversed(PIECES):
            figures[name][f"fast_{size}"] = fast_seconds(fast, size)
        for size in (10, 2, 1):
            figures[name][f"graph_{size}"] = graph_seconds(fast, size)
        figures[name]["peak_gib"] = torch.cuda.max_memory_allocated(DEVICE) / GIB
        print(name, json.dumps(figures[name]), flush=True)
        figures[name]["kernels_ms"] = kernels(fast)
        for kernel, milliseconds in figures[name]["kernels_ms"].items():
            print(f"    {milliseconds:8.2f} ms  {kernel}", flush=True)
        torch.cuda.empty_cache()
    figures["to_host_s"] = seconds(copy_to_host)
    return figures


def plain_seconds(decoder: Decoder) -> Figures:
    state = decoder_state(lambda part, before: plain_step(decoder, part, before))
    latents = torch.randn(48, CHUNK, *LATENT_GRID, device=DEVICE)
    return {"chunk_s": seconds(lambda: plain_step(decoder, latents, state, piece=1), runs=2)}


def fast_seconds(fast: FastDecoder, size: int) -> Figures:
    state = decoder_state(fast.decode)
    latents = torch.randn(48, CHUNK, *LATENT_GRID, device=DEVICE)
    parts = latents.split(size, dim=1)

    def chunk() -> None:
        after = state
        for part in parts:
            _, after = fast.decode(part, after)

    chunk()
    torch.cuda.synchronize()
    started = time.perf_counter()
    chunk()
    launching_s = time.perf_counter() - started
    return {
        "chunk_s": seconds(chunk),
        "launching_s": launching_s,
        "piece_s": seconds(lambda: fast.decode(parts[0], state)),
        "state_gib": state.nbytes / GIB,
    }


def graph_seconds(fast: FastDecoder, size: int) -> Figures:
    state = decoder_state(fast.decode)
    latents = torch.randn(48, CHUNK, *LATENT_GRID, device=DEVICE)
    parts = latents.split(size, dim=1)
    captured = CapturedPiece(fast, parts[0], state)
    expected, _ = fast.decode(parts[0], state)
    same = torch.equal(captured.decode(parts[0], state)[0], expected)

    def chunk() -> None:
        after = state
        for part in parts:
            _, after = captured.decode(part, after)

    return {
        "same_bits": same,
        "chunk_s": seconds(chunk),
        "piece_s": seconds(lambda: captured.decode(parts[0], state)),
    }


def kernels(fast: FastDecoder) -> dict[str, float]:
    """Milliseconds of each kernel in 40 frames, the longest first."""
    state = decoder_state(fast.decode)
    latents = torch.randn(48, CHUNK, *LATENT_GRID, device=DEVICE)
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        fast.decode(latents, state)
        torch.cuda.synchronize()
    averages = sorted(profile.key_averages(), key=lambda row: -row.self_device_time_total)
    return {f"{row.count} × {row.key[:70]}": row.self_device_time_total / 1000 for row in averages[:14]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A convolution of the decoder."""

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
    Case(name="p75 stage 0", frames=10, height=44, width=80, inputs=256, outputs=256),
    Case(name="p75 stage 1", frames=20, height=88, width=160, inputs=256, outputs=256),
    Case(name="p75 stage 2", frames=40, height=176, width=320, inputs=128, outputs=128),
    Case(name="p75 stage 3", frames=40, height=352, width=640, inputs=64, outputs=64),
    Case(name="p75 up 1", frames=40, height=88, width=160, inputs=256, outputs=256, scale=2),
    Case(name="p75 up 2", frames=40, height=176, width=320, inputs=128, outputs=128, scale=2),
    Case(name="p75 head", frames=40, height=352, width=640, inputs=64, outputs=12, pixels=True),
    Case(name="full stage 0", frames=10, height=44, width=80, inputs=1024, outputs=1024),
    Case(name="full stage 1", frames=20, height=88, width=160, inputs=1024, outputs=1024),
    Case(name="full stage 2", frames=40, height=176, width=320, inputs=512, outputs=512),
    Case(name="full stage 3", frames=40, height=352, width=640, inputs=256, outputs=256),
)

WIDE = Blocks(rows=128, columns=256)
TALL = Blocks(rows=256, columns=128)
SQUARE = Blocks(rows=128, columns=128, stages=3)
VARIANTS = {
    16: (
        Blocks(rows=256, columns=16),
        Blocks(rows=256, columns=16, stages=3, by_input=True),
        Blocks(rows=256, columns=16, stages=3, by_input=True, warps=4),
        Blocks(rows=128, columns=16, stages=4, by_input=True, warps=4),
    ),
    64: (
        Blocks(rows=256, columns=64),
        Blocks(rows=128, columns=64, warps=4, stages=3),
        Blocks(rows=256, columns=64, stages=3, by_input=True),
        Blocks(rows=128, columns=64, stages=3, by_input=True, warps=4),
        Blocks(rows=128, columns=64, stages=2, by_input=True, warps=4),
    ),
    128: (
        TALL,
        replace(TALL, depth=128, stages=2),
        replace(SQUARE, registers=128),
        replace(SQUARE, warps=4),
        Blocks(rows=128, columns=128, stages=3, by_input=True),
    ),
    256: (WIDE, replace(WIDE, stages=3), replace(WIDE, depth=128, stages=2), replace(SQUARE, registers=128), TALL),
}


def shapes() -> list[Figures]:
    """TFLOP/s of each way, at each shape; products of the phases instead of nine taps where space doubles."""
    return [measure_case(case) for case in CASES]


def measure_case(case: Case) -> Figures:
    source, convolution, shortcut, norm = case.make()

    def rate(run: Callable[[], Any]) -> float | str:
        return guarded(lambda: case.tflop / seconds(run, runs=3))

    ways = {"cudnn": rate(library_convolution(source, convolution, case))}
    if not case.pixels:
        ways["norm_s"] = guarded(lambda: seconds(norm_alone(convolution, case, norm, source)))
    chosen = choose_blocks(convolution, case.frames, case.grid)
    for blocks in dict.fromkeys((chosen, *VARIANTS[max(16, min(256, convolution.out_channels))])):
        if not (blocks.by_input and case.scale == 2):
            run = triton_convolution(source, convolution, case, shortcut, norm, blocks)
            ways[describe(blocks)] = rate(run)
    print(f"{case.name:14s} {case.tflop:6.2f} TFLOP  " + "  ".join(show(way) for way in ways.items()), flush=True)
    torch.cuda.empty_cache()
    return {**asdict(case), "tflop": case.tflop, "ways": ways}


def library_convolution(source: Tensor, convolution: Convolution, case: Case) -> Callable[[], Any]:
    """The same products by cuDNN, or nine taps of the enlarged source where space doubles; without bias or shortcut."""
    x = picture(source).contiguous().permute(3, 0, 1, 2)[None]
    if case.scale == 2:
        images = F.interpolate(picture(source).permute(0, 3, 1, 2), scale_factor=2).contiguous(
            memory_format=torch.channels_last
        )
        weight = torch.randn(case.outputs, case.inputs, 3, 3, device=DEVICE, dtype=x.dtype)
        weight = weight.contiguous(memory_format=torch.channels_last)
        return lambda: F.conv2d(images, weight, padding=1)
    kernel = convolution.weights.view(3, 3, 3, case.inputs, -1).permute(4, 3, 0, 1, 2)
    weight = kernel.contiguous(memory_format=torch.channels_last_3d)
    return lambda: F.conv3d(x, weight, padding=(0, 1, 1))


def triton_convolution(
    source: Tensor, convolution: Convolution, case: Case, shortcut: Shortcut | None, norm: Any, blocks: Blocks
) -> Callable[[], Any]:
    grid = case.grid if case.scale == 1 else case.grid.doubled
    if case.pixels:
        pixels = source.new_empty(case.frames, *(2 * n for n in (case.height, case.width)), 3, dtype=torch.uint8)
        return lambda: launch_pixels(source, convolution, pixels, blocks=blocks)
    raw = empty_frames(case.frames, grid, convolution.out_channels, source)
    active = torch.empty_like(raw) if convolution.out_channels <= blocks.columns else None
    return lambda: launch_convolve(
        source, convolution, raw=raw, active=active, norm=norm, shortcut=shortcut, blocks=blocks
    )


def norm_alone(convolution: Convolution, case: Case, norm: Any, like: Tensor) -> Callable[[], Any]:
    grid = case.grid if case.scale == 1 else case.grid.doubled
    frames = empty_frames(case.frames, grid, convolution.out_channels, like).normal_()
    out = torch.empty_like(frames)
    return lambda: activate(frames, norm, into=out)


def describe(blocks: Blocks) -> str:
    way = "in" if blocks.by_input else "out"
    limit = "" if blocks.registers is None else f" r{blocks.registers}"
    return f"{way} {blocks.rows}x{blocks.columns}x{blocks.depth} w{blocks.warps} s{blocks.stages}{limit}"


def show(item: tuple[str, Any]) -> str:
    name, value = item
    if isinstance(value, str):
        return f"[{name}] {value[:60]}"
    return f"[{name}] {value * 1000:.2f} ms" if name.endswith("_s") else f"[{name}] {value:.0f}"


def guarded(measure: Callable[[], float]) -> float | str:
    """What was measured, or why it could not be."""
    try:
        return measure()
    except Exception as error:  # a compiler's errors have many kinds, and one way's failure is a result
        return f"failed: {type(error).__name__} {error}"[:300]


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


def seconds(call: Callable[[], Any], *, runs: int = 5) -> float:
    """The median of some runs, after one that does not count."""
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
