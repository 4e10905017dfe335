"""Does the pipeline keep its promises on this device, and where does a chunk's time go?

    python -m worldloom.cluster.pipeline_check --preset mg3-5b --precision fp8 --json RESULT.json

- Two fresh processes make the same bits in their first chunks.
- Inside a chunk nothing waits for the GPU, or torch would raise an error.
- Seconds of each stage, and of the host's own work to launch a chunk: as long as that is far below the chunk's time,
  there is nothing that a CUDA graph could win.

Weights are random. A part that fails says so, and the others go on; the exit code is 1 if one did.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from ..errors import WorldloomError
from ..model.clip import NEW_FRAMES
from ..model.precision import Precision
from ..model.preset import DecoderChoice, Preset, load_preset
from .local_pipeline import ChunkActions, LocalPipeline, still_actions

MODULE = "worldloom.cluster.pipeline_check"
CHUNKS = 3
"""Of which the bits are compared."""
TIMED_CHUNKS = 8
Figures = dict[str, float | str | bool]


def main() -> None:
    """See the module."""
    options = _parser().parse_args()
    if options.digest:
        print(digest(LocalPipeline(preset_of(options), device=options.device)))
        return
    results: dict[str, Figures] = {}
    _attempt(results, "bits", lambda: same_bits(sys.argv[1:]))
    pipeline = LocalPipeline(preset_of(options), device=options.device)
    _attempt(results, "warm_up", lambda: _timed(pipeline.warm_up))
    _attempt(results, "no_waiting", lambda: plays_without_waiting(pipeline))
    _attempt(results, "stages", lambda: stage_seconds(pipeline))
    if options.json is not None:
        options.json.write_text(json.dumps({"arguments": sys.argv[1:], **results}, indent=1) + "\n")
    sys.exit(any("failed" in figures for figures in results.values()))


def preset_of(options: argparse.Namespace) -> Preset:
    """The preset with random weights that the options describe."""
    preset = load_preset(options.preset).with_random_weights()
    if options.precision is not None:
        preset = preset.with_precision(Precision(options.precision))
    return preset if options.decoder is None else preset.with_decoder(DecoderChoice(options.decoder))


def digest(pipeline: LocalPipeline) -> str:
    """Of the frames of a world's first chunks, made without a warm-up."""
    seen = hashlib.sha256()
    for chunk in pipeline.play(_walk(pipeline, "bits", CHUNKS)):
        for frames in chunk.frames:
            seen.update(frames.tobytes())
    return seen.hexdigest()


def same_bits(arguments: list[str]) -> Figures:
    """Digests of two processes of their own. Raises ValueError where they differ."""
    command = [sys.executable, "-m", MODULE, *arguments, "--digest"]
    first, second = (
        subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout.split()[-1] for _ in range(2)
    )
    if first != second:
        raise ValueError(f"two processes made frames {first[:12]}… and {second[:12]}…")
    return {"same": True, "sha256": first}


def plays_without_waiting(pipeline: LocalPipeline) -> Figures:
    """Plays a world, where after its first chunk, which reads the prompt, waiting for the GPU is an error."""

    def actions() -> Iterator[ChunkActions]:
        for index, rows in enumerate(_walk(pipeline, "no waiting", CHUNKS + 1)):
            if index == 1:
                _forbid_waiting(pipeline.device, "error")
            yield rows

    try:
        return {"chunks": sum(1 for _ in pipeline.play(actions()))}
    finally:
        _forbid_waiting(pipeline.device, "default")
        pipeline.end("no waiting")


def stage_seconds(pipeline: LocalPipeline, *, chunks: int = TIMED_CHUNKS) -> Figures:
    """Medians over a world's later chunks, and frames a second of all of them."""
    first, *later = pipeline.play(_walk(pipeline, "stages", chunks))
    pipeline.end("stages")
    figures: Figures = {name: statistics.median(one.stages[name] for one in later) for name in later[0].stages}
    chunk_s = (later[-1].last_frame_s - first.last_frame_s) / len(later)
    figures |= {"chunk": chunk_s, "fps": NEW_FRAMES / chunk_s}
    if pipeline.device.type == "cuda":
        figures["peak_memory_gb"] = torch.cuda.max_memory_allocated(pipeline.device) / 1e9
    return figures


def _walk(pipeline: LocalPipeline, session: str, chunks: int) -> Iterator[ChunkActions]:
    """Starts a world, and walks and turns in it."""
    video = pipeline.preset.video
    image = np.random.default_rng(0).integers(0, 256, (video.height, video.width, 3)).astype(np.uint8)
    pipeline.start(session, image, prompt="a courtyard", seed=1)
    for chunk in range(chunks):
        rows = still_actions(session, chunk)
        rows.keyboard[:, 0] = 1
        rows.mouse[:, 1] = 0.05
        yield rows


def _forbid_waiting(device: torch.device, mode: str) -> None:
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode(mode)


def _timed(call: Callable[[], None]) -> Figures:
    began = time.perf_counter()
    call()
    return {"seconds": time.perf_counter() - began}


def _attempt(results: dict[str, Figures], part: str, measure: Callable[[], Figures]) -> None:
    """Adds what `measure` returns, or that it failed: the rest is still worth its time."""
    try:
        figures = measure()
    except (RuntimeError, ValueError, subprocess.CalledProcessError, WorldloomError) as error:
        traceback.print_exc()
        figures = {"failed": f"{type(error).__name__}: {error}"[:300]}
    results[part] = figures
    shown = "  ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items()
    )
    print(f"{part:12} {shown}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="mg3-5b", help="a preset's name, or a .toml file")
    parser.add_argument("--precision", choices=[kind.value for kind in Precision])
    parser.add_argument("--decoder", choices=[choice.value for choice in DecoderChoice])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--digest", action="store_true", help="only print a digest of the first chunks' frames")
    return parser


if __name__ == "__main__":
    main()
