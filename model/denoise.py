"""One clip's denoising: noise and what conditions it, to latents.

Sizes: C latent channels, K clean latents that lead the clip (the image or the past), N new ones, T = K + N, M memory
frames, F video frames, h×w latent grid. The batch is one world.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .clip import OnStep
from .conditioning import Conditioning
from .sampler import Schedule, SolverState, unipc_schedule
from .stages import Stages
from .transfer import to_device
from .transformer import WorldTransformer

ExpertFor = Callable[[int], WorldTransformer]
"""The network that denoises at a timestep in [0, 1000)."""

# What the network is told about frames whose actions are unknown or do not count: memory, and the null branch.
NEUTRAL_MOUSE = 1.0
NEUTRAL_KEYBOARD = -1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipTensors:
    """A clip as the network sees it, on any device: all that its new latents depend on, besides the weights."""

    noise: Tensor
    """(1, C, N, h, w) standard normal, for the new latents."""
    clean: Tensor
    """(1, C, K, h, w) latents that lead the clip and stay as they are."""
    context: Tensor
    """(L, text_dim) text states of the unpadded rows."""
    plucker: Tensor
    """(1, 1536, M + T, h, w) camera map, memory first."""
    keyboard: Tensor
    """(1, F, 6)."""
    mouse: Tensor
    """(1, F, 2)."""
    predict_range: tuple[int, int]
    """Latent indices [start, stop) of the clip's T latents in the whole video."""
    memory: Tensor | None = None
    """(1, C, M, h, w) clean latents, None for no memory."""
    memory_latent_idx: Tensor | None = None
    """(M,) latent indices of the memory, None for no memory."""
    null_context: Tensor | None = None
    """(L, text_dim) text states of the negative prompt; needed with guidance only."""
    origin: tuple[int, int] = (0, 0)
    """Latent row and column of the top left corner in the whole picture."""

    @property
    def memory_frames(self) -> int:
        return 0 if self.memory is None else self.memory.shape[2]

    def crop(self, rows: slice, columns: slice) -> ClipTensors:
        """The part of the picture in these latent rows and columns, of which `start` and `stop` are given."""

        def cut(x: Tensor) -> Tensor:
            return x[..., rows, columns]

        return replace(
            self,
            noise=cut(self.noise),
            clean=cut(self.clean),
            plucker=cut(self.plucker),
            memory=None if self.memory is None else cut(self.memory),
            origin=(self.origin[0] + rows.start, self.origin[1] + columns.start),
        )

    def null(self) -> ClipTensors:
        """The branch that guidance leads away from: the negative prompt, neutral actions and no memory.

        Raises ValueError without a negative prompt.
        """
        if self.null_context is None:
            raise ValueError("guidance above 1 needs the text states of a negative prompt")
        return replace(
            self,
            context=self.null_context,
            plucker=self.plucker[:, :, self.memory_frames :],
            keyboard=torch.full_like(self.keyboard, NEUTRAL_KEYBOARD),
            mouse=torch.full_like(self.mouse, NEUTRAL_MOUSE),
            memory=None,
            memory_latent_idx=None,
        )


class _Branch:
    """One forward a step, with the conditioning of the expert in use kept from step to step."""

    def __init__(self, clip: ClipTensors, *, camera_cache: bool) -> None:
        self._clip = clip
        self._camera_cache = camera_cache
        self._expert: WorldTransformer | None = None
        self._conditioning: Conditioning | None = None

    def use(self, expert: WorldTransformer) -> None:
        """Prepare the conditioning of this expert, unless it is the one in use."""
        if expert is not self._expert:
            # Experts of a mixture take turns: the one's conditioning, gigabytes at full size, goes before the other's.
            self._conditioning = None
            self._expert, self._conditioning = expert, _prepare(expert, self._clip, self._camera_cache)

    def velocity(self, latents: Tensor, timestep: int) -> Tensor:
        """Velocity of the new latents (1, C, N, h, w)."""
        clip, expert = self._clip, self._expert
        assert expert is not None and self._conditioning is not None
        clean = clip.clean.to(latents)
        _, rows, columns = expert.config.patch_size
        tokens = latents.shape[3] // rows * (latents.shape[4] // columns)
        velocity: Tensor = expert(
            torch.cat([clean, latents], dim=2),
            timesteps=_clean_and_noisy(timestep, latents.device),
            segments=((clip.memory_frames + clean.shape[2]) * tokens, latents.shape[2] * tokens),
            conditioning=self._conditioning,
            memory=clip.memory,
            skip=clean.shape[2],
        )
        return velocity


@torch.inference_mode()
def denoise(
    clip: ClipTensors,
    expert_for: ExpertFor,
    *,
    num_steps: int,
    shift: float = 5.0,
    guidance: float = 1.0,
    camera_cache: bool = True,
    stages: Stages | None = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """The clip's new latents (1, C, N, h, w), float32, on the networks' device.

    With guidance g above 1 the velocity is null + g · (conditional - null), from a second forward of `clip.null()`.
    The solver sees the new latents only: it works element by element, so this equals putting the clean ones back after
    each of its steps. For `camera_cache` see `WorldTransformer.prepare`. Nothing here waits for a GPU, unless `on_step`
    is to be told of steps that are done.
    """
    schedule = unipc_schedule(num_steps, shift)
    state = schedule.start(to_device(clip.noise, expert_for(schedule.steps[0].timestep).device))
    return denoise_steps(
        clip,
        expert_for,
        state,
        schedule,
        guidance=guidance,
        camera_cache=camera_cache,
        stages=stages,
        on_step=on_step,
    ).sample


@torch.inference_mode()
def denoise_steps(
    clip: ClipTensors,
    expert_for: ExpertFor,
    state: SolverState,
    schedule: Schedule,
    *,
    stop: int | None = None,
    guidance: float = 1.0,
    camera_cache: bool = True,
    stages: Stages | None = None,
    on_step: OnStep | None = None,
) -> SolverState:
    """The solver's state at step `stop`, or after the last step, from a state on the networks' device.

    Steps may be shared out: the state is all that goes from one to the next. See `denoise`.
    """
    stages = stages or Stages(state.sample.device)
    clips = [clip, clip.null()] if guidance > 1 else [clip]
    branches = [_Branch(one, camera_cache=camera_cache) for one in clips]
    for weights in schedule.steps[state.step : stop]:
        with stages.measure("prepare"):
            for branch in branches:
                branch.use(expert_for(weights.timestep))
        with stages.measure(f"step{state.step}"):
            velocity, *null = (branch.velocity(state.sample, weights.timestep) for branch in branches)
            if null:
                velocity = null[0] + guidance * (velocity - null[0])
            state = schedule.advance(state, velocity)
        if on_step is not None:
            stages.wait()
            on_step(state.step, len(schedule.steps))
    return state


def _clean_and_noisy(timestep: int, device: torch.device) -> Tensor:
    """Timesteps (2,) of the clean latents and the others, filled on the device: a copy would make the host wait."""
    timesteps = torch.zeros(2, device=device)
    timesteps[1:].fill_(timestep)
    return timesteps


def _prepare(expert: WorldTransformer, clip: ClipTensors, camera_cache: bool) -> Conditioning:
    frames = clip.memory_frames
    return expert.prepare(
        context=clip.context,
        plucker=clip.plucker,
        predict_range=clip.predict_range,
        keyboard=clip.keyboard,
        mouse=clip.mouse,
        memory_keyboard=torch.full_like(clip.keyboard[:, :1], NEUTRAL_KEYBOARD).expand(-1, frames, -1),
        memory_mouse=torch.full_like(clip.mouse[:, :1], NEUTRAL_MOUSE).expand(-1, frames, -1),
        memory_latent_idx=clip.memory_latent_idx,
        origin=clip.origin,
    )
