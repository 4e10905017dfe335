"""What all training stages share: where they run and write, and how they pick up where they stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..model.preset import Preset
from .bundle import pack_report, pack_weights
from .checkpoints import has_weights, load_state, load_weights, save_state, save_weights
from .ema import Ema
from .footage import Shelf
from .muon import Muon, OptimizerConfig
from .precision import Trainee, training_dtype
from .progress import Progress, learning_rate
from .ranks import Ranks

SAVE_EVERY_S = 45.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Workplace:
    """Where a stage runs."""

    preset: Preset
    out: Path
    """Run folder; each stage has a folder of its name in it."""
    ranks: Ranks
    seed: int
    keep_state: bool = True
    """Whether to write optimizer states, which are several times as large as the weights."""
    pack: Path | None = None
    """Folder that gets a copy of every checkpoint's weights as soon as it is written, to be carried away."""
    shelf: Shelf = field(default_factory=Shelf)

    recording: bool = True
    """Whether steps run as CUDA graphs where there is a GPU; see `replay`."""

    def publish(self) -> None:
        """Puts figures, logs and pictures so far where they are carried away from."""
        if self.pack is not None and self.ranks.is_first:
            pack_report(self.out, self.pack)

    @property
    def device(self) -> torch.device:
        return self.ranks.device

    @property
    def dtype(self) -> torch.dtype:
        return training_dtype(self.device)

    def folder(self, stage: str) -> Path:
        path = self.out / stage
        path.mkdir(parents=True, exist_ok=True)
        return path

    def generator(self, stage: str) -> torch.Generator:
        """CPU randomness of this rank in a stage."""
        salt = sum(ord(letter) * 31**index for index, letter in enumerate(stage))
        return torch.Generator().manual_seed((self.seed * 1_000_003 + salt + self.ranks.rank * 7919) % 2**63)

    def device_generator(self, stage: str) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(self.generator(stage).initial_seed())


class Learner:
    """A network with its running copy, optimizer and average, and their checkpoint."""

    def __init__(self, network: nn.Module, config: OptimizerConfig, ema: float, place: Workplace) -> None:
        self.place = place
        self.trainee = Trainee(network, dtype=place.dtype)
        named = ((name, param) for name, param in network.named_parameters() if param.requires_grad)
        self.optimizer = Muon(named, config, source=self.trainee.twin)
        self.ema = Ema(network, ema)
        self.peak = 1.0
        self._scale = torch.ones((), device=place.device)

    @property
    def network(self) -> nn.Module:
        return self.trainee.network

    def pace(self, scale: float) -> None:
        """Sets the next update's learning rates to the peak times `scale`: all that an update takes from the host."""
        self._scale.fill_(scale * self.peak)
        self.ema.advance()

    def learn(self, loss: Tensor) -> Tensor:
        """One update towards a lower loss, at the pace that was set; returns the gradient norm."""
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.collect()
        self.place.ranks.average(self.optimizer.gradient)
        norm = self.optimizer.step(self._scale)
        self.trainee.refresh()
        self.ema.update()
        return norm

    def resume(self, folder: Path) -> int:
        """Takes up what an earlier run left in `folder`: the whole state, or the weights alone. Returns its steps.

        A run that goes on warms up to a share of the peak rates: they fell to zero, and what was learned must not be
        lost again.
        """
        state = load_state(folder, self.place.device)
        if state is not None:
            self.network.load_state_dict(state["network"])
            self.ema.network.load_state_dict(state["ema"])
            self.ema.updates = int(state["ema_updates"])
            self.optimizer.load_state_dict(state["optimizer"])
        elif has_weights(folder):
            weights, _ = load_weights(folder)
            self.network.load_state_dict(weights)
            self.ema.network.load_state_dict(weights)
        if state is not None or has_weights(folder):
            self.peak = self.optimizer.config.again
        self.place.ranks.share(self.network.parameters())
        self.trainee.refresh()
        return 0 if state is None else int(state["step"])

    def save(self, folder: Path, step: int, meta: Mapping[str, Any]) -> None:
        """Writes the average's weights and, where the run keeps it, the state; by the first rank."""
        if not self.place.ranks.is_first:
            return
        save_weights(folder, self.ema.network.state_dict(), meta=meta)
        if self.place.pack is not None:
            pack_weights(folder, self.place.pack)
            self.place.publish()
        if self.place.keep_state:
            save_state(
                folder,
                {
                    "network": self.network.state_dict(),
                    "ema": self.ema.network.state_dict(),
                    "ema_updates": self.ema.updates,
                    "optimizer": self.optimizer.state_dict(),
                    "step": step,
                },
            )


def run(
    progress: Progress,
    step: Callable[[float, float], Mapping[str, Tensor]],
    save: Callable[[int], None],
) -> None:
    """The loop of a stage: `step(spent, scale)` until the budget is spent, `save(step)` now and then and at the end."""
    saved = progress.elapsed_s
    with progress:
        for spent in progress:
            progress.log(step(spent, learning_rate(spent)))
            if progress.elapsed_s - saved > SAVE_EVERY_S:
                save(progress.step)
                saved = progress.elapsed_s
    save(progress.step)
