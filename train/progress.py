"""How far a stage is: its budget of wall-clock time and steps, its log, its progress bar, its curve."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import torch
from torch import Tensor
from tqdm import tqdm

from .pictures import save_curves
from .ranks import Ranks


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """When a stage ends: after `seconds` or `steps`, whichever comes first."""

    seconds: float
    steps: int


class StageClock:
    """The wall-clock time of one stage, from its first line to its last."""

    def __init__(self, seconds: float | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`seconds` for the whole stage; None where the parts of it have their own bounds."""
        self._clock = clock
        self._start = clock()
        self._seconds = seconds

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self._start

    @property
    def left_s(self) -> float:
        """What is left of the stage; infinite where it has no bound."""
        return math.inf if self._seconds is None else self._seconds - self.elapsed_s

    def time_for(self, seconds: float) -> float:
        """The moment at which preparations end that may take `seconds`, but no more than a third of what is left."""
        return self._clock() + min(seconds, self.left_s / 3.0)

    def budget(self, budget: Budget, finish_s: float, *, parts: int = 1) -> Budget:
        """For training, in the place of a budget's seconds: a share of what is left, less what finishing takes."""
        if self._seconds is None:
            return budget
        return Budget(seconds=(self.left_s - finish_s) / parts, steps=budget.steps)


SYNC_EVERY = 4
"""Steps after which the host waits for the device."""
TELL_EVERY_S = 30.0


class Progress:
    """Runs the loop of one stage.

    Iterating yields the share of the budget that is spent, from 0 up to, but not including, 1. It keeps the numbers of
    the last steps on the device and reads them only every `every` steps, so that logging does not stall the GPU.
    Lines go to `<folder>/<name>.jsonl` and curves to `<folder>/<name>.png`.
    """

    def __init__(
        self,
        name: str,
        budget: Budget,
        ranks: Ranks,
        folder: Path,
        *,
        every: int = 20,
        first_step: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.budget = budget
        self.ranks = ranks
        self.folder = folder
        self.every = every
        self.step = first_step
        self.rows: list[dict[str, float]] = []
        self._clock = clock
        self._first = first_step
        self._start = clock()
        self._windows: list[tuple[float, float]] = []
        self._recent: list[Mapping[str, Tensor]] = []
        # Without a terminal there is no bar: lines say the same now and then.
        hidden = None if ranks.is_first else True
        self._bar = tqdm(total=budget.steps, desc=name, disable=hidden, mininterval=1.0, leave=False)
        self._told = self._start

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._bar.close()
        if self.ranks.is_first and self.rows:
            save_curves(self.rows, self.folder / f"{self.name}.png", title=self.name)

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self._start

    @property
    def spent(self) -> float:
        """Share of the budget that is spent; all of it where preparations took longer than there was."""
        if self.budget.seconds <= 0:
            return 1.0
        return max((self.step - self._first) / self.budget.steps, self.elapsed_s / self.budget.seconds)

    def __iter__(self) -> Iterator[float]:
        spent, window = self.ranks.agree(self.spent), self.elapsed_s
        while spent < 1.0:
            yield spent
            self.step += 1
            self._bar.update()
            if self.ranks.device.type == "cuda" and self.step % SYNC_EVERY == 0:
                # Without this the host runs ahead by thousands of launches and the clock means nothing.
                torch.cuda.synchronize(self.ranks.device)
            if self.step % SYNC_EVERY == 0:
                now = self.elapsed_s
                self._windows.append((spent, (now - window) / SYNC_EVERY))
                window = now
            spent = self.ranks.agree(self.spent)

    def step_s(self, start: float = 0.0, stop: float = 1.0) -> float:
        """Median seconds of a step while the spent share was in [start, stop); nan when there were too few steps."""
        times = [seconds for spent, seconds in self._windows if start <= spent < stop]
        return statistics.median(times) if times else math.nan

    def log(self, values: Mapping[str, Tensor]) -> None:
        """Notes the numbers of a step: scalar tensors, read later."""
        self._recent.append({key: value.detach() for key, value in values.items()})
        if len(self._recent) >= self.every:
            self._flush()

    def _flush(self) -> None:
        if not self._recent:
            return
        keys = sorted({key for row in self._recent for key in row})
        row = {"step": float(self.step), "seconds": round(self.elapsed_s, 2)}
        for key in keys:
            row[key] = float(torch.stack([r[key].float() for r in self._recent if key in r]).mean())
        self._recent = []
        self.rows.append(row)
        self._bar.set_postfix({key: f"{row[key]:.4g}" for key in keys[:4]}, refresh=False)
        if self.ranks.is_first:
            if self._bar.disable and self._clock() - self._told > TELL_EVERY_S:
                self._told = self._clock()
                print(self.name, json.dumps(row), flush=True)
            with (self.folder / f"{self.name}.jsonl").open("a") as file:
                file.write(json.dumps(row) + "\n")


def learning_rate(spent: float, *, warmup: float = 0.02, floor: float = 0.0) -> float:
    """Linear warm-up over the first `warmup` of the budget, then linear decay to `floor`, as a factor of the peak."""
    if spent < warmup:
        return (spent + 1e-3) / (warmup + 1e-3)
    return floor + (1.0 - floor) * (1.0 - spent) / (1.0 - warmup)


def write_metrics(path: Path, values: Mapping[str, object]) -> None:
    """Writes a stage's results as JSON, keys sorted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n")
