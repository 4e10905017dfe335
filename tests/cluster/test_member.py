"""One process of a gang, without Ray."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from worldloom.cluster.config import ClusterConfig
from worldloom.cluster.member import Member
from worldloom.errors import ConfigError
from worldloom.model.preset import load_preset
from worldloom.parallel.ranks import Ranks


class Writer(Member):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__(ClusterConfig(preset=load_preset("mock")), rank=0, size=1)
        self.notes: list[int] = []

    def _load(self, ranks: Ranks | None) -> None:
        assert ranks is None

    def _warm_up(self) -> None:
        self.notes.append(-1)

    async def note(self, number: int) -> int:
        return await self._in_turn(number, self._note, number)

    def _note(self, number: int) -> int:
        self.notes.append(number)
        if number % 3 == 2:
            raise ConfigError(f"{number} is wrong", hint="Take another.")
        return number


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(6)))
def test_work_is_done_in_its_order_however_it_comes(order: list[int]) -> None:
    async def run() -> list[int | BaseException]:
        writer = Writer()
        await writer.load()
        await writer.warm_up()
        done = await asyncio.gather(*(writer.note(number) for number in order), return_exceptions=True)
        assert writer.notes == [-1, *range(6)]
        return done

    for number, result in zip(order, asyncio.run(run()), strict=True):
        # What fails does not keep the others.
        assert isinstance(result, ConfigError) if number % 3 == 2 else result == number
