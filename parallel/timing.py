"""What sequence parallelism costs and gains: messages, attention, and whole steps of a clip with memory.

    python -m torch.distributed.run --nproc-per-node=2 -m worldloom.parallel.timing --preset mg3-5b --json OUT.json
    python -m worldloom.parallel.timing --preset mg3-5b --share-of 4

Run `worldloom.parallel.check` first. With --share-of, one process times its share of a group that is not there.
Weights are random, and nothing is decoded.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ..errors import WorldloomError
from ..model.attention import AttentionCore
from ..model.precision import Precision
from ..model.preset import Preset, load_preset
from ..model.rehearsal import random_clips
from ..model.rollout import Rollout
from ..model.weights import expert_names, load_experts, torch_dtype
from .apply import SequenceSharding, shard_attention, sharded_parts, unshard_attention
from .check import TIMEOUT_S, one_viewpoint, synthetic_parts
from .loading import loading
from .ranks import Ranks, join_launched
from .silent import share_of, silenced
from .ulysses import UlyssesCore
from .xdit import shard_attention_by_xdit

ROUNDS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class CoreTimes:
    """One layer's self-attention, in milliseconds."""

    head_chunks: int
    core_ms: float
    """Packing, messages and attention."""
    silent_ms: float
    """The same without messages."""
    messages_ms: float
    """Packing and messages, without attention."""
    sent_mb: float
    """10⁶ bytes that this rank sends to others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipTimes:
    """A clip with memory, in milliseconds on the slowest rank."""

    ranks: int
    head_chunks: int
    """0: xDiT's attention."""
    silent: bool
    prepare_ms: float
    step_ms: float
    """Mean of the clip's steps."""
    clip_ms: float
    host_ms: float
    """Until everything was launched."""
    memory_gb: float


class _Echo(AttentionCore):
    """No attention at all."""

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return q


def time_core(preset: Preset, ranks: Ranks, head_chunks: int) -> CoreTimes:
    """One layer's attention on tokens of a clip with memory."""
    config = preset.transformer
    assert config is not None
    sharding = SequenceSharding.of(preset, ranks)
    tokens = [tile.tokens for tile in sharding.tiles]
    frames = sum(_frames(preset))
    shape = (3, 1, frames * sharding.tile.tokens, config.num_heads, config.head_dim)
    q, k, v = torch.randn(shape, device=ranks.device, dtype=torch_dtype(preset)).unbind(0)

    def core(inner: AttentionCore, group: Ranks) -> Callable[[], object]:
        built = UlyssesCore(group, tokens, heads=config.num_heads, inner=inner, chunks=head_chunks)
        return lambda: built(q, k, v)

    others = 1 - config.num_heads // ranks.size / config.num_heads
    return CoreTimes(
        head_chunks=head_chunks,
        core_ms=_milliseconds(core(AttentionCore(), ranks), ranks),
        silent_ms=_milliseconds(core(AttentionCore(), silenced(ranks)), ranks),
        messages_ms=_milliseconds(core(_Echo(), ranks), ranks),
        sent_mb=4 * q.numel() * q.element_size() * others / 1e6,
    )


def time_clip(rollout: Rollout, preset: Preset, ranks: Ranks, *, head_chunks: int, silent: bool) -> ClipTimes:
    """A later clip, once warm; the slowest rank's times on all ranks."""
    _, clip = random_clips(preset, 0)
    rollout.denoise(clip).stages.wait()
    if ranks.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(ranks.device)
    rounds = []
    for _ in range(2):
        ranks.wait()
        began = time.perf_counter()
        result = rollout.denoise(clip)
        host_ms = 1e3 * (time.perf_counter() - began)
        seconds = result.timings
        steps = [1e3 * taken for stage, taken in seconds.items() if stage.startswith("step")]
        clip_ms = 1e3 * (time.perf_counter() - began)
        rounds.append((clip_ms, 1e3 * seconds["prepare"], sum(steps) / len(steps), host_ms))
    clip_ms, prepare_ms, step_ms, host_ms = max(ranks.gather_objects(min(rounds)))
    peak = torch.cuda.max_memory_allocated(ranks.device) / 1e9 if ranks.device.type == "cuda" else 0.0
    return ClipTimes(
        ranks=ranks.size,
        head_chunks=head_chunks,
        silent=silent,
        prepare_ms=prepare_ms,
        step_ms=step_ms,
        clip_ms=clip_ms,
        host_ms=host_ms,
        memory_gb=max(ranks.gather_objects(peak)),
    )


def time_all(
    preset: Preset, ranks: Ranks, head_chunks: Sequence[int], *, xdit_ring: int | None = None
) -> Iterator[CoreTimes | ClipTimes]:
    """All of the above as it comes, for each number of head chunks; the clip on one rank first, unless the group is not
    there; and last with xDiT's attention, where its ring is given."""
    if ranks.size > 1:
        yield from (time_core(preset, ranks, chunks) for chunks in head_chunks)
    with loading(preset, expert_names(preset), ranks) as count:
        experts = load_experts(preset, ranks.device, on_weights=count)
    parts = synthetic_parts(preset, experts, ranks.device)
    if ranks.group is not None or ranks.size == 1:
        # Every rank runs the whole clip on its own: none is then slowed by one that waits beside it.
        alone = Rollout(preset.sampling, parts)
        yield time_clip(alone, preset, Ranks.alone(ranks.device), head_chunks=1, silent=False)
    groups = [ranks, silenced(ranks)] if ranks.group is not None else [ranks]
    for chunks in head_chunks if ranks.size > 1 else ():
        for group in groups:
            sharding = SequenceSharding.of(preset, group)
            for model in experts.values():
                shard_attention(model, sharding, head_chunks=chunks)
            rollout = Rollout(preset.sampling, sharded_parts(parts, sharding))
            yield time_clip(rollout, preset, group, head_chunks=chunks, silent=group.group is None)
            for model in experts.values():
                unshard_attention(model)
    if xdit_ring is not None:
        sharding = SequenceSharding.of(preset, ranks)
        for model in experts.values():
            shard_attention_by_xdit(model, sharding, ring=xdit_ring)
        rollout = Rollout(preset.sampling, sharded_parts(parts, sharding))
        yield time_clip(rollout, preset, ranks, head_chunks=0, silent=False)


def table(cores: Sequence[CoreTimes], clips: Sequence[ClipTimes]) -> str:
    """Both lists, for people."""
    lines = ["attention of one layer: chunks   core ms  silent ms  messages ms  sent MB"]
    for core in cores:
        lines.append(
            f"{core.head_chunks:>31}{core.core_ms:>10.3f}{core.silent_ms:>11.3f}{core.messages_ms:>13.3f}"
            f"{core.sent_mb:>9.1f}"
        )
    lines.append("clip with memory: ranks chunks silent   prepare ms   step ms   clip ms   host ms   GB")
    for clip in clips:
        lines.append(
            f"{clip.ranks:>23}{clip.head_chunks:>7}{'yes' if clip.silent else 'no':>7}{clip.prepare_ms:>13.1f}"
            f"{clip.step_ms:>10.1f}{clip.clip_ms:>10.1f}{clip.host_ms:>10.1f}{clip.memory_gb:>5.0f}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        preset = one_viewpoint(load_preset(options.preset)).with_random_weights()
        preset = preset.with_precision(Precision(options.precision))
        with join_launched(options.device, timeout_s=TIMEOUT_S) as ranks:
            if options.share_of is not None:
                ranks = share_of(options.share_of, ranks.device)
            times: list[CoreTimes | ClipTimes] = []
            for figure in time_all(preset, ranks, options.head_chunks, xdit_ring=options.xdit_ring):
                times.append(figure)
                if ranks.is_first and options.json is not None:
                    # Each as it comes: the next one may take longer than there is time.
                    _write(options.json, preset, ranks, times)
            if ranks.is_first:
                kind = "a share of" if options.share_of else "of"
                print(f"{preset.name}, {preset.precision}, {kind} {ranks.size} ranks")
                print(table(*_parted(times)), flush=True)
    except WorldloomError as error:
        print(f"error: {error.message} {error.hint}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="worldloom.parallel.timing", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--precision", default=Precision.BF16, choices=list(Precision))
    parser.add_argument("--head-chunks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--share-of", type=int, help="ranks of a group of which one share is timed")
    parser.add_argument("--xdit-ring", type=int, help="at last use xDiT's attention, in rings of so many ranks")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--json", type=Path, help="where the figures go")
    return parser


def _parted(times: Sequence[CoreTimes | ClipTimes]) -> tuple[list[CoreTimes], list[ClipTimes]]:
    cores = [figure for figure in times if isinstance(figure, CoreTimes)]
    return cores, [figure for figure in times if isinstance(figure, ClipTimes)]


def _write(file: Path, preset: Preset, ranks: Ranks, times: Sequence[CoreTimes | ClipTimes]) -> None:
    cores, clips = _parted(times)
    figures = {"cores": [asdict(core) for core in cores], "clips": [asdict(clip) for clip in clips]}
    named = {"preset": preset.name, "precision": preset.precision, "ranks": ranks.size, **figures}
    file.write_text(json.dumps(named, indent=2) + "\n")


def _frames(preset: Preset) -> tuple[int, int]:
    """Memory frames and the clip's own, of a clip with memory."""
    _, clip = random_clips(preset, 0)
    assert clip.memory is not None
    return clip.memory.latents.shape[1], clip.predict_range[1] - clip.predict_range[0]


def _milliseconds(run: Callable[[], object], ranks: Ranks) -> float:
    """Of one call, in a row of them."""
    run()
    ranks.wait()
    _synchronize(ranks.device)
    began = time.perf_counter()
    for _ in range(ROUNDS):
        run()
    _synchronize(ranks.device)
    return 1e3 * (time.perf_counter() - began) / ROUNDS


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    sys.exit(main())
