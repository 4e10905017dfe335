"""Data parallelism over processes, and the loop's budget."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from worldloom.serve.ports import free_port
from worldloom.train.pictures import save_curves
from worldloom.train.progress import Budget, Progress, learning_rate
from worldloom.train.ranks import Ranks, join

ALONE = Ranks(rank=0, size=1, device=torch.device("cpu"))
WORKER = """
import torch
from worldloom.train.ranks import join
with join("cpu") as ranks:
    layer = torch.nn.Linear(2, 1, bias=False)
    ranks.share(layer.parameters())
    layer(torch.full((1, 2), float(ranks.rank + 1))).sum().backward()
    ranks.average(layer.weight.grad)
    print(layer.weight.grad.tolist(), ranks.agree(5.0 + ranks.rank), round(layer.weight.sum().item(), 5), flush=True)
"""


def test_two_processes_average_gradients_and_agree() -> None:
    port = str(free_port("127.0.0.1"))
    shared = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER], env={**shared, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    outputs = [worker.communicate(timeout=120)[0].strip() for worker in workers]
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith("[[1.5, 1.5]] 5.0")


def test_one_process_needs_no_group() -> None:
    with join("cpu") as ranks:
        assert ranks.is_first and ranks.size == 1
        assert ranks.agree(3.0) == 3.0


class Clock:
    """Advances by a second each time it is asked."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.mark.parametrize(
    ("budget", "most"), [(Budget(seconds=1e9, steps=7), 7), (Budget(seconds=30.0, steps=10**6), 30)]
)
def test_the_loop_ends_by_steps_or_by_the_clock(budget: Budget, most: int, tmp_path: Path) -> None:
    spent = []
    with Progress("stage", budget, ALONE, tmp_path, every=2, clock=Clock()) as progress:
        for share in progress:
            spent.append(share)
            progress.log({"loss": torch.tensor(1.0 / (1 + progress.step))})
    assert 3 <= len(spent) <= most
    assert spent == sorted(spent) and spent[-1] < 1.0
    rows = [json.loads(line) for line in (tmp_path / "stage.jsonl").read_text().splitlines()]
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert (tmp_path / "stage.png").exists()


def test_learning_rate_warms_up_and_falls_to_its_floor() -> None:
    rates = [learning_rate(spent / 100) for spent in range(100)]
    assert rates[0] < 0.1 and max(rates) > 0.95
    assert rates[-1] < 0.02
    assert learning_rate(0.999, floor=0.3) == pytest.approx(0.3, abs=0.01)


def test_curves_of_numbers_that_are_not_finite_or_negative_are_drawn(tmp_path: Path) -> None:
    rows = [{"step": float(i), "seconds": float(i), "a": float("nan") if i == 2 else -float(i)} for i in range(5)]
    save_curves(rows, tmp_path / "curve.png", title="t")
    assert (tmp_path / "curve.png").stat().st_size < 20_000
