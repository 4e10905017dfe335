"""Many plays at a time: their clips as one batch of the networks, their streams as one batch of the decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F

from ...model.clip import ClipInputs
from ...model.denoise import ClipTensors
from ...model.vae import DecoderState


def alike(clips: Sequence[ClipInputs]) -> list[list[int]]:
    """Numbers of the clips that fit into one batch: equally long, at one place in time, with equally much memory."""
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, clip in enumerate(clips):
        remembered = 0 if clip.memory is None else len(clip.memory.latent_idx)
        groups.setdefault((clip.predict_range, clip.viewpoint, remembered), []).append(number)
    return list(groups.values())


def join_clips(clips: Sequence[ClipTensors]) -> ClipTensors:
    """Clips that are `alike` as one of that many samples. Guidance is left out: a negative prompt is not joined."""
    first = clips[0]
    rows = max(clip.context.shape[0] for clip in clips)
    memory = [clip.memory for clip in clips if clip.memory is not None]
    memory_idx = [clip.memory_latent_idx for clip in clips if clip.memory_latent_idx is not None]
    return replace(
        first,
        noise=torch.cat([clip.noise for clip in clips]),
        clean=torch.cat([clip.clean for clip in clips]),
        # The network pads with zeros too.
        context=torch.stack([F.pad(clip.context, (0, 0, 0, rows - clip.context.shape[0])) for clip in clips]),
        plucker=torch.cat([clip.plucker for clip in clips]),
        keyboard=torch.cat([clip.keyboard for clip in clips]),
        mouse=torch.cat([clip.mouse for clip in clips]),
        memory=torch.cat(memory) if memory else None,
        memory_latent_idx=torch.stack(memory_idx) if memory_idx else None,
        null_context=None,
    )


def join_states(states: Sequence[DecoderState | None]) -> DecoderState | None:
    """Streams as one batch, all at their beginning (None) or all behind it."""
    begun = [state.caches for state in states if state is not None]
    assert len(begun) in (0, len(states)), "streams that begin and streams that go on do not fit together"
    return DecoderState(caches=tuple(torch.cat(parts) for parts in zip(*begun, strict=True))) if begun else None


def split_states(state: DecoderState, number: int) -> list[DecoderState]:
    """The states of the streams of a batch, in memory of their own."""
    return [DecoderState(caches=tuple(cache[[at]] for cache in state.caches)) for at in range(number)]
