"""Preparations for training that run beside it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch
from worldloom.model.preset import load_preset
from worldloom.train.prefetch import ahead
from worldloom.train.ranks import Ranks
from worldloom.train.warm import Helpers, compile_all, needs


def test_every_kind_of_clip_goes_through_the_model() -> None:
    wanted = needs(2, learning=("first", "later", "memoryless"), sampling=("first", "memoryless"))
    assert compile_all(load_preset("tiny"), wanted, torch.device("cpu")) == 5


def test_without_a_gpu_there_is_nothing_to_wait_for() -> None:
    alone = Ranks(rank=0, size=1, device=torch.device("cpu"))
    assert Helpers(load_preset("tiny"), needs(2, learning=("first",)), alone).wait() < 1.0


def test_items_come_in_order_and_are_made_before_they_are_asked_for() -> None:
    third = threading.Event()

    def items() -> Iterator[int]:
        for number in range(5):
            if number == 2:
                third.set()
            yield number

    made = ahead(items(), depth=2)
    assert next(made) == 0
    assert third.wait(10.0)
    assert list(made) == [1, 2, 3, 4]


def test_an_error_comes_where_its_item_would_have() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("lost")

    made = ahead(items(), depth=3)
    assert next(made) == 1
    with pytest.raises(KeyError, match="lost"):
        next(made)
