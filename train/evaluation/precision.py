"""What rounding and fewer steps cost: one chunk made twice from the same state, and what a base model makes of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from ...model.clip import Array, ClipInputs
from ...model.rollout import Rollout
from .metrics import psnr, sharpness, ssim, to_signed
from .moves import CAMERA_KEY, Moves, frames_of, hold
from .player import ModelPlay, ModelPlayer, OnChunk
from .report import Aim, Picture, Report, Table, Tally, mean_of, number
from .scenes import Scene

LEAST_PSNR = 35.0
"""dB between the frames of both precisions."""
CHUNKS = 3
"""Of which the last is made in both precisions."""
_SHOWN = 8


def walk() -> Moves:
    """A walk with a turn through all chunks."""
    rows = frames_of(CHUNKS)
    first = hold("W", frames=rows // 3)
    return first + hold("W", yaw=CAMERA_KEY, frames=rows // 3) + hold("W", frames=rows - 2 * (rows // 3))


def total_chunks(worlds: int, variants: int = 0) -> int:
    """Chunks that `measure` and `compare_steps` make."""
    return (CHUNKS + 1) * worlds + variants * worlds


def measure(
    exact: ModelPlayer, rounded: ModelPlayer, scenes: Sequence[Scene], names: tuple[str, str], on_chunk: OnChunk
) -> Report:
    """Makes the last chunk of a walk in both precisions, whose `names` go into the report, and compares frames and
    latents.

    Both start from the same latents, noise, memory and decoder state, and share the exact player's decoder.
    """
    tally = Tally("chunk")
    pictures: dict[str, Picture] = {}
    for scene in scenes:
        play, clip = before_last(exact, scene, on_chunk)
        both, latents = [], []
        for player in (exact, rounded):
            latents.append(player.denoise(clip))
            frames, _ = exact.commit(play, clip, latents[-1])
            both.append(frames)
            on_chunk()
        made, true = to_signed(both[1]), to_signed(both[0])
        tally.add(
            f"last of {CHUNKS}", psnr=psnr(made, true), ssim=ssim(made, true), psnr_least=psnr(made, true).min(),
            latents=relative_error(latents[1], latents[0]),
        )  # fmt: skip
        at = torch.linspace(0, len(true) - 1, _SHOWN).long()
        pictures[f"precision-{scene.seed}"] = [frames[at].numpy() for frames in both]
    columns = {
        "chunk": "chunk", "psnr": "PSNR", "psnr_least": "PSNR, worst frame", "ssim": "SSIM",
        "latents": "relative error of latents",
    }  # fmt: skip
    rows = tally.rows()
    value = mean_of([number(row["psnr"]) for row in rows])
    return Report(
        title=f"Precision: {names[1]} against {names[0]}",
        settings={"worlds": [scene.seed for scene in scenes], "chunks": CHUNKS},
        tables=[Table(title="Frames of one chunk from the same state", columns=columns, rows=rows)],
        aims=[Aim(what=f"PSNR of {names[1]} against {names[0]}, dB", value=value, limit=LEAST_PSNR)],
        pictures=pictures,
    )


def relative_error(made: Array, true: Array) -> float:
    """Size of what differs, relative to what it should be."""
    expected = true.astype(np.float64)
    return float(np.linalg.norm(made.astype(np.float64) - expected) / np.linalg.norm(expected))


def before_last(player: ModelPlayer, scene: Scene, on_chunk: OnChunk) -> tuple[ModelPlay, ClipInputs]:
    """The state before the last chunk of the walk, and that chunk as planned."""
    *early, last = walk().chunks()
    play = player.begin(scene)
    for moves in early:
        _, play = player.step(play, moves)
        on_chunk()
    return play, player.plan(play, last)


Variant = tuple[str, ModelPlayer]
"""A name such as 'base, 50 steps', and who makes it."""


def with_steps(player: ModelPlayer, steps: int) -> ModelPlayer:
    """The same networks with another number of solver steps."""
    rollout = player.rollout
    return ModelPlayer(Rollout(replace(rollout.sampling, steps=steps), rollout.parts), player.decoder)


def compare_steps(
    player: ModelPlayer, variants: Sequence[Variant], scenes: Sequence[Scene], on_chunk: OnChunk
) -> Table:
    """The last chunk of a walk by each variant, from the state that `player` reached.

    PSNR cannot judge distillation, since a blurred guess has the better one; sharpness beside the truth can.
    """
    tally = Tally("variant")
    poses = walk().poses()[frames_of(CHUNKS - 1) :]
    for scene in scenes:
        play, clip = before_last(player, scene, lambda: None)
        truth, seen = to_signed(scene.truth(poses)), scene.seen(poses)
        for name, variant in variants:
            began = time.perf_counter()
            latents = variant.denoise(clip)
            seconds = time.perf_counter() - began
            made = to_signed(player.commit(play, clip, latents)[0])
            tally.add(
                name, psnr=psnr(made, truth, seen), ssim=ssim(made, truth, seen), seconds=seconds,
                sharpness=sharpness(made).mean() / sharpness(truth).mean(),
            )  # fmt: skip
            on_chunk()
    columns = {
        "variant": "model",
        "psnr": "PSNR where the start shows", "ssim": "SSIM", "sharpness": "sharpness (truth = 1)",
        "seconds": "seconds a chunk",
    }  # fmt: skip
    return Table(title="Few steps against many", columns=columns, rows=tally.rows())
