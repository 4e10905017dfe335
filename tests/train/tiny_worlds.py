"""A set of episodes so small that a tiny model learns it in seconds."""

from __future__ import annotations

from pathlib import Path

import torch
from worldloom.model.preset import load_preset
from worldloom.train.clips import Episodes, extrinsics_from
from worldloom.train.footage import LatentSet
from worldloom.train.latents import EARLIEST_START
from worldloom.train.ranks import Ranks
from worldloom.train.retrieval import memory_table
from worldloom.train.stage import Workplace

NULL = torch.tensor([1, 0, 0, 0, 0, 0, 0, 0])
LATENTS, FRAMES = 25, 97


def workplace(out: Path) -> Workplace:
    """This process alone, on the CPU, with the tiny preset."""
    ranks = Ranks(rank=0, size=1, device=torch.device("cpu"))
    return Workplace(preset=load_preset("tiny"), out=out, ranks=ranks, seed=0)


def two_places() -> LatentSet:
    """Two episodes of a still camera, whose latents are one constant each, told by the prompt and the past."""
    colours = torch.tensor([[1.0, -1.0, 0.5, 2.0], [-1.0, 1.0, 1.5, -1.0]]).view(2, 4, 1, 1, 1)
    streams = colours.expand(2, 4, LATENTS, 4, 6).contiguous()
    tokens = torch.zeros(2, 4, 8, dtype=torch.long)
    tokens[0, :, :2], tokens[1, :, :2] = torch.tensor([5, 1]), torch.tensor([6, 1])
    episodes = Episodes(
        extrinsics=extrinsics_from(torch.zeros(2, FRAMES, 5, dtype=torch.float64)),
        keyboard=torch.zeros(2, FRAMES, 6),
        mouse=torch.zeros(2, FRAMES, 2),
        tokens=tokens,
    )
    return LatentSet(
        episodes=episodes,
        streams=streams,
        firsts=streams[:, None, :, :15],
        first_frames=(0,),
        memory=memory_table(episodes.extrinsics, EARLIEST_START, LATENTS - 14),
        earliest=EARLIEST_START,
    )
