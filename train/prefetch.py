"""Work done ahead by a thread."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def ahead(items: Iterator[Item], depth: int = 2) -> Iterator[Item]:
    """The same items in the same order, up to `depth` of them made while the caller works on those before.

    An error while making an item is raised where the item would have come. What is under way when the caller stops
    early is left to end by itself.
    """
    thread = ThreadPoolExecutor(1)

    def make() -> list[Item]:
        """The next item, or nothing at the end."""
        return list(islice(items, 1))

    try:
        pending: deque[Future[list[Item]]] = deque(thread.submit(make) for _ in range(depth))
        while made := pending.popleft().result():
            pending.append(thread.submit(make))
            yield made[0]
    finally:
        thread.shutdown(wait=False, cancel_futures=True)
