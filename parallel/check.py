"""Proves that several ranks compute what one computes, and the same bits each time.

    python -m torch.distributed.run --nproc-per-node=2 -m worldloom.parallel.check --preset mg3-5b

Runs a first and a later clip of a random world on the first rank alone, then twice on all ranks. Weights are drawn from
a seed unless --checkpoint names a directory; text states and the image's latent are random, for the encoders are not
shared out. Prints a table; exits with 1 where a clip does not agree.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ..errors import WorldloomError
from ..model.clip import ClipInputs
from ..model.precision import Precision
from ..model.preset import Preset, load_preset
from ..model.rehearsal import random_clips
from ..model.rollout import Rollout, RolloutParts
from ..model.transformer import WorldTransformer
from ..model.weights import choose_expert, expert_names, load_experts, torch_dtype
from .apply import SequenceSharding, shard_attention, sharded_parts
from .loading import loading
from .ranks import Ranks, join_launched
from .relay import Relay, RelayRollout
from .xdit import shard_attention_by_xdit

Denoise = Callable[[ClipInputs], Tensor]
PROMPT_TOKENS = 77
TIMEOUT_S = 900.0
ERROR_LIMITS = {torch.float32: 1e-4, torch.bfloat16: 0.05}
"""Largest relative error of new latents, by the dtype of the preset: sums are taken in another order."""
E4M3_LIMIT = 0.1
"""… where attention is in e4m3: the mean that is taken from keys is of other tokens, and they are rounded otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """How one clip on all ranks compares with the same clip on one."""

    clip: str
    error: float
    """|together − alone| / |alone|, over the new latents."""
    limit: float
    same_bits: bool
    """Whether two runs, and all ranks, have the same latents."""
    alone_s: float
    together_s: float

    @property
    def agrees(self) -> bool:
        return self.error <= self.limit and self.same_bits


def check(
    preset: Preset,
    ranks: Ranks,
    *,
    head_chunks: int = 1,
    front: int | None = None,
    xdit_ring: int | None = None,
    seed: int = 0,
) -> list[Agreement]:
    """Compares both kinds of clip; the same list on all ranks.

    With `front`, of a mixture whose high-noise experts are on so many ranks and whose low-noise expert is on the
    others: then latents are compared as they come home, in bfloat16. With `xdit_ring`, of xDiT's attention.
    """
    with loading(preset, expert_names(preset), ranks) as count:
        experts = load_experts(preset, ranks.device, on_weights=count)
    clips = random_clips(preset, seed)
    parts = synthetic_parts(preset, experts, ranks.device)
    dtype = torch.float32 if front is None else RelayRollout.dtype
    by_one = _by_all(Rollout(preset.sampling, parts), dtype)
    alone = [_timed(by_one, clip) for clip in clips] if ranks.is_first else []
    if front is not None:
        together = _by_relay(preset, parts, experts, Relay.of(ranks, front=front), head_chunks)
    else:
        sharding = SequenceSharding.of(preset, ranks)
        for model in experts.values():
            if xdit_ring is None:
                shard_attention(model, sharding, head_chunks=head_chunks)
            else:
                shard_attention_by_xdit(model, sharding, ring=xdit_ring)
        together = _by_all(Rollout(preset.sampling, sharded_parts(parts, sharding)), dtype)
    rounds = [[_timed(together, clip) for clip in clips] for _ in range(2)]
    rows = []
    for index, name in enumerate(("first clip", "later clip")):
        first, again = rounds[0][index], rounds[1][index]
        same_bits = torch.equal(first[0], again[0]) and _equal_on_all(first[0], ranks)
        row = None
        if ranks.is_first:
            reference, alone_s = alone[index]
            row = Agreement(
                clip=name,
                error=_relative_error(first[0], reference),
                limit=_limit(preset),
                same_bits=same_bits,
                alone_s=alone_s,
                together_s=again[1],
            )
        row = ranks.share_object(row)
        assert row is not None
        rows.append(row)
    return rows


def _limit(preset: Preset) -> float:
    limit = ERROR_LIMITS[torch_dtype(preset)]
    return max(limit, E4M3_LIMIT) if preset.precision is Precision.FP8_ATTENTION else limit


def one_viewpoint(preset: Preset) -> Preset:
    """The preset with the experts that random clips need."""
    if preset.mixture is None:
        return preset
    return replace(preset, mixture=replace(preset.mixture, viewpoints=("first_person",)))


def synthetic_parts(
    preset: Preset, experts: dict[str, WorldTransformer], device: torch.device, *, seed: int = 0
) -> RolloutParts:
    """The parts of a rollout with these transformers, and seeded noise in the place of both encoders."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randn(min(PROMPT_TOKENS, preset.text.text_len), preset.text.dim, generator=generator)
    image = torch.randn(
        1, preset.latent_channels, 1, preset.latent_height, preset.latent_width, generator=generator
    ).to(device)
    return RolloutParts(
        expert_for=choose_expert(preset, experts),
        encode_text=lambda prompt: text.to(device),
        encode_image=lambda video: image,
        device=device,
        dtype=torch_dtype(preset),
        camera_cache=preset.camera_cache,
    )


def table(rows: Sequence[Agreement]) -> str:
    """The rows, for people."""
    lines = [f"{'clip':<12}{'error':>10}{'limit':>10}{'same bits':>11}{'alone s':>10}{'together s':>12}  verdict"]
    for row in rows:
        lines.append(
            f"{row.clip:<12}{row.error:>10.1e}{row.limit:>10.0e}{'yes' if row.same_bits else 'NO':>11}"
            f"{row.alone_s:>10.3f}{row.together_s:>12.3f}  {'agrees' if row.agrees else 'DIFFERS'}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns its exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        preset = one_viewpoint(load_preset(options.preset)).with_precision(Precision(options.precision))
        if options.checkpoint is None:
            preset = preset.with_random_weights(options.seed)
        else:
            preset = preset.with_directory(options.checkpoint)
        with join_launched(options.device, timeout_s=TIMEOUT_S) as ranks:
            rows = check(
                preset,
                ranks,
                head_chunks=options.head_chunks,
                front=options.front,
                xdit_ring=options.xdit_ring,
                seed=options.seed,
            )
            if ranks.is_first:
                print(f"{preset.name}, {preset.precision}, {ranks.size} ranks on {ranks.device.type}")
                print(table(rows), flush=True)
                if options.json is not None:
                    _write(options.json, preset, ranks, rows)
    except WorldloomError as error:
        print(f"error: {error.message} {error.hint}", file=sys.stderr)
        return 2
    return 0 if all(row.agrees for row in rows) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="worldloom.parallel.check", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--checkpoint", type=Path, help="directory of the weights; else they are drawn from --seed")
    parser.add_argument("--precision", default=Precision.BF16, choices=list(Precision))
    parser.add_argument("--head-chunks", type=int, default=1, help="chunks of heads whose messages overlap")
    parser.add_argument("--front", type=int, help="ranks of a mixture's high-noise experts; the others have the other")
    parser.add_argument("--xdit-ring", type=int, help="use xDiT's attention instead, in rings of so many ranks")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def _write(file: Path, preset: Preset, ranks: Ranks, rows: Sequence[Agreement]) -> None:
    named = {"preset": preset.name, "precision": preset.precision, "ranks": ranks.size, "device": ranks.device.type}
    figures = [{**asdict(row), "agrees": row.agrees} for row in rows]
    file.write_text(json.dumps({**named, "clips": figures}, indent=2) + "\n")


def _by_all(rollout: Rollout, dtype: torch.dtype) -> Denoise:
    return lambda clip: rollout.denoise(clip).latents.to(dtype)


def _by_relay(
    preset: Preset, parts: RolloutParts, experts: dict[str, WorldTransformer], relay: Relay, head_chunks: int
) -> Denoise:
    sharding = SequenceSharding.of(preset, relay.side)
    for model in experts.values():
        shard_attention(model, sharding, head_chunks=head_chunks)
    shared = sharded_parts(parts, sharding, encoding=relay.everyone)
    rollout = RelayRollout(preset, Rollout(preset.sampling, shared), relay, sharding)
    return lambda clip: rollout.launch(clip).host.result()


def _timed(denoise: Denoise, clip: ClipInputs) -> tuple[Tensor, float]:
    """The clip's latents on the CPU, and the seconds it took."""
    began = time.perf_counter()
    latents = denoise(clip).float().cpu()
    return latents, time.perf_counter() - began


def _relative_error(value: Tensor, reference: Tensor) -> float:
    return float((value - reference).norm() / reference.norm())


def _equal_on_all(latents: Tensor, ranks: Ranks) -> bool:
    digests = ranks.gather_objects(hashlib.sha256(latents.numpy().tobytes()).digest())
    return len(set(digests)) == 1


if __name__ == "__main__":
    sys.exit(main())
