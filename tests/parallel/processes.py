"""A few processes that meet once and then run whatever the tests give them."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from worldloom.parallel.ranks import Ranks, join

ROOT = str(Path(__file__).parents[2])
MOST = 4
PATIENCE_S = 60.0

Job = Callable[..., Any]


class Processes:
    """`most` processes on the CPU, of which the first n run a job as a group of n ranks."""

    def __init__(self, port: int, *, most: int = MOST) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["torch", "torch.distributed", "worldloom.parallel.load"])
        self._pipes: list[Connection] = []
        self._processes: list[ForkServerProcess] = []
        # The processes take over this path, and import the jobs of the tests by name.
        sys.path.insert(0, ROOT)
        for rank in range(most):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, rank, most, port), daemon=True)
            process.start()
            self._pipes.append(ours)
            self._processes.append(process)
        sys.path.remove(ROOT)

    def run(self, size: int, job: Job, *args: Any) -> list[Any]:
        """What `job(ranks, *args)` returns on each of `size` ranks; an error of theirs is raised, and ends all
        processes: the others may wait for that rank."""
        assert self._processes, "a job has failed before"
        for pipe in self._pipes[:size]:
            pipe.send((size, job, args))
        results: dict[Connection, Any] = {}
        while len(results) < size:
            waiting = [pipe for pipe in self._pipes[:size] if pipe not in results]
            answered = wait(waiting, PATIENCE_S)
            if not answered:
                self.stop()
                raise TimeoutError(f"{len(waiting)} of {size} ranks do not answer")
            for pipe in waiting:
                if pipe in answered:
                    results[pipe] = pipe.recv()
                    if isinstance(results[pipe], BaseException):
                        self.stop()
                        raise results[pipe]
        return [results[pipe] for pipe in self._pipes[:size]]

    def stop(self) -> None:
        """End the processes, at once."""
        for process in self._processes:
            process.kill()
            process.join()
        self._processes.clear()


def _serve(pipe: Connection, rank: int, most: int, port: int) -> None:
    torch.set_num_threads(1)
    with join("cpu", rank=rank, size=most, address=f"tcp://127.0.0.1:{port}", timeout_s=PATIENCE_S) as everyone:
        groups = {size: _subgroup(everyone, range(size)) for size in range(1, most + 1)}
        while (task := pipe.recv()) is not None:
            size, job, args = task
            try:
                result = job(groups[size], *args)
            except Exception as error:  # whatever it is, the test shall see it
                result = error
            pipe.send(result)


def _subgroup(everyone: Ranks, members: Sequence[int]) -> Ranks:
    group = dist.new_group(list(members))
    if len(members) == 1:
        return Ranks.alone("cpu")
    return Ranks(rank=everyone.rank, size=len(members), device=everyone.device, group=group)
