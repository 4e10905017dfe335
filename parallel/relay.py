"""Experts of a mixture on ranks of their own: a chunk is begun by those of high noise and ended by that of low noise.

    front ranks   high A ─┐ high B ─┐          high A' ─┐ …
                          │ state   │ state       ▲     │
    back ranks            └► low A ─┼─────┐       │     └► …
                                    └► low B ─┐   │
                                latents: A └──┼───┘ (from host to host)

Two sessions or more keep both busy: a chunk waits for its own session's last one only. The ranks of each side share
the tokens of their steps. All ranks call the same things in the same order.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import ConfigError
from ..model.clip import ClipInputs
from ..model.denoise import denoise_steps
from ..model.preset import Preset
from ..model.rollout import Rollout, with_image
from ..model.sampler import ORDER, SolverState, unipc_schedule
from ..model.stages import Stages
from ..model.transfer import HostCopy, to_device
from .apply import SequenceSharding
from .ranks import Ranks
from .times import expert_steps


@dataclass(frozen=True, kw_only=True, slots=True)
class Relay:
    """Which ranks begin a chunk and which end it, as one of them sees it."""

    everyone: Ranks
    is_front: bool
    side: Ranks
    """The ranks that share this one's steps."""
    hop: Ranks | None
    """The front's first rank and all of the back: the way of states."""
    home: Ranks | None
    """The back's first rank and all of the front, from host to host: the way of latents."""

    @classmethod
    def of(cls, ranks: Ranks, *, front: int) -> Relay:
        """The first `front` ranks are the front, the others the back. All ranks call it."""
        if not 0 < front < ranks.size:
            raise ConfigError(
                f"{front} of {ranks.size} ranks are to begin chunks; both sides need one at least",
                hint="Use two ranks or more, and fewer for the front than there are.",
            )
        fronts, backs = list(range(front)), list(range(front, ranks.size))
        sides = ranks.among(fronts), ranks.among(backs)
        side = sides[0] or sides[1]
        assert side is not None, "every rank has a side"
        return cls(
            everyone=ranks,
            is_front=ranks.rank < front,
            side=side,
            hop=ranks.among([0, *backs]),
            home=ranks.among([*fronts, front], on_host=True),
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RelayedChunk:
    """A chunk on its way."""

    latents: Tensor | None
    """New latents (C, 15 or 10, h, w), float32 on the device, for the stream that they were launched on; None on the
    front."""
    host: Future[Tensor]
    """The same in `RelayRollout.dtype` on the host, on all ranks."""
    stages: Stages
    """Of this side's steps."""
    sent: tuple[dist.Work | None, Tensor] | None = None
    """What is to be kept until the chunk has come home."""


class RelayRollout:
    """A rollout whose steps are shared out between two sides."""

    dtype = torch.bfloat16
    """Of latents on the host."""

    def __init__(self, preset: Preset, rollout: Rollout, relay: Relay, sharding: SequenceSharding) -> None:
        """`rollout` holds this side's experts, and `sharding` the cut of the picture on this side's ranks."""
        self._rollout = rollout
        self._relay = relay
        self._sharding = sharding
        assert preset.mixture is not None, "only a mixture has experts to part"
        self._mixture = preset.mixture
        sampling = preset.sampling
        self._schedule = unipc_schedule(sampling.steps, sampling.shift)
        self._hop_step, _ = expert_steps(preset)
        self._homing = ThreadPoolExecutor(1, "homing")

    @torch.inference_mode()
    def launch(self, clip: ClipInputs) -> RelayedChunk:
        """This side's part of a clip. Waits for nothing that a GPU does.

        Raises ConfigError on both sides alike for a viewpoint without an expert.
        """
        rollout, relay = self._rollout, self._relay
        # A side that fails alone would leave the other waiting for it.
        self._mixture.expert_for(0, clip.viewpoint)
        stages = Stages(rollout.parts.device)
        with stages.measure("prepare"):
            tensors = rollout.tensors_of(clip)
            part = rollout.parts.take_part(tensors)
        if relay.is_front:
            state = self._schedule.start(to_device(part.noise, rollout.parts.device))
        else:
            state = self._received(tensors.noise.shape)
        state = denoise_steps(
            part,
            rollout.experts_of(clip),
            state,
            self._schedule,
            stop=self._hop_step if relay.is_front else None,
            guidance=rollout.sampling.guidance,
            camera_cache=rollout.parts.camera_cache,
            stages=stages,
        )
        if relay.is_front:
            sent = self._send(state)
            arriving = torch.empty(_added_shape(clip, tensors.noise.shape), dtype=self.dtype)
            return RelayedChunk(
                latents=None, host=self._homing.submit(self._brought_home, arriving), stages=stages, sent=sent
            )
        latents = with_image(clip, tensors, rollout.parts.join_parts(state.sample))
        copy = HostCopy(latents.to(self.dtype))
        return RelayedChunk(latents=latents, host=self._homing.submit(self._taken_home, copy), stages=stages)

    def _send(self, state: SolverState) -> tuple[dist.Work | None, Tensor] | None:
        """Start to send the whole picture's state to the back."""
        values = [state.sample, *([] if state.anchor is None else [state.anchor]), *state.x0]
        whole = self._sharding.join_parts(torch.cat(values)).contiguous()
        return None if self._relay.hop is None else (self._relay.hop.spread(whole), whole)

    def _received(self, shape: torch.Size) -> SolverState:
        """This rank's part of the state that the front sends, of latents of this shape."""
        hop, step = self._relay.hop, self._hop_step
        assert hop is not None, "the back receives"
        history = min(step, ORDER)
        count = 1 + (1 + history if step else 0)
        whole = torch.empty(count * shape[0], *shape[1:], device=hop.device)
        work = hop.spread(whole)
        assert work is not None
        work.wait()
        sample, *past = torch.split(self._sharding.cut(whole), shape[0])
        return SolverState(step=step, sample=sample, anchor=past[0] if past else None, x0=tuple(past[1:]))

    @torch.inference_mode()
    def _taken_home(self, copy: HostCopy) -> Tensor:
        latents = copy.wait()
        return latents if self._relay.home is None else self._brought_home(latents)

    @torch.inference_mode()
    def _brought_home(self, latents: Tensor) -> Tensor:
        assert self._relay.home is not None
        work = self._relay.home.spread(latents.view(torch.uint8), source=self._relay.home.size - 1)
        assert work is not None
        work.wait()
        return latents


def _added_shape(clip: ClipInputs, noise: torch.Size) -> tuple[int, ...]:
    """Of what a clip adds to its world, whose noise has this shape (1, C, N, h, w)."""
    _, channels, count, *grid = noise
    return (channels, count + (clip.past is None), *grid)
