"""Kernels compiled ahead: other processes compile what training will need while the first renders its worlds.

Compiled kernels go into the compiler's cache on disk, where the training process finds them. Should a helper fail,
that process compiles them itself, later.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess

import torch

from ..model.preset import Preset
from .clips import Clips, Episodes
from .compiling import compile_blocks, set_up_torch
from .draw import ClipDraw, ClipMix
from .footage import LatentSet
from .latents import EARLIEST_START
from .prompts import VARIANTS
from .ranks import Ranks
from .retrieval import memory_table
from .world_model import WorldModel

FRAMES = 97
PATIENCE_S = 90.0
"""How long training waits for its helper after everything else is ready."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """Clips of one kind that will go through the model."""

    kind: str
    """first, later or memoryless."""
    batch: int
    learning: bool
    """Whether with a gradient."""


def needs(batch: int, *, learning: tuple[str, ...] = (), sampling: tuple[str, ...] = ()) -> tuple[Need, ...]:
    """Kinds of clips that the model learns from, and kinds that it only makes."""
    return tuple(
        Need(kind=kind, batch=batch, learning=learns)
        for kinds, learns in ((learning, True), (sampling, False))
        for kind in kinds
    )


class Helpers:
    """A process for each need, since they share no kernels, and for each rank, since kernels name their device; on a
    CPU, where nothing is compiled, there is none."""

    def __init__(self, preset: Preset, wanted: tuple[Need, ...], ranks: Ranks) -> None:
        self._ranks = ranks
        self._processes: list[BaseProcess] = []
        if ranks.device.type == "cuda":
            # Spawned, since a process that uses a GPU cannot be forked.
            new = get_context("spawn").Process
            arguments = [(preset, (need,), ranks.device) for need in wanted]
            self._processes = [new(target=compile_all, args=each, daemon=True) for each in arguments]
        for process in self._processes:
            process.start()

    def wait(self) -> float:
        """Waits for all kernels, within bounds, on all ranks; returns the seconds it took."""
        started = time.monotonic()
        for process in self._processes:
            process.join(max(0.0, started + PATIENCE_S - time.monotonic()))
            if process.is_alive():
                process.terminate()
        self._ranks.wait()
        return time.monotonic() - started


def compile_all(preset: Preset, wanted: tuple[Need, ...], device: torch.device) -> int:
    """Runs a model of these shapes once on each kind of clip, forward and, where it learns, backward; returns how
    many."""
    set_up_torch()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = WorldModel(preset).to(device).to(dtype)
    compile_blocks(model.transformer.blocks, device)
    draw = any_clips(preset, device)
    for need in wanted:
        clips = clips_of_kind(draw, need)
        noise = torch.randn(clips.new.shape, device=device)
        sigma = torch.full((need.batch,), 0.5, device=device)
        with torch.set_grad_enabled(need.learning):
            loss = model(clips, noise, sigma).square().mean()
        if need.learning:
            torch.autograd.backward(loss)
            model.zero_grad()
    return len(wanted)


def clips_of_kind(draw: ClipDraw, need: Need) -> Clips:
    if need.kind == "first":
        return draw.first(need.batch)
    later = draw.later(need.batch)
    return later if need.kind == "later" else later.without_memory()


def any_clips(preset: Preset, device: torch.device) -> ClipDraw:
    """Clips of the right shapes, of a still camera in a world without content."""
    latents = (FRAMES - 1) // 4 + 1
    size = preset.video.height // 16, preset.video.width // 16
    streams = torch.zeros(1, preset.vae.z_dim, latents, *size, device=device)
    extrinsics = torch.eye(4, dtype=torch.float64, device=device).expand(1, FRAMES, 4, 4)
    tokens = torch.ones(1, len(VARIANTS), preset.text.text_len, dtype=torch.long, device=device)
    data = LatentSet(
        episodes=Episodes(
            extrinsics=extrinsics,
            keyboard=torch.zeros(1, FRAMES, 6, device=device),
            mouse=torch.zeros(1, FRAMES, 2, device=device),
            tokens=tokens,
        ),
        streams=streams,
        firsts=streams[:, None, :, :15],
        first_frames=(0,),
        memory=memory_table(extrinsics, EARLIEST_START, EARLIEST_START + 1),
        earliest=EARLIEST_START,
    )
    return ClipDraw(data, ClipMix(), tokens[0, 0], seed=0, rank=0)
